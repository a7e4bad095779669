/** The examples of docs/extending.md, applied to a copy of the sources one after the other, compile. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ROOT, SourceCopy } from '../support/source_copy.ts';

const page = readFileSync(join(ROOT, 'docs/extending.md'), 'utf8');
const copy = new SourceCopy();

afterAll(() => copy.remove());

it('the examples of docs/extending.md fit the sources and compile', async () => {
  let count = 0;
  for (const [, language = '', file = '', text = ''] of examples()) {
    if (language === 'ts') copy.write(file, text);
    else copy.replace(file, linesOf(text, ' -'), linesOf(text, ' +'));
    count++;
  }
  expect(count).toBeGreaterThan(20);
  expect(await copy.errors()).toEqual([]);
}, 120_000);

/** A block of TypeScript is a new file, a diff is a change of one that is there. */
function examples(): RegExpStringIterator<RegExpExecArray> {
  return page.matchAll(/^```(ts|diff)\n(?:\/\/|#) (src\/\S+)\n(.*?)^```$/gms);
}

/** The lines that begin with one of `signs`, without it. */
function linesOf(diff: string, signs: string): string {
  const lines = diff.split('\n').filter((line) => line !== '' && signs.includes(line.charAt(0)));
  return lines.map((line) => `${line.slice(1)}\n`).join('');
}
