/** What a line is made of, byte by byte, says what JavaScript would say of the same values. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineBytes } from '../../../src/observe/log/bytes.ts';
import { quote } from '../../../src/observe/log/json_text.ts';

const anyNumber = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.nat(2000),
  fc.double({ min: 0, max: 1000 }),
  fc.constantFrom(0, -0, 0.0005, 0.1, 999.9996, 1e9, 1e12, 2 ** 53, 2 ** 53 + 2, 1e21, -1.5),
);

describe('a line in the making', () => {
  it('has whole numbers as JavaScript writes them, towards zero', () => {
    fc.assert(
      fc.property(anyNumber, (value) => {
        const expected = Number.isFinite(value) ? String(Math.trunc(value)) : '0';
        expect(made((line) => line.integer(value))).toBe(expected);
      }),
      { numRuns: 5000 },
    );
  });

  it('has milliseconds with at most three digits behind the point', () => {
    fc.assert(
      fc.property(anyNumber, (value) => {
        const expected = Number.isFinite(value) ? String(Math.round(value * 1000) / 1000) : '0';
        expect(made((line) => line.milliseconds(value))).toBe(expected);
      }),
      { numRuns: 5000 },
    );
  });

  it('has texts in quotes as JSON in ASCII', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string()), (text) => {
        expect(made((line) => line.quoted(text))).toBe(quote(text));
      }),
      { numRuns: 2000 },
    );
  });

  it('is its parts one after the other, however long they are', () => {
    const part = fc.string({ unit: 'binary-ascii', maxLength: 3000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(part, fc.boolean())), (parts) => {
        const text = made((line) => {
          for (const [each, isBytes] of parts) {
            if (isBytes) line.bytes(Buffer.from(each, 'latin1'));
            else line.text(each);
          }
        });
        expect(text).toBe(parts.map(([each]) => each).join(''));
      }),
    );
  });

  it('has nothing of the line before', () => {
    const line = new LineBytes();
    line.text('x'.repeat(10_000));
    line.clear();
    line.text('y');
    expect(line.view().toString('latin1')).toBe('y');
  });
});

function made(write: (line: LineBytes) => void): string {
  const line = new LineBytes();
  write(line);
  return line.view().toString('latin1');
}
