/**
 * The compiler leads whoever adds an L7 protocol. This test adds one to a copy of the sources: the files that no longer
 * compile are those that docs/extending.md lists.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ROOT, SourceCopy } from '../support/source_copy.ts';

const copy = new SourceCopy();

afterAll(() => copy.remove());

it('the compiler names every place that a new L7 protocol lacks, as the page says', async () => {
  copy.replace('src/model/decision.ts', "'dns'] as const", "'dns', 'kafka'] as const");
  expect(filesOf(await copy.errors())).toEqual(listedFiles());
}, 120_000);

/** Sorted, each once. */
function filesOf(errors: readonly string[]): readonly string[] {
  const files = errors.flatMap((line) => /^(\S+?)\(\d+,\d+\): error TS/.exec(line)?.[1] ?? []);
  return [...new Set(files)].sort();
}

/** First column of the first table of the section. */
function listedFiles(): readonly string[] {
  const page = readFileSync(join(ROOT, 'docs/extending.md'), 'utf8');
  const section = page.split('\n## ').find((text) => text.startsWith('An L7 protocol\n')) ?? '';
  return [...section.matchAll(/^\| `(src\/[^`]+)` \|/gm)].map(([, file]) => file as string).sort();
}
