/** Names that are kept are those that reading each anew gives. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageNames } from '../../../src/codec/dns/message_names.ts';
import { canonicalNameAt } from '../../../src/codec/dns/name.ts';
import { pointerTo } from '../../support/dns_messages.ts';
import { runs } from '../../support/property_runs.ts';

const HEADER = Buffer.alloc(12);

/** Labels, roots and pointers to anywhere, in a row. */
const piece = fc.oneof(
  fc.stringMatching(/^[a-zA-Z.]{1,4}$/).map((text) => Buffer.from(`\0${text}`)),
  fc.nat(200).map((at) => pointerTo(at)),
  fc.constant(Buffer.from([0])),
  fc.nat(255).map((byte) => Buffer.from([byte])),
);
const wild = fc.array(piece, { maxLength: 60 }).map((pieces) => {
  for (const bytes of pieces) if (bytes.length > 2) bytes[0] = bytes.length - 1;
  return Buffer.concat([HEADER, ...pieces]);
});

/** A chain of pointers, each behind a label or none: the place of its last. */
function chain(count: number, label: Buffer): { readonly message: Buffer; readonly last: number } {
  const parts = [HEADER, Buffer.from([1, 0x61, 0])];
  let length = 15;
  let last = 12;
  for (let i = 0; i < count; i++) {
    const part = Buffer.concat([label, pointerTo(last)]);
    last = length;
    length += part.length;
    parts.push(part);
  }
  return { message: Buffer.concat(parts), last };
}

describe('names of a message', () => {
  it('are what reading each anew gives, in whatever order they are asked for', () => {
    fc.assert(
      fc.property(wild, fc.infiniteStream(fc.nat(1000)), (message, places) => {
        const names = new MessageNames(message);
        for (let i = 0; i < 40; i++) {
          const at = (places.next().value as number) % (message.length + 2);
          expect([at, names.at(at)]).toEqual([at, canonicalNameAt(message, at)]);
        }
      }),
      runs(500),
    );
  });

  it.each([
    ['labels', 140, Buffer.from([1, 0x62])],
    ['no labels', 300, Buffer.alloc(0)],
    ['long labels', 20, Buffer.concat([Buffer.from([30]), Buffer.alloc(30, 0x63)])],
  ])('at the end of a chain with %s, and on the way to it', (_, count, label) => {
    const { message, last } = chain(count, label);
    for (const isForward of [true, false]) {
      const names = new MessageNames(message);
      const places = Array.from({ length: last - 11 }, (_at, i) => 12 + i);
      for (const at of isForward ? places : places.toReversed()) {
        expect([at, names.at(at)]).toEqual([at, canonicalNameAt(message, at)]);
      }
    }
  });
});
