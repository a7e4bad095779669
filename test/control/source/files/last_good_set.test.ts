import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LastGoodSet } from '../../../../src/control/source/files/last_good_set.ts';
import type { SourceBundle } from '../../../../src/control/source/files/source_bundle.ts';

const WALL_MS = 1_700_000_000_000;

let root: string;
let folder: string;
let errors: string[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-state-'));
  folder = join(root, 'state');
  errors = [];
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('the last good set', () => {
  it('comes back as it was saved, with the time', async () => {
    const state = stateOf();
    state.save(bundleOf('a: ä\n'));
    await state.settled();
    expect(stateOf().load()).toEqual({
      kind: 'found',
      bundle: bundleOf('a: ä\n'),
      savedAt: '2023-11-14T22:13:20.000Z',
    });
    expect(errors).toEqual([]);
  });

  it('is for its owner alone, and leaves nothing else behind', async () => {
    const state = stateOf();
    state.save(bundleOf('a'));
    await state.settled();
    expect(statSync(dirname(state.path)).mode & 0o777).toBe(0o700);
    expect(statSync(state.path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dirname(state.path))).toEqual(['last-good']);
  });

  it('is the newest of several that were saved at once', async () => {
    const state = stateOf();
    for (let i = 0; i < 50; i++) state.save(bundleOf(`${i}`));
    await state.settled();
    expect(state.load()).toMatchObject({ bundle: bundleOf('49') });
  });

  it('is one for each user of the folder', async () => {
    const [proxy, loader] = [stateOf(), stateOf('loader')];
    proxy.save(bundleOf('proxy'));
    loader.save(bundleOf('loader'));
    await Promise.all([proxy.settled(), loader.settled()]);
    expect(proxy.load()).toMatchObject({ bundle: bundleOf('proxy') });
    expect(loader.load()).toMatchObject({ bundle: bundleOf('loader') });
  });

  it.each<{ name: string; harm: (path: string) => void; message: RegExp }>([
    { name: 'is not there', harm: (path) => rmSync(path), message: /^there is none$/ },
    { name: 'is empty', harm: (path) => truncateSync(path, 0), message: /^it is damaged$/ },
    {
      name: 'lacks its end',
      harm: (path) => truncateSync(path, statSync(path).size - 20),
      message: /checksum/,
    },
    { name: 'has one byte changed', harm: changed, message: /checksum is wrong/ },
    {
      name: 'is of another format',
      harm: (path) => rewritten(path, '"format":1', '"format":2'),
      message: /its format is 2, not 1/,
    },
    {
      name: 'can be written by others',
      harm: (path) => chmodSync(path, 0o602),
      message: /^it can be written by other users$/,
    },
    {
      name: 'lies in a folder that others can write',
      harm: (path) => chmodSync(dirname(path), 0o777),
      message: /^its folder can be written by other users$/,
    },
    { name: 'is a pipe that nobody writes', harm: piped, message: /^it is not a regular file$/ },
    { name: 'is a link to another file', harm: linked, message: /^it is a symbolic link$/ },
  ])('that $name is not used', async ({ harm, message }) => {
    const state = stateOf();
    state.save(bundleOf('a'));
    await state.settled();
    harm(state.path);
    expect(state.load()).toEqual({ kind: 'none', message: expect.stringMatching(message) });
  });

  it('that cannot be written is told, and what was there stays', async () => {
    const state = stateOf();
    state.save(bundleOf('a'));
    await state.settled();
    chmodSync(dirname(state.path), 0o777);
    state.save(bundleOf('b'));
    await state.settled();
    expect(errors).toEqual([expect.stringContaining('its folder can be written by other users')]);
    chmodSync(dirname(state.path), 0o700);
    expect(state.load()).toMatchObject({ bundle: bundleOf('a') });
    expect(readdirSync(dirname(state.path))).toEqual(['last-good']);
  });

  it('takes away what writers left behind that were killed, and not what one may be writing', async () => {
    const state = stateOf();
    mkdirSync(dirname(state.path), { recursive: true, mode: 0o700 });
    const now = `${state.path}.${randomUUID()}`;
    const before = `${state.path}.${randomUUID()}`;
    for (const path of [now, before]) writeFileSync(path, 'half');
    utimesSync(now, WALL_MS / 1000 - 1, WALL_MS / 1000 - 1);
    utimesSync(before, WALL_MS / 1000 - 60, WALL_MS / 1000 - 60);
    state.save(bundleOf('a'));
    await state.settled();
    expect(errors).toEqual([]);
    expect(readdirSync(dirname(state.path))).toEqual(['last-good', basename(now)]);
  });

  it('is not saved where a file stands in the place of the folder', async () => {
    writeFileSync(folder, '');
    const state = stateOf();
    state.save(bundleOf('a'));
    await state.settled();
    expect(errors).toHaveLength(1);
    expect(state.load()).toMatchObject({ kind: 'none' });
  });
});

function stateOf(name = 'proxy'): LastGoodSet {
  return new LastGoodSet({
    folder,
    name,
    wallMs: () => WALL_MS,
    onError: (message) => errors.push(message),
  });
}

function bundleOf(text: string): SourceBundle {
  return {
    policies: [{ path: 'policies/a.yaml', text }],
    endpoints: { path: 'endpoints.yaml', text: 'endpoints: []\n' },
    secrets: null,
    hasNodeLabels: true,
  };
}

function piped(path: string): void {
  rmSync(path);
  execFileSync('mkfifo', ['-m', '600', path]);
}

function changed(path: string): void {
  rewritten(path, 'endpoints: []', 'endpoints: {}');
}

function rewritten(path: string, from: string, to: string): void {
  const text = readFileSync(path, 'utf8');
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
}

function linked(path: string): void {
  const target = join(root, 'elsewhere');
  mkdirSync(target);
  const other = join(target, 'set');
  writeFileSync(other, readFileSync(path), { mode: 0o600 });
  rmSync(path);
  symlinkSync(other, path);
}
