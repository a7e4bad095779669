import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../src/workers/line_splitter.ts';

describe('line splitter', () => {
  it('gives the same lines however the stream is cut', () => {
    const line = fc.string({ maxLength: 20 }).map((text) => text.replaceAll('\n', ' '));
    const cut = fc.array(fc.nat(60), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(line), cut, (lines, cuts) => {
        const text = lines.map((one) => `${one}\n`).join('');
        expect(split(text, { cuts, lineBytesMax: 1000 }).join('')).toBe(text);
      }),
    );
  });

  it('never gives a part of a line', () => {
    const cut = fc.array(fc.nat(40), { maxLength: 12 });
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), cut, (text, cuts) => {
        for (const emitted of split(text, { cuts, lineBytesMax: 1000 })) {
          expect(emitted.endsWith('\n')).toBe(true);
        }
      }),
    );
  });

  it('drops the rest of a line that is too long, and goes on with the next', () => {
    const text = `${'x'.repeat(50)}\nshort\n`;
    const cuts = [...Array(text.length).keys()];
    expect(split(text, { cuts, lineBytesMax: 10 }).join('')).toBe(`${'x'.repeat(10)}\nshort\n`);
  });

  it('finishes an unfinished line when the stream ends', () => {
    expect(split('one\ntwo', { cuts: [2, 5], lineBytesMax: 10 })).toEqual(['one\n', 'two\n']);
  });
});

function split(
  text: string,
  options: { readonly cuts: readonly number[]; readonly lineBytesMax: number },
): string[] {
  const bytes = Buffer.from(text);
  const emitted: string[] = [];
  const splitter = new LineSplitter(options.lineBytesMax, (lines) => emitted.push(String(lines)));
  const ends = [...new Set(options.cuts)].filter((end) => end < bytes.length).sort((a, b) => a - b);
  let start = 0;
  for (const end of [...ends, bytes.length]) {
    splitter.push(bytes.subarray(start, end));
    start = end;
  }
  splitter.end();
  return emitted;
}
