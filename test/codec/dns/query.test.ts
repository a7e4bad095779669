/** A question is read in one way or refused: what it asks, and by which rule it is refused, with what answer. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DnsFault } from '../../../src/codec/dns/fault.ts';
import { readQuery } from '../../../src/codec/dns/query.ts';
import { writeReply } from '../../../src/codec/dns/reply.ts';
import {
  ANSWER_FLAGS,
  a,
  message,
  opt,
  option,
  pointerTo,
  question,
  ROOT,
  uint16,
  type WireMessage,
  wireLabel,
  wireName,
} from '../../support/dns_messages.ts';
import { runs } from '../../support/property_runs.ts';

const WWW = question('www.example.com');
const ASK: WireMessage = { questions: [WWW] };
const LONGEST = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
const TSIG = { owner: ROOT, type: 250, class: 255, data: Buffer.alloc(20) };

function told(bytes: Buffer): string {
  const reading = readQuery(bytes);
  if (reading.kind === 'ignored') return `ignored ${reading.fault}`;
  if (reading.kind === 'refused') return `refused ${reading.fault} ${reading.rcode}`;
  const { question: asked, edns } = reading.query;
  const size = edns === null ? '' : ` edns ${edns.udpBytesMax}${edns.isDnssecWanted ? ' do' : ''}`;
  return `${asked.name} ${asked.type} ${asked.class}${size}`;
}

function check(bytes: Buffer, expected: string): void {
  expect(told(bytes)).toBe(expected);
}

describe('a question', () => {
  it.each<[string, WireMessage]>([
    ['www.example.com. 1 1', ASK],
    ['www.example.com. 1 1', { questions: [question('WwW.eXample.COM')] }],
    ['. 2 1', { questions: [question(ROOT, 2)] }],
    [`${LONGEST}. 28 1`, { questions: [question(LONGEST, 28)] }],
    ['_sip._tcp.a-b. 33 1', { questions: [question('_sip._tcp.a-b', 33)] }],
    ['version.bind. 16 3', { questions: [question('version.bind', 16, 3)] }],
    ['www.example.com. 65 1', { questions: [question('www.example.com', 65)] }],
    ['www.example.com. 1 1 edns 1232 do', { ...ASK, additional: [opt(1232, 0x8000)] }],
    ['www.example.com. 1 1 edns 512', { ...ASK, additional: [opt(0)] }],
    [
      'www.example.com. 1 1 edns 4096',
      { ...ASK, additional: [opt(4096, 0, option(10, Buffer.alloc(8)))] },
    ],
    ['www.example.com. 1 1 edns 1232', { ...ASK, additional: [opt(1232), TSIG] }],
    [
      'example.com. 251 1',
      {
        questions: [question('example.com', 251)],
        authority: [{ owner: pointerTo(12), type: 6, data: Buffer.alloc(22) }],
      },
    ],
  ])('%s', (expected, parts) => check(message(parts), expected));

  it.each([
    ['a dot within a label is none between labels', ['a.b', 'com'], 'a\\.b.com.'],
    ['a NUL ends no name', ['a\0b', 'com'], 'a\\000b.com.'],
    ['bytes beyond ASCII', ['\xe4'], '\\228.'],
    ['signs of zone files', ['a\\b', 'c"d', 'e;f'], 'a\\\\b.c\\"d.e\\;f.'],
    ['capitals among such', ['A.B'], 'a\\.b.'],
    ['a blank', ['a b'], 'a\\ b.'],
  ])('in words: %s', (_, labels, name) => {
    const owner = Buffer.concat([...labels.map(wireLabel), ROOT]);
    check(message({ questions: [question(owner)] }), `${name} 1 1`);
  });

  it('of one name is the same in whatever letters it is asked', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z0-9_-]{1,20}$/), { maxLength: 8 }), (labels) => {
        const name = labels.join('.');
        const upper = message({ questions: [question(name.toUpperCase())] });
        expect(told(upper)).toBe(told(message({ questions: [question(name)] })));
      }),
      runs(300),
    );
  });
});

describe('refused is', () => {
  const tooLong = Buffer.concat([
    ...Array.from({ length: 4 }, () => wireLabel('a'.repeat(63))),
    ROOT,
  ]);
  const soa = { owner: pointerTo(12), type: 6, data: Buffer.alloc(22) };

  it.each<[string, DnsFault, number, WireMessage]>([
    ['another operation', 'unknown-opcode', 4, { ...ASK, flags: 0x2800 }],
    ['no question', 'question-count', 1, {}],
    ['two questions', 'question-count', 1, { questions: [WWW, WWW] }],
    ['a name that is too long', 'question-name', 1, { questions: [question(tooLong)] }],
    ['a pointer to the header', 'question-name', 1, { questions: [question(pointerTo(0))] }],
    ['a pointer to itself', 'question-name', 1, { questions: [question(pointerTo(12))] }],
    [
      'a pointer behind a label',
      'question-name',
      1,
      { questions: [question(Buffer.concat([wireLabel('a'), pointerTo(12)]))] },
    ],
    [
      'a label of a reserved kind',
      'question-name',
      1,
      { questions: [question(Buffer.from([0x41, 1, 0]))] },
    ],
    ['type 0', 'question-type', 1, { questions: [question('a', 0)] }],
    ['OPT as a type', 'question-type', 1, { questions: [question('a', 41)] }],
    ['class 0', 'unknown-class', 4, { questions: [question('a', 1, 0)] }],
    ['class NONE', 'unknown-class', 4, { questions: [question('a', 1, 254)] }],
    [
      'an answer in a question',
      'record-kind',
      1,
      { ...ASK, answers: [a(pointerTo(12), '192.0.2.1')] },
    ],
    ['authority in a question', 'record-kind', 1, { ...ASK, authority: [soa] }],
    [
      'two of what a transfer has',
      'record-kind',
      1,
      { questions: [question('a', 251)], authority: [soa, soa] },
    ],
    [
      'an address behind the question',
      'record-kind',
      1,
      { ...ASK, additional: [a(ROOT, '192.0.2.1')] },
    ],
    ['a signature that is not last', 'record-kind', 1, { ...ASK, additional: [TSIG, opt(512)] }],
    ['two OPT', 'edns-form', 1, { ...ASK, additional: [opt(512), opt(512)] }],
    [
      'OPT with an owner',
      'edns-form',
      1,
      { ...ASK, additional: [{ ...opt(512), owner: wireName('a') }] },
    ],
    [
      'an option that is cut',
      'edns-form',
      1,
      { ...ASK, additional: [opt(512, 0, Buffer.from([0, 10, 0, 9, 1]))] },
    ],
    [
      'half an option',
      'edns-form',
      1,
      { ...ASK, additional: [opt(512, 0, Buffer.from([0, 10, 0]))] },
    ],
  ])('%s', (_, fault, rcode, parts) => check(message(parts), `refused ${fault} ${rcode}`));

  it('bytes behind the message, one as well', () => {
    check(Buffer.concat([message(ASK), Buffer.from([0])]), 'refused trailing-bytes 1');
  });

  it('more records counted than there are', () => {
    const bytes = message(ASK);
    bytes.writeUInt16BE(1, 10);
    check(bytes, 'refused record-cut 1');
  });

  it('every message that is cut', () => {
    const whole = message({ ...ASK, additional: [opt(1232, 0, option(10, Buffer.alloc(8)))] });
    for (let length = 0; length < whole.length; length++) {
      const reading = readQuery(whole.subarray(0, length));
      expect(reading.kind).toBe(length < 12 ? 'ignored' : 'refused');
    }
  });
});

describe('ignored is', () => {
  it('an answer, so that two of us do not answer each other for ever', () => {
    check(message({ ...ASK, flags: ANSWER_FLAGS }), 'ignored not-a-question');
  });
});

describe('whatever comes', () => {
  it('is read without an exception, and a reply to what is refused is an answer that nobody answers', () => {
    const start = message({ ...ASK, additional: [opt(1232)] });
    const damaged = fc.array(fc.record({ at: fc.nat(start.length - 1), byte: fc.nat(255) }), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(damaged, fc.uint8Array({ maxLength: 30 }), (damages, tail) => {
        const bytes = Buffer.concat([start, tail]);
        for (const { at, byte } of damages) bytes[at] = byte;
        const reading = readQuery(bytes);
        if (reading.kind !== 'refused') return;
        const reply = writeReply(bytes, { ...reading, edns: null, extendedError: null });
        expect(readQuery(reply).kind).toBe('ignored');
        expect(reply.subarray(0, 2)).toEqual(bytes.subarray(0, 2));
      }),
      runs(3000),
    );
  });
});

describe('a reply of ours', () => {
  const asked = message({ ...ASK, flags: 0x0110, additional: [opt(4096, 0x8000)] });
  const { question: of, edns } = read(asked);
  const told = { rcode: 5, questionEnd: of.end, edns, extendedError: 18 } as const;

  it('has the question, its id and flags, and says why to who knows EDNS', () => {
    const reply = writeReply(asked, told);
    const why = option(15, uint16(18));
    expect(reply).toEqual(
      message({ ...ASK, flags: 0x8195, additional: [{ ...opt(1232, 0x8000), data: why }] }),
    );
  });

  it('has no OPT for a client that sent none', () => {
    expect(writeReply(asked, { ...told, edns: null, rcode: 3 })).toEqual(
      message({ ...ASK, flags: 0x8193 }),
    );
  });

  it('has only a header when the question could not be read', () => {
    expect(
      writeReply(asked, { rcode: 1, questionEnd: 12, edns: null, extendedError: null }),
    ).toEqual(message({ flags: 0x8191 }));
  });
});

function read(bytes: Buffer) {
  const reading = readQuery(bytes);
  if (reading.kind !== 'query') throw new Error(reading.fault);
  return reading.query;
}
