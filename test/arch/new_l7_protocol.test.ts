/**
 * Who adds an L7 protocol is led by the compiler. This test adds one to a copy of the sources: the files that no longer
 * compile are those that docs/extending.md lists.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const COPY = mkdtempSync(join(tmpdir(), 'sallyport-protocol-'));
const VOCABULARY = 'src/model/decision.ts';

afterAll(() => rmSync(COPY, { recursive: true, force: true }));

it('the compiler names every place that a new L7 protocol lacks, as the page says', async () => {
  copySources();
  const before = readFileSync(join(COPY, VOCABULARY), 'utf8');
  const after = before.replace("'dns'] as const", "'dns', 'kafka'] as const");
  expect(after).not.toBe(before);
  writeFileSync(join(COPY, VOCABULARY), after);
  expect(await filesWithErrors()).toEqual(listedFiles());
}, 120_000);

function copySources(): void {
  cpSync(join(ROOT, 'src'), join(COPY, 'src'), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(COPY, 'package.json'));
  symlinkSync(join(ROOT, 'node_modules'), join(COPY, 'node_modules'));
  const config = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8'));
  writeFileSync(join(COPY, 'tsconfig.json'), JSON.stringify({ ...config, include: ['src'] }));
}

/** Sorted, each once. */
async function filesWithErrors(): Promise<readonly string[]> {
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  const output = await new Promise<string>((done) => {
    execFile(tsc, ['--pretty', 'false', '-p', COPY], { cwd: COPY }, (_error, stdout) =>
      done(stdout),
    );
  });
  const errors = output.matchAll(/^(\S+?)\(\d+,\d+\): error TS/gm);
  return [...new Set([...errors].map(([, file]) => file as string))].sort();
}

/** First column of the first table of the section. */
function listedFiles(): readonly string[] {
  const page = readFileSync(join(ROOT, 'docs/extending.md'), 'utf8');
  const section = page.split('\n## ').find((text) => text.startsWith('An L7 protocol\n')) ?? '';
  return [...section.matchAll(/^\| `(src\/[^`]+)` \|/gm)].map(([, file]) => file as string).sort();
}
