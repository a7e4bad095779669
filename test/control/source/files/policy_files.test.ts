import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PolicyFiles } from '../../../../src/control/source/files/policy_files.ts';
import { readPolicyPaths } from '../../../../src/control/source/files/read_texts.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import type { Timers } from '../../../../src/platform/platform.ts';

let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-files-'));
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe('reading', () => {
  it('takes the policy files of a directory, sorted, and no others', () => {
    for (const name of ['b.yml', 'a.yaml', 'c.json', 'README.md', '.hidden.yaml', 'd.yaml~']) {
      write(name, name);
    }
    mkdirSync(join(root, 'below.yaml'));
    expect(textsOf(read([root]))).toEqual(['a.yaml', 'b.yml', 'c.json']);
  });

  it('takes a named file whatever its name, and a file that is named twice once', () => {
    write('policy.txt', 'x');
    const path = join(root, 'policy.txt');
    expect(textsOf(read([path, path]))).toEqual(['x']);
  });

  it('does not wait for a pipe that nobody writes', () => {
    execFileSync('mkfifo', [join(root, 'p.yaml')]);
    const pipe = join(root, 'p.yaml');
    expect(describeRead(read([root]))).toContain('it is not a regular file');
    expect(describeRead(sourceOf([], { endpoints: pipe }).read())).toContain('not a regular file');
    expect(describeRead(sourceOf([], { secrets: pipe }).read())).toContain('not a regular file');
  });

  it('follows the links of a ConfigMap mount and names files as they are mounted', () => {
    mountConfigMap('one');
    const result = read([root]);
    expect(textsOf(result)).toEqual(['one']);
    expect(result.kind === 'ok' ? result.bundle.policies[0]?.path : '').toBe(join(root, 'p.yaml'));
  });

  it('reads endpoints and secrets beside the policies', () => {
    write('e.yaml', 'e');
    write('s.yaml', 's');
    const source = sourceOf([], { endpoints: join(root, 'e.yaml'), secrets: join(root, 's.yaml') });
    const result = source.read();
    expect(
      result.kind === 'ok' ? [result.bundle.endpoints?.text, result.bundle.secrets?.text] : [],
    ).toEqual(['e', 's']);
  });

  const failures: readonly [about: string, prepare: () => string, message: string][] = [
    ['a file that is not there', () => join(root, 'none.yaml'), 'no such file'],
    [
      'a file that is not UTF-8',
      () => writeBytes('x.yaml', Buffer.from([0xff, 0xfe])),
      'not UTF-8',
    ],
    ['too many bytes', () => writeBytes('x.yaml', Buffer.alloc(101, 0x20)), 'policyBytesMax'],
    [
      'too many files',
      () => [write('a.yaml', ''), write('b.yaml', ''), write('c.yaml', ''), root].pop() as string,
      'policyFileCountMax',
    ],
    ['a link to nowhere', () => linkToNowhere(), 'no such file'],
  ];
  it.each(failures)('is an error for %s', async (_, prepare, message) => {
    const limits = { ...DEFAULT_LIMITS, policyBytesMax: 100, policyFileCountMax: 2 };
    const path = prepare();
    const result = sourceOf([path], { limits }).read();
    expect(result.kind !== 'ok' ? result.message : '').toContain(message);
    await expect(readPolicyPaths([path], limits)).rejects.toThrow(message);
  });
});

