import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readBounded } from '../../../../src/control/source/files/bounded_file.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-bounded-'));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const OPTIONS = { bytesMax: 100_000, isPipeAllowed: false };

describe('a bounded read', () => {
  it.each([0, 1, 65_535, 65_536, 65_537, 99_999, 100_000])('gives all %i bytes', (size) => {
    const content = Buffer.alloc(size, 'abc');
    writeFileSync(join(root, 'file'), content);
    expect(readBounded(join(root, 'file'), OPTIONS)).toEqual({ kind: 'bytes', bytes: content });
  });

  it('of a file that is larger than its bound says so', () => {
    writeFileSync(join(root, 'file'), Buffer.alloc(100_001));
    expect(readBounded(join(root, 'file'), OPTIONS)).toEqual({ kind: 'too-large' });
  });

  it('of what says that it is empty and has no end is bounded all the same', () => {
    expect(readBounded('/dev/zero', { ...OPTIONS, isPipeAllowed: true })).toEqual({
      kind: 'too-large',
    });
  });

  it('gives what the system makes up, whose size is 0', () => {
    const read = readBounded('/proc/self/status', OPTIONS);
    expect(read.kind === 'bytes' && read.bytes.length).toBeGreaterThan(100);
  });

  it.each(['pipe', 'link to a pipe'])('does not wait for a %s that nobody writes', (name) => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    symlinkSync(join(root, 'pipe'), join(root, 'link to a pipe'));
    expect(readBounded(join(root, name), OPTIONS)).toEqual({ kind: 'not-regular' });
  });

  it('throws what the system says of a path that is not there', () => {
    expect(() => readBounded(join(root, 'none'), OPTIONS)).toThrow(/ENOENT/);
  });
});
