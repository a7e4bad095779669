/** Messages on a connection are the same however their bytes are cut. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { framedMessage, TcpMessages } from '../../../src/codec/dns/tcp_messages.ts';
import { runs } from '../../support/property_runs.ts';

function readAll(chunks: readonly Buffer[]): {
  readonly messages: string[];
  readonly heldBytes: number;
} {
  const reader = new TcpMessages();
  const messages: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let next = reader.next(); next !== null; next = reader.next())
      messages.push(next.toString('hex'));
    // What was pushed is somebody else's again.
    chunk.fill(0xff);
  }
  return { messages, heldBytes: reader.heldBytes };
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((x, y) => x - y);
  return [0, ...at].map((start, i) => Buffer.from(bytes.subarray(start, at[i] ?? bytes.length)));
}

describe('messages of a connection', () => {
  it('do not depend on the cuts, and nothing is held behind the last', () => {
    const texts = fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 6 });
    fc.assert(
      fc.property(texts, fc.array(fc.nat(5000), { maxLength: 30 }), (all, places) => {
        const messages = all.map((bytes) => Buffer.from(bytes));
        const read = readAll(cut(Buffer.concat(messages.map(framedMessage)), places));
        expect(read.messages).toEqual(messages.map((bytes) => bytes.toString('hex')));
        expect(read.heldBytes).toBe(0);
      }),
      runs(500),
    );
  });

  it('of 65,535 bytes come whole, byte by byte as well', () => {
    const longest = Buffer.alloc(65_535, 7);
    const bytes = framedMessage(longest);
    const read = readAll(Array.from(bytes, (byte) => Buffer.from([byte])));
    expect(read.messages).toEqual([longest.toString('hex')]);
  });

  it('are held as far as they have come', () => {
    expect(readAll([framedMessage(Buffer.alloc(9)).subarray(0, 10)])).toEqual({
      messages: [],
      heldBytes: 10,
    });
  });

  it('that nobody has taken are kept', () => {
    const reader = new TcpMessages();
    const framed = framedMessage(Buffer.alloc(9));
    reader.push(Buffer.concat([framed, framed, framed.subarray(0, 5)]));
    const kept = [reader.keptBytes];
    while (reader.next() !== null) kept.push(reader.keptBytes);
    expect([...kept, reader.keptBytes]).toEqual([27, 16, 5, 5]);
  });

  it('longer than a length can say are not framed', () => {
    expect(() => framedMessage(Buffer.alloc(65_536))).toThrow();
  });
});