describe('watching', () => {
  const changes: readonly [about: string, prepare: () => void, change: () => void][] = [
    ['a file is written', () => write('p.yaml', '1'), () => write('p.yaml', '22')],
    ['a file is replaced by a rename', () => write('p.yaml', '1'), () => replace('p.yaml', '2')],
    ['a file is added', () => write('p.yaml', '1'), () => write('q.yaml', '2')],
    ['a file is removed', () => write('p.yaml', '1'), () => rmSync(join(root, 'p.yaml'))],
    ['a ConfigMap is swapped', () => mountConfigMap('one'), () => swapConfigMap('two')],
  ];
  it.each(changes)('tells when %s, once', (_, prepare, change) => {
    prepare();
    const { timers, changeCount, stop } = watching([root]);
    timers.poll();
    expect(changeCount()).toBe(0);
    change();
    timers.poll();
    timers.settle();
    expect(changeCount()).toBe(1);
    timers.poll();
    timers.settle();
    expect(changeCount()).toBe(1);
    stop();
  });

  it('tells when the directory comes later', () => {
    const later = join(root, 'later');
    const { timers, changeCount, stop } = watching([later]);
    mkdirSync(later);
    writeFileSync(join(later, 'p.yaml'), '1');
    timers.poll();
    timers.settle();
    expect(changeCount()).toBe(1);
    stop();
  });

  it('tells of a change between the first read and the watch', () => {
    write('p.yaml', '1');
    const timers = new HandTimers();
    const source = sourceOf([root], { timers });
    source.read();
    write('p.yaml', '2');
    let count = 0;
    source.watch(() => {
      count += 1;
    });
    timers.poll();
    timers.settle();
    source.stop();
    expect(count).toBe(1);
  });

  it('tells that files can be read again which the system did not give, though none has changed', () => {
    write('a.yaml', '1');
    write('b.yaml', '2');
    let fault: string | null = 'EMFILE';
    const timers = new HandTimers();
    const source = sourceOf([root], {
      timers,
      readBytes: (path) => {
        if (fault !== null && path.endsWith('b.yaml')) {
          throw Object.assign(new Error(`${fault}: no`), { code: fault });
        }
        return readFileSync(path);
      },
    });
    const told: string[] = [];
    const look = (): readonly string[] => {
      timers.poll();
      timers.settle();
      return told.splice(0);
    };
    expect(describeRead(source.read())).toContain('too many files are open');
    source.watch(() => told.push(describeRead(source.read())));
    expect([...look(), ...look()]).toEqual([]);
    fault = 'EIO';
    expect([...look(), ...look()]).toEqual([expect.stringContaining('EIO')]);
    fault = null;
    expect([...look(), ...look()]).toEqual(['1 2']);
    source.stop();
  });

  it('says nothing of files that are no policies', () => {
    write('p.yaml', '1');
    const { timers, changeCount, stop } = watching([root]);
    write('notes.txt', 'x');
    timers.poll();
    timers.settle();
    expect(changeCount()).toBe(0);
    stop();
  });

  it('is told by the file system, without a look', async () => {
    write('p.yaml', '1');
    const { timers, changeCount, stop } = watching([root]);
    const told = timers.nextAfter();
    write('p.yaml', '22');
    await told;
    timers.settle();
    expect(changeCount()).toBe(1);
    stop();
  });

  it('says nothing any more once it is stopped', () => {
    write('p.yaml', '1');
    const { timers, changeCount, stop } = watching([root]);
    write('p.yaml', '22');
    timers.poll();
    stop();
    timers.settle();
    expect(changeCount()).toBe(0);
  });
});

describe('files that are still being written', () => {
  it('are not told of until a whole delay has passed in which nothing moved', () => {
    write('p.yaml', '1');
    const { timers, changeCount, stop } = watching([root]);
    write('p.yaml', '12');
    timers.poll();
    for (const text of ['123', '1234', '12345']) {
      write('p.yaml', text);
      timers.pass();
      expect(changeCount()).toBe(0);
    }
    timers.pass();
    expect(changeCount()).toBe(1);
    expect(timers.isWaiting).toBe(false);
    stop();
  });

  it('are read after a while when each is replaced by a whole one again and again', () => {
    write('p.yaml', '1');
    const { timers, changeCount, stop } = watching([root]);
    const replace = (text: string): void => {
      write('p.yaml.new', text);
      renameSync(join(root, 'p.yaml.new'), join(root, 'p.yaml'));
    };
    replace('22');
    timers.poll();
    for (let round = 0; round < 4; round++) {
      replace(`22${'2'.repeat(round)}`);
      timers.pass();
      expect(changeCount()).toBe(0);
    }
    replace('333');
    timers.pass();
    expect(changeCount()).toBe(1);
    stop();
  });

  it('are not read while one is written in place, however long, which is told', () => {
    write('p.yaml', '1');
    write('q.yaml', '1');
    let toldCount = 0;
    const onRestless = (): void => {
      toldCount++;
    };
    const { timers, changeCount, stop } = watching([root], onRestless);
    write('p.yaml', '');
    timers.poll();
    for (let round = 1; round < 120; round++) {
      write('p.yaml', 'x'.repeat(1 + round));
      write('q.yaml.new', 'y'.repeat(1 + round));
      renameSync(join(root, 'q.yaml.new'), join(root, 'q.yaml'));
      timers.pass();
      expect(changeCount()).toBe(0);
    }
    expect(toldCount).toBe(2);
    timers.settle();
    expect(changeCount()).toBe(1);
    stop();
  });

  const absences: readonly [about: string, leave: () => void, comeBack: () => void][] = [
    ['a file', () => rmSync(join(root, 'p.yaml')), () => write('p.yaml', '2')],
    [
      'a directory',
      () => rmSync(root, { recursive: true }),
      () => {
        mkdirSync(root);
        write('p.yaml', '2');
      },
    ],
  ];
  it.each(absences)('%s that is gone for a moment is not believed to be gone', (_, leave, back) => {
    write('p.yaml', '1');
    const read: string[] = [];
    const timers = new HandTimers();
    const source = sourceOf([root], { timers });
    source.read();
    source.watch(() => read.push(describeRead(source.read())));
    leave();
    timers.poll();
    back();
    timers.settle();
    source.stop();
    expect(read).toEqual(['2']);
  });

  it('that change under the reading are no bundle', () => {
    write('a.yaml', '1');
    write('b.yaml', '1');
    let isFirst = true;
    const source = sourceOf([root], {
      readBytes: (path) => {
        if (isFirst) write('a.yaml', '22');
        isFirst = false;
        return readFileSync(path);
      },
    });
    expect(describeRead(source.read())).toContain('changed while it was read');
    expect(describeRead(source.read())).toBe('22 1');
  });

  it('are not waited for longer because other files never rest', () => {
    write('p.yaml', '1');
    const { timers, changeCount, stop } = watching([root]);
    write('p.yaml', '22');
    timers.poll();
    write('access.log', '1');
    timers.poll();
    expect(timers.startCount).toBe(1);
    timers.pass();
    expect(changeCount()).toBe(1);
    stop();
  });

  it('are waited for by whoever asks for a reading, together', () => {
    write('p.yaml', '1');
    const timers = new HandTimers();
    const source = sourceOf([root], { timers });
    source.read();
    const settled: string[] = [];
    source.whenSettled(() => settled.push('first'));
    write('p.yaml', '22');
    source.whenSettled(() => settled.push('second'));
    timers.pass();
    expect(settled).toEqual([]);
    timers.settle();
    expect(settled).toEqual(['first', 'second']);
    source.stop();
  });
});

