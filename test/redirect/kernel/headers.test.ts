/** Each header of the kernel programs says what it needs: it compiles alone, and after any other. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const SOURCES = fileURLToPath(new URL('../../../src/redirect/bpf', import.meta.url));
/** Of each object. */
const OBJECTS = { sallyport: '.', services: 'services' };
const MACHINE = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] ?? process.arch;
/** Debian keeps asm/ there; see scripts/bpf.mjs. */
const ASM = [`/usr/include/${MACHINE}-linux-gnu`].filter((folder) => existsSync(folder));

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-headers-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What the compiler says of a file that includes just these. */
function saidOf(headers: readonly string[]): string {
  const path = join(folder, 'one.c');
  writeFileSync(path, headers.map((name) => `#include "${name}"\n`).join(''));
  const flags = ['-O2', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Wextra', '-Wno-unused-function'];
  const folders = [SOURCES, ...ASM].map((one) => `-I${one}`);
  const clang = process.env['CLANG'] ?? 'clang';
  const result = spawnSync(clang, [...flags, ...folders, '-fsyntax-only', path], {
    encoding: 'utf8',
  });
  if (result.error !== undefined) throw result.error;
  return result.stderr;
}

describe.each(Object.entries(OBJECTS))('headers of %s', (_, folder) => {
  const headers = readdirSync(join(SOURCES, folder))
    .filter((name) => name.endsWith('.h'))
    .map((name) => join(folder, name));

  it.each(headers)('%s compiles alone', (name) => {
    expect(saidOf([name])).toBe('');
  });

  it('and in the other order', () => {
    expect(saidOf(headers.toReversed())).toBe('');
  });

  it('and one that is missing would be told', () => {
    expect(saidOf(['none.h'])).toContain("'none.h' file not found");
  });
});
