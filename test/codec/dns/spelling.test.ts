/** Turned letters: another spelling of the same name, and twice is as before. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readQuery } from '../../../src/codec/dns/query.ts';
import {
  SPELLED_LETTERS_MAX,
  turnLetters,
  turnLettersBack,
} from '../../../src/codec/dns/spelling.ts';
import { message, question } from '../../support/dns_messages.ts';
import { anAnswer } from '../../support/dns_rig.ts';
import { runs } from '../../support/property_runs.ts';

const bits = fc.nat(0xffff_ffff);
const name = fc
  .array(fc.stringMatching(/^[A-Za-z0-9_@[`{-]{1,63}$/), { minLength: 1, maxLength: 3 })
  .map((labels) => labels.join('.'));

function nameIn(bytes: Buffer): string {
  const reading = readQuery(bytes);
  if (reading.kind !== 'query') throw new Error('no question');
  return reading.query.question.name;
}

describe('letters', () => {
  it('are those of the same name, and twice is as before', () => {
    fc.assert(
      fc.property(name, bits, (text, spelling) => {
        const before = message({ id: 1, questions: [question(text)] });
        const turned = Buffer.from(before);
        turnLetters(turned, spelling);
        expect(nameIn(turned)).toBe(nameIn(before));
        turnLetters(turned, spelling);
        expect(turned).toEqual(before);
      }),
      runs(300),
    );
  });

  it('are turned one for each bit, and no more than there are bits', () => {
    const turned = message({ questions: [question(`${'a'.repeat(40)}.test`)] });
    turnLetters(turned, 0xffff_ffff);
    const letters = turned.subarray(13, 53).toString('latin1');
    expect(letters).toBe('A'.repeat(SPELLED_LETTERS_MAX) + 'a'.repeat(8));
    const some = message({ questions: [question('1a-b.c')] });
    turnLetters(some, 0b101);
    expect(some.subarray(12).toString('latin1')).toContain('1A-b\x01C');
  });

  it('of what a peer made up are turned back without a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 80 }), bits, (bytes, spelling) => {
        const wild = Buffer.from(bytes);
        turnLettersBack(wild, spelling);
        expect(wild.length).toBe(bytes.length);
      }),
      runs(500),
    );
  });

  it('of an answer are turned back in its question', () => {
    fc.assert(
      fc.property(name, bits, (text, spelling) => {
        const asked = message({ id: 5, questions: [question(text)] });
        const turned = Buffer.from(asked);
        turnLetters(turned, spelling);
        const answer = anAnswer(turned);
        turnLettersBack(answer, spelling);
        expect(answer).toEqual(anAnswer(asked));
      }),
      runs(300),
    );
  });
});