function describeRead(result: ReturnType<PolicyFiles['read']>): string {
  return result.kind === 'ok' ? textsOf(result).join(' ') : result.message;
}

/** Timers that run when the test says so. */
class HandTimers implements Timers {
  #repeated: (() => void)[] = [];
  #pending: (() => void) | null = null;
  #onAfter: (() => void) | null = null;
  /** How often a delay began. */
  startCount = 0;

  every(_intervalMs: number, task: () => void): () => void {
    this.#repeated.push(task);
    return () => {
      this.#repeated = this.#repeated.filter((one) => one !== task);
    };
  }

  after(_delayMs: number, task: () => void): () => void {
    this.startCount += 1;
    this.#pending = task;
    this.#onAfter?.();
    return () => {
      if (this.#pending === task) this.#pending = null;
    };
  }

  poll(): void {
    for (const task of this.#repeated) task();
  }

  /** The delay passes once. */
  pass(): void {
    const task = this.#pending;
    this.#pending = null;
    task?.();
  }

  get isWaiting(): boolean {
    return this.#pending !== null;
  }

  /** Delays pass until nothing waits. */
  settle(): void {
    while (this.isWaiting) this.pass();
  }

  nextAfter(): Promise<void> {
    return new Promise((resolve) => {
      this.#onAfter = resolve;
    });
  }
}

function watching(policies: readonly string[], onRestless: () => void = () => {}) {
  const timers = new HandTimers();
  const source = sourceOf(policies, { timers });
  let count = 0;
  source.watch(() => {
    count += 1;
  }, onRestless);
  return { timers, changeCount: () => count, stop: () => source.stop() };
}

function sourceOf(
  policies: readonly string[],
  changes: Partial<ConstructorParameters<typeof PolicyFiles>[0]> = {},
): PolicyFiles {
  const defaults = { endpoints: null, secrets: null, limits: DEFAULT_LIMITS };
  return new PolicyFiles({ policies, timers: new HandTimers(), ...defaults, ...changes });
}

function read(policies: readonly string[]) {
  return sourceOf(policies).read();
}

function textsOf(result: ReturnType<PolicyFiles['read']>): string[] {
  if (result.kind !== 'ok') throw new Error(result.message);
  return result.bundle.policies.map(({ text }) => text);
}

function write(name: string, text: string): string {
  return writeBytes(name, Buffer.from(text));
}

function writeBytes(name: string, bytes: Buffer): string {
  const path = join(root, name);
  writeFileSync(path, bytes);
  return path;
}

function replace(name: string, text: string): void {
  write('.new', text);
  renameSync(join(root, '.new'), join(root, name));
}

function linkToNowhere(): string {
  const path = join(root, 'x.yaml');
  symlinkSync(join(root, 'nowhere'), path);
  return path;
}

/** As the kubelet does it: data in a dated directory, `..data` links to it, files link through that. */
function mountConfigMap(text: string): void {
  mkdirSync(join(root, '..1'));
  writeFileSync(join(root, '..1', 'p.yaml'), text);
  symlinkSync('..1', join(root, '..data'));
  symlinkSync('..data/p.yaml', join(root, 'p.yaml'));
}

function swapConfigMap(text: string): void {
  mkdirSync(join(root, '..2'));
  writeFileSync(join(root, '..2', 'p.yaml'), text);
  symlinkSync('..2', join(root, '..data_tmp'));
  renameSync(join(root, '..data_tmp'), join(root, '..data'));
  rmSync(join(root, '..1'), { recursive: true });
}
