/** Pieces of gathered lines are used again, and never before what was in them is written. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineBatch, PIECE_BYTES } from '../../../src/observe/log/batch.ts';

const LINE_BYTES = 1000;
const PIECE_LINES = Math.floor(PIECE_BYTES / LINE_BYTES);

function lineOf(number: number): string {
  return `${String(number).padStart(LINE_BYTES - 1, '.')}\n`;
}

describe('a batch of lines', () => {
  it('keeps what is gathered while something is written, whatever is gathered after that', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3 * PIECE_LINES }), { minLength: 2, maxLength: 12 }),
        (counts) => {
          const batch = new LineBatch();
          const written: string[] = [];
          let next = 0;
          let underWay: readonly Buffer[] = [];
          for (const count of counts) {
            for (let i = 0; i < count; i++) batch.add(Buffer.from(lineOf(next++)));
            // The bytes are read when the write ends, as late as a sink may.
            written.push(...underWay.map(String));
            batch.written();
            underWay = batch.take();
          }
          written.push(...underWay.map(String));
          const wanted = Array.from({ length: next }, (_, number) => lineOf(number));
          expect(written.join('') === wanted.join('')).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('makes no memory anew for as much as it had before, and lets go of it when there is less', () => {
    const batch = new LineBatch();
    const fill = (pieceCount: number): ReadonlySet<ArrayBufferLike> => {
      for (let i = 0; i < pieceCount * PIECE_LINES; i++) batch.add(Buffer.from(lineOf(i)));
      const pieces = batch.take();
      batch.written();
      return new Set(pieces.map(({ buffer }) => buffer));
    };
    const first = fill(6);
    expect(first.size).toBe(6);
    expect([...fill(6)].every((buffer) => first.has(buffer))).toBe(true);
    for (let i = 0; i < 3; i++) fill(1);
    const later = fill(6);
    const kept = [...later].filter((buffer) => first.has(buffer));
    expect(kept.length).toBeLessThan(5);
  });
});
