import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FrameReader,
  READ_BAD_PADDING,
  READ_DATA,
  READ_FRAME,
  READ_MORE,
  READ_TOO_LONG,
} from '../../../src/codec/http2/frame_reader.ts';
import { data, frame } from './wire.ts';

/** All that a reader tells of `chunks`, slices of one DATA frame joined. */
function read(chunks: readonly Buffer[]): string[] {
  const reader = new FrameReader();
  const told: string[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    for (let outcome = reader.next(); outcome !== READ_MORE; outcome = reader.next()) {
      const { type, flags, streamId, length } = reader;
      if (outcome === READ_TOO_LONG || outcome === READ_BAD_PADDING) {
        return [...told, outcome === READ_TOO_LONG ? 'too long' : 'bad padding'];
      }
      const content = reader.bytes.toString('hex', reader.start, reader.end);
      if (outcome === READ_FRAME) told.push(`${type} ${flags} ${streamId} ${length} ${content}`);
      if (outcome !== READ_DATA) continue;
      if (reader.isFirstSlice)
        told.push(`data ${flags} ${streamId} ${length}-${reader.paddingLength} `);
      told[told.length - 1] += content + (reader.isLastSlice ? ' last' : '');
    }
  }
  return told;
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((c) => c % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((start, i) => bytes.subarray(start, at[i] ?? bytes.length));
}

const anyFrame = fc
  .tuple(fc.integer({ min: 0, max: 12 }), fc.nat(255), fc.nat(5), fc.uint8Array({ maxLength: 40 }))
  .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, payload));

describe('FrameReader', () => {
  it('tells the same of any cut of any frames', () => {
    const cuts = fc.array(fc.nat(2000), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), cuts, (frames, at) => {
        const bytes = Buffer.concat(frames);
        expect(read(cut(bytes, at))).toEqual(read([bytes]));
      }),
      { numRuns: 1000 },
    );
  });

  it('tells the same byte by byte, of random bytes too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (random) => {
        const bytes = Buffer.from(random);
        expect(read([...bytes].map((byte) => Buffer.of(byte)))).toEqual(read([bytes]));
      }),
    );
  });

  it('never tells more of a DATA frame than its content', () => {
    const padded = frame(0, 0x8, 1, Buffer.from('\x03abc...', 'latin1'));
    expect(read([padded])).toEqual(['data 8 1 7-4 616263 last']);
    expect(read([frame(0, 0x9, 1, Buffer.from([2, 0, 0]))])).toEqual(['data 9 1 3-3  last']);
    expect(read([data(1, '')])).toEqual(['data 0 1 0-0  last']);
  });

  it.each([
    ['padding as long as the payload', frame(0, 0x8, 1, Buffer.from([3, 0, 0])), 'bad padding'],
    ['padding without a length', frame(0, 0x8, 1), 'bad padding'],
    ['16,385 bytes', frame(0, 0, 1, Buffer.alloc(16_385)), 'too long'],
    ['16,385 bytes of another type', frame(0x4, 0, 0, Buffer.alloc(16_385)), 'too long'],
  ])('refuses %s, and stays dead', (_, bytes, outcome) => {
    expect(read([bytes.subarray(0, 20), bytes.subarray(20), data(1, 'x')])).toEqual([outcome]);
  });

  it('takes 16,384 bytes', () => {
    expect(read([frame(0x1, 0, 1, Buffer.alloc(16_384))])).toHaveLength(1);
  });

  it('ignores the reserved bit of a stream identifier', () => {
    const bytes = frame(0x8, 0, 5, Buffer.alloc(4));
    bytes[5] = 0x80;
    expect(read([bytes])[0]).toMatch(/^8 0 5 /);
  });
});
