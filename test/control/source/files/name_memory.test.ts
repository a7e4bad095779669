/** Lookups on disk: what was written is read again, what is damaged or another's is not. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { KeptLookup } from '../../../../src/control/names/name_cache.ts';
import { NameMemory } from '../../../../src/control/source/files/name_memory.ts';
import { type IpAddress, parseIp } from '../../../../src/model/address.ts';

let folder: string;
let problems: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-names-'));
  problems = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const memory = (isOurs = true): NameMemory =>
  new NameMemory({
    ...{ folder, name: 'proxy', isOurs },
    wallMs: () => 0,
    onError: (problem) => problems.push(problem),
  });

const lookup = (name: string, ...ips: readonly string[]): KeptLookup => ({
  ...{ name, holder: 'shop/web', ttlSeconds: 60, atMs: 1000 },
  addresses: ips.map((ip) => parseIp(ip) as IpAddress),
});

const path = (): string => join(folder, 'proxy/names');

it('is what was learned, in its order', () => {
  const first = memory();
  expect(first.load()).toEqual([]);
  first.append([lookup('a.test.', '192.0.2.1', '2001:db8::1')]);
  first.append([lookup('b.test.', '192.0.2.2')]);
  expect(memory().load()).toEqual([
    lookup('a.test.', '192.0.2.1', '2001:db8::1'),
    lookup('b.test.', '192.0.2.2'),
  ]);
  expect(statSync(path()).mode & 0o777).toBe(0o600);
  first.rewrite([lookup('c.test.', '192.0.2.3')]);
  first.append([lookup('d.test.', '192.0.2.4')]);
  expect(
    memory()
      .load()
      .map(({ name }) => name),
  ).toEqual(['c.test.', 'd.test.']);
  expect(problems).toEqual([]);
});

it('ends where a process was killed', () => {
  memory().append([lookup('a.test.', '192.0.2.1'), lookup('b.test.', '192.0.2.2')]);
  const text = readFileSync(path(), 'utf8');
  for (let end = 0; end < text.length; end++) {
    writeFileSync(path(), text.slice(0, end));
    const whole = text.slice(0, end).split('\n').length - 1;
    expect(memory().load()).toHaveLength(whole);
  }
});

it('goes on behind a line that was not written to its end, which is lost alone', () => {
  const first = memory();
  first.append([lookup('a.test.', '192.0.2.1'), lookup('b.test.', '192.0.2.2')]);
  const text = readFileSync(path(), 'utf8');
  for (let end = text.indexOf('\n') + 1; end < text.length; end++) {
    writeFileSync(path(), text.slice(0, end));
    const next = memory();
    next.load();
    next.append([lookup('c.test.', '192.0.2.3')]);
    const names = memory()
      .load()
      .map(({ name }) => name);
    // Of the last line nothing may be missing but its end.
    expect(names.filter((name) => name !== 'b.test.')).toEqual(['a.test.', 'c.test.']);
  }
});

it('is not taken when others can write it', () => {
  memory().append([lookup('a.test.', '192.0.2.1')]);
  chmodSync(path(), 0o666);
  expect(memory().load()).toEqual([]);
  expect(problems).toEqual([expect.stringContaining('can be written by other users')]);
});

it('is not written before it is ours', () => {
  const waiting = memory(false);
  waiting.append([lookup('a.test.', '192.0.2.1')]);
  expect(memory().load()).toEqual([]);
  waiting.own();
  waiting.append([lookup('b.test.', '192.0.2.2')]);
  expect(memory().load()).toHaveLength(1);
});
