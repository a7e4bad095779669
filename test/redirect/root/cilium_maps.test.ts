/** Cilium's maps as its datapath makes them, in the kernel: read by type, size and key that it has. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseIp, parseSocketAddress, type SocketAddress } from '../../../src/model/address.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';
import { type CiliumIdentities, openCiliumMaps } from '../../../src/redirect/cilium_maps.ts';
import { HASH, LPM_TRIE, LRU_HASH, PinnedTestMap } from './pinned_maps.ts';

const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const UID = 1337;

let bpffs: string;
let globals: string;
let problems: Error[];
let maps: CiliumIdentities;
const made: PinnedTestMap[] = [];

beforeEach(() => {
  bpffs = mkdtempSync(join(tmpdir(), 'spC-cilium-'));
  chmodSync(bpffs, 0o755);
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
  chmodSync(bpffs, 0o755);
  globals = join(bpffs, 'tc/globals');
  mkdirSync(globals, { recursive: true });
  problems = [];
  maps = openCiliumMaps({
    root: bpffs,
    ipcacheName: 'cilium_ipcache',
    limits: { ...DEFAULT_LIMITS, ciliumCacheTtlMs: 0 },
    clock: nodePlatform().clock,
    onProblem: (problem) => problems.push(problem),
  });
});

afterEach(() => {
  maps.close();
  for (const map of made.splice(0)) map.close();
  execFileSync('umount', [bpffs]);
  rmSync(bpffs, { recursive: true, force: true });
});

describe('conntrack', () => {
  it.each([
    { name: 'cilium_ct4_global', type: LRU_HASH, bits: 32, from: '10.0.0.1', to: '10.0.0.2' },
    { name: 'cilium_ct4_global', type: HASH, bits: 32, from: '10.0.0.1', to: '10.0.0.2' },
    { name: 'cilium_ct6_global', type: LRU_HASH, bits: 128, from: 'fd00::1', to: 'fd00::2' },
  ])('$name of type $type gives the source identity', ({ name, type, bits, from, to }) => {
    const map = newMap(name, { type, keyBytes: bits / 4 + 6, valueBytes: 56 });
    const key = Buffer.concat([
      bytesOf(from),
      bytesOf(to),
      Buffer.from([0x1f, 0x90, 0x9c, 0x40, 6, 1]),
    ]);
    const value = Buffer.alloc(56, 0xee);
    value.writeUInt32LE(54321, 44);
    map.set(key, value);
    const ends = { source: at(from, 40000), destination: at(to, 8080) };
    expect(maps.sourceOf(ends, 'ingress')).toBe(54321);
    expect(maps.sourceOf(ends, 'egress')).toBe(null);
    expect(problems).toEqual([]);
  });
});

describe('ipcache', () => {
  it('gives the identity of the longest prefix', () => {
    const map = newMap('cilium_ipcache', { type: LPM_TRIE, keyBytes: 24, valueBytes: 12 });
    map.set(prefix(0, '10.0.0.0'), identity(9));
    map.set(prefix(8, '10.0.0.0'), identity(16777300));
    map.set(prefix(32, '10.0.0.7'), identity(40000));
    map.set(prefix(64, 'fd00::'), identity(16777301));
    expect(maps.identityOf('10.0.0.7')).toBe(40000);
    expect(maps.identityOf('10.0.0.8')).toBe(16777300);
    expect(maps.identityOf('192.0.2.1')).toBe(9);
    expect(maps.identityOf('fd00::5')).toBe(16777301);
    expect(maps.identityOf('fd01::5')).toBe(null);
    expect(problems).toEqual([]);
  });

  it('that the agent pinned anew is found at the next miss', () => {
    newMap('cilium_ipcache', { type: LPM_TRIE, keyBytes: 24, valueBytes: 12 });
    expect(maps.identityOf('10.0.0.7')).toBe(null);
    unlinkSync(join(globals, 'cilium_ipcache'));
    const next = newMap('cilium_ipcache', { type: LPM_TRIE, keyBytes: 24, valueBytes: 12 });
    next.set(prefix(32, '10.0.0.7'), identity(40000));
    expect(maps.identityOf('10.0.0.7')).toBe(40000);
  });

  it('of another shape is not read', () => {
    const map = newMap('cilium_ipcache', { type: HASH, keyBytes: 24, valueBytes: 12 });
    map.set(prefix(32, '10.0.0.7'), identity(40000));
    expect(maps.identityOf('10.0.0.7')).toBe(null);
    expect(problems[0]?.message).toContain('is not the one');
  });

  it('is read by a user who has the permission of the pin, and no capability', () => {
    const map = newMap('cilium_ipcache', { type: LPM_TRIE, keyBytes: 24, valueBytes: 12 });
    map.set(prefix(32, '10.0.0.7'), identity(40000));
    for (const path of [join(bpffs, 'tc'), globals]) chmodSync(path, 0o755);
    chmodSync(join(globals, 'cilium_ipcache'), 0o644);
    expect(askAsUser()).toBe('40000');
    chmodSync(join(globals, 'cilium_ipcache'), 0o600);
    expect(askAsUser()).toContain('EACCES');
  });
});

/** What a process without any capability is told. */
function askAsUser(): string {
  const script = `
    import { openCiliumMaps } from '${ROOT}/src/redirect/cilium_maps.ts';
    const maps = openCiliumMaps({
      root: '${bpffs}',
      ipcacheName: 'cilium_ipcache',
      limits: { ciliumCacheTtlMs: 0, ciliumCacheCountMax: 1, ciliumMapAgeMaxMs: 1000 },
      clock: { nowMs: () => performance.now(), wallMs: () => 0 },
      onProblem: (problem) => console.log(problem.message),
    });
    const identity = maps.identityOf('10.0.0.7');
    if (identity !== null) console.log(identity);
  `;
  const user = [`--reuid=${UID}`, `--regid=${UID}`, '--clear-groups', '--no-new-privs'];
  const node = [process.execPath, '--input-type=module-typescript', '-e', script];
  return execFileSync('setpriv', [...user, ...node], { encoding: 'utf8', cwd: '/' }).trim();
}

function newMap(
  name: string,
  shape: ConstructorParameters<typeof PinnedTestMap>[1],
): PinnedTestMap {
  const map = new PinnedTestMap(join(globals, name), shape);
  made.push(map);
  return map;
}

function prefix(length: number, ip: string): Buffer {
  const key = Buffer.alloc(24);
  key.writeUInt32LE(32 + length, 0);
  key[7] = ip.includes(':') ? 2 : 1;
  key.set(bytesOf(ip), 8);
  return key;
}

function identity(value: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(value, 0);
  return bytes;
}

function bytesOf(ip: string): Uint8Array {
  return parseIp(ip)?.bytes ?? new Uint8Array();
}

function at(ip: string, port: number): SocketAddress {
  const address = parseSocketAddress(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
  if (address === null) throw new Error(`no address: ${ip}`);
  return address;
}
