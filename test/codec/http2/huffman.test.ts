import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodedLengthMax,
  decodeHuffman,
  encodeHuffman,
} from '../../../src/codec/http2/huffman.ts';

function decode(encoded: Uint8Array): Buffer | null {
  const target = Buffer.alloc(decodedLengthMax(encoded.length));
  const length = decodeHuffman(encoded, 0, encoded.length, target);
  return length < 0 ? null : target.subarray(0, length);
}

describe('Huffman code', () => {
  it('gives back every string of bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(decode(encodeHuffman(bytes))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('never throws on any bytes, and never writes beyond its bound', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const decoded = decode(bytes);
        if (decoded !== null)
          expect(Buffer.from(encodeHuffman(decoded))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  // Codes of RFC 7541 appendix B, one of each length at least: symbol, code, bits.
  it.each([
    [0x00, 0x1ff8, 13],
    [0x01, 0x7fffd8, 23],
    [0x09, 0xffffea, 24],
    [0x0a, 0x3ffffffc, 30],
    [0x20, 0x14, 6],
    [0x21, 0x3f8, 10],
    [0x23, 0xffa, 12],
    [0x27, 0x7fa, 11],
    [0x30, 0x0, 5],
    [0x3a, 0x5c, 7],
    [0x3b, 0xfb, 8],
    [0x3c, 0x7ffc, 15],
    [0x5c, 0x7fff0, 19],
    [0x5e, 0x3ffc, 14],
    [0x7f, 0xffffffc, 28],
    [0x80, 0xfffe6, 20],
    [0x81, 0x3fffd2, 22],
    [0x99, 0x1fffdc, 21],
    [0xc0, 0x3ffffe0, 26],
    [0xc7, 0x1ffffec, 25],
    [0xcb, 0x7ffffde, 27],
    [0xea, 0x1ffffee, 25],
    [0xef, 0x7ffff4, 23],
    [0xf9, 0xffffffe, 28],
    [0xfe, 0x7fffff0, 27],
    [0xff, 0x3ffffee, 26],
  ])('has the code of the RFC for symbol 0x%s', (symbol, code, bits) => {
    const text = BigInt(code).toString(2).padStart(bits, '0');
    const padded = text.padEnd(Math.ceil(bits / 8) * 8, '1');
    const expected = padded.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2));
    expect([...encodeHuffman(Uint8Array.of(symbol))]).toEqual(expected);
  });

  it.each([
    ['EOS', [0xff, 0xff, 0xff, 0xff]],
    ['padding with zeros', [0x18]],
    ['eight bits of padding', [0x1f, 0xff]],
    ['a lone byte of padding', [0xff]],
  ])('refuses %s', (_, bytes) => {
    expect(decode(Uint8Array.from(bytes))).toBeNull();
  });
});
