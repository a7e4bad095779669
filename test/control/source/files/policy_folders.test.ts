/** Folders of policies: what in them and below them is read, once, and that changes anywhere in them are seen. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PolicyFiles } from '../../../../src/control/source/files/policy_files.ts';
import { readPolicyPaths } from '../../../../src/control/source/files/read_texts.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import type { Timers } from '../../../../src/platform/platform.ts';

let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-folders-'));
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe('a folder', () => {
  it('is read with those below it, in the order of names', async () => {
    for (const name of [
      'b.yaml',
      'a/2.yml',
      'a/1.json',
      'a/deep/er/x.yaml',
      'c/README.md',
      'z.yaml/p.yaml',
    ])
      write(name);
    await reads([root], ['a/1.json', 'a/2.yml', 'a/deep/er/x.yaml', 'b.yaml', 'z.yaml/p.yaml']);
  });

  it('is read without what is hidden', async () => {
    for (const name of ['.git/x.yaml', 'a/.hidden.yaml', '..data/x.yaml', 'a/b.yaml~', 'a/ok.yaml'])
      write(name);
    await reads([root], ['a/ok.yaml']);
  });

  it('is read once, however many links lead to it, and those in a circle end', async () => {
    write('a/p.yaml');
    symlinkSync('..', join(root, 'a', 'up'));
    symlinkSync('a', join(root, 'again'));
    symlinkSync('loop', join(root, 'loop2'));
    symlinkSync('p.yaml', join(root, 'a', 'q.yaml'));
    await reads([root], ['a/p.yaml']);
    await reads([root, join(root, 'a'), join(root, 'a', 'p.yaml')], ['a/p.yaml']);
    await reads([join(root, 'again')], ['again/p.yaml']);
  });

  it('that a ConfigMap mounts below another is read once, under its stable name', async () => {
    write('..1/sub/p.yaml');
    write('..1/p.yaml');
    symlinkSync('..1', join(root, '..data'));
    symlinkSync('..data/sub', join(root, 'sub'));
    symlinkSync('..data/p.yaml', join(root, 'p.yaml'));
    await reads([root], ['p.yaml', 'sub/p.yaml']);
  });

  it('is an error beyond the bound, and where a link to a policy leads nowhere', async () => {
    const limits = { ...DEFAULT_LIMITS, policyFolderCountMax: 2 };
    write('a/b/c/p.yaml');
    await expect(readPolicyPaths([root], limits)).rejects.toThrow(
      /cannot read .*\/a\/b: it is one folder more than policyFolderCountMax allows \(2\)/,
    );
    symlinkSync('nowhere', join(root, 'link'));
    await reads([root], ['a/b/c/p.yaml']);
    symlinkSync('nowhere', join(root, 'link.yaml'));
    await expect(readPolicyPaths([root], DEFAULT_LIMITS)).rejects.toThrow('no such file');
  });

  it('may hold a link to itself, which leads nowhere; as a policy it is an error, never a crash', async () => {
    write('a/p.yaml');
    symlinkSync('circle', join(root, 'a', 'circle'));
    await reads([root], ['a/p.yaml']);
    symlinkSync('circle.yaml', join(root, 'a', 'circle.yaml'));
    expect(sourceOf([root], new HandTimers()).read()).toEqual({
      kind: 'error',
      path: join(root, 'a', 'circle.yaml'),
      message: `cannot read ${join(root, 'a', 'circle.yaml')}: it is a symbolic link that leads in a circle`,
    });
  });

  it('is an error when it cannot be known whether a link leads to policies', async () => {
    // Longer than a file system takes: stands for each failure that is not "there is none".
    symlinkSync('x'.repeat(300), join(root, 'link'));
    const read = sourceOf([root], new HandTimers()).read();
    expect(read).toMatchObject({ kind: 'error', path: join(root, 'link') });
  });
});

describe('watching a folder', () => {
  const changes: readonly [about: string, change: () => void][] = [
    ['a file changes below', () => write('a/b/p.yaml', 'more')],
    ['a file comes below', () => write('a/b/q.yaml')],
    ['a file goes below', () => rmSync(join(root, 'a/b/p.yaml'))],
    ['a folder comes', () => write('new/er/p.yaml')],
    ['a folder goes', () => rmSync(join(root, 'a'), { recursive: true })],
    ['a folder is renamed', () => renameSync(join(root, 'a'), join(root, 'other'))],
  ];
  it.each(changes)('tells when %s', (_, change) => {
    write('a/b/p.yaml');
    const { timers, counted, stop } = watching();
    change();
    timers.poll();
    timers.settle();
    expect(counted()).toBe(1);
    timers.poll();
    timers.settle();
    expect(counted()).toBe(1);
    stop();
  });

  it('is told by the file system of a change below, also in a folder that came later', async () => {
    write('a/p.yaml');
    const { timers, counted, stop } = watching();
    let told = timers.nextAfter();
    write('a/p.yaml', 'more');
    await told;
    timers.settle();
    expect(counted()).toBe(1);
    told = timers.nextAfter();
    write('b/c/p.yaml');
    await told;
    timers.settle();
    told = timers.nextAfter();
    write('b/c/p.yaml', 'more');
    await told;
    timers.settle();
    expect(counted()).toBeGreaterThanOrEqual(3);
    stop();
  });
});

function write(name: string, text = name): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), text);
}

/** By the proxy's way and by that of the tools. */
async function reads(paths: readonly string[], names: readonly string[]): Promise<void> {
  const result = sourceOf(paths, new HandTimers()).read();
  const read = result.kind === 'ok' ? result.bundle.policies : [];
  const expected = names.map((name) => join(root, name));
  expect(read.map(({ path }) => path)).toEqual(expected);
  const texts = await readPolicyPaths(paths, DEFAULT_LIMITS);
  expect(texts.map(({ path }) => path)).toEqual(expected);
}

function watching() {
  const timers = new HandTimers();
  const source = sourceOf([root], timers);
  let count = 0;
  source.watch(() => {
    count += 1;
  });
  return { timers, counted: () => count, stop: () => source.stop() };
}

function sourceOf(policies: readonly string[], timers: Timers): PolicyFiles {
  const nothing = { endpoints: null, secrets: null };
  return new PolicyFiles({ policies, timers, ...nothing, limits: DEFAULT_LIMITS });
}

/** Timers that run when the test says so. */
class HandTimers implements Timers {
  readonly #repeated = new Set<() => void>();
  #pending: (() => void) | null = null;
  #onAfter: (() => void) | null = null;

  every(_intervalMs: number, task: () => void): () => void {
    this.#repeated.add(task);
    return () => this.#repeated.delete(task);
  }

  after(_delayMs: number, task: () => void): () => void {
    this.#pending = task;
    this.#onAfter?.();
    return () => {
      if (this.#pending === task) this.#pending = null;
    };
  }

  poll(): void {
    for (const task of this.#repeated) task();
  }

  settle(): void {
    for (let task = this.#pending; task !== null; task = this.#pending) {
      this.#pending = null;
      task();
    }
  }

  nextAfter(): Promise<void> {
    if (this.#pending !== null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onAfter = resolve;
    });
  }
}
