/** Keys as Cilium's datapath writes them, and what becomes of a map that is missing, wrong or replaced. */
import { describe, expect, it } from 'vitest';
import { parseIp, parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import { encodeConntrackKey, encodeIpcacheKey } from '../../src/redirect/cilium_layout.ts';
import { type CiliumPins, openCiliumMaps, type PinnedMap } from '../../src/redirect/cilium_maps.ts';

const LIMITS = { ciliumCacheTtlMs: 3, ciliumCacheCountMax: 4, ciliumMapAgeMaxMs: 1000 };

describe('keys', () => {
  it.each([
    {
      source: '10.1.2.3:40000',
      destination: '10.4.5.6:8080',
      direction: 'ingress' as const,
      hex: '0a010203 0a040506 1f90 9c40 06 01',
    },
    {
      source: '10.1.2.3:40000',
      destination: '10.4.5.6:8080',
      direction: 'egress' as const,
      hex: '0a010203 0a040506 1f90 9c40 06 00',
    },
    {
      source: '[fd00::1]:1',
      destination: '[2001:db8::2]:443',
      direction: 'ingress' as const,
      hex: 'fd000000000000000000000000000001 20010db8000000000000000000000002 01bb 0001 06 01',
    },
  ])('conntrack: $source → $destination, $direction', ({ source, destination, direction, hex }) => {
    const tuple = { source: side(source), destination: side(destination) };
    const key = encodeConntrackKey(tuple, direction);
    expect(key.toString('hex')).toBe(hex.replaceAll(' ', ''));
  });

  it.each([
    ['10.1.2.3', '40000000 0000 00 01 0a010203000000000000000000000000'],
    ['fd00::1', 'a0000000 0000 00 02 fd000000000000000000000000000001'],
  ])('ipcache: %s', (ip, hex) => {
    const address = parseIp(ip);
    if (address === null) throw new Error('no address');
    expect(encodeIpcacheKey(address).toString('hex')).toBe(hex.replaceAll(' ', ''));
  });
});

describe('conntrack', () => {
  const ends = { source: address('10.0.0.1:1000'), destination: address('10.0.0.2:80') };

  it('tells who sent the first packet, at its fixed place of the entry', () => {
    const { maps, pins } = rig();
    const map = conntrack(4);
    const key = encodeConntrackKey(
      { source: side('10.0.0.1:1000'), destination: side('10.0.0.2:80') },
      'ingress',
    );
    map.values.set(key.toString('hex'), conntrackValue(0x0100_0007));
    pins.set('/bpf/tc/globals/cilium_ct4_global', map);
    expect(maps.sourceOf(ends, 'ingress')).toBe(0x0100_0007);
    expect(maps.sourceOf(ends, 'egress')).toBe(null);
    map.values.set(key.toString('hex'), conntrackValue(0));
    expect(maps.sourceOf(ends, 'ingress')).toBe(null);
  });

  it('knows nothing of sides of two families', () => {
    const { maps, problems } = rig();
    expect(maps.sourceOf({ ...ends, source: address('[::1]:1') }, 'ingress')).toBe(null);
    expect(problems).toEqual([]);
  });
});

describe('ipcache', () => {
  const path = '/bpf/tc/globals/cilium_ipcache';

  it('is asked anew once its answer is old, and never grows above its bound', () => {
    const { maps, pins, time } = rig();
    const map = ipcache(7);
    pins.set(path, map);
    expect(maps.identityOf('10.0.0.1')).toBe(7);
    map.answer = 8;
    expect(maps.identityOf('10.0.0.1')).toBe(7);
    time.nowMs += 3;
    expect(maps.identityOf('10.0.0.1')).toBe(8);
    map.lookupCount = 0;
    for (let n = 1; n <= 5; n++) maps.identityOf(`10.0.1.${n}`);
    map.lookupCount = 0;
    maps.identityOf('10.0.1.1');
    expect(map.lookupCount).toBe(1);
  });

  it('is opened again after a miss: the agent may have pinned another map', () => {
    const { maps, pins } = rig();
    const old = ipcache(0);
    pins.set(path, old);
    expect(maps.identityOf('10.0.0.1')).toBe(null);
    const next = ipcache(9);
    pins.set(path, next);
    expect(maps.identityOf('10.0.0.2')).toBe(9);
    expect([old.openCount, next.openCount]).toEqual([0, 1]);
  });

  it('is opened again after a while: a map that was replaced answers for ever', () => {
    const { maps, pins, time } = rig();
    const old = ipcache(7);
    pins.set(path, old);
    expect(maps.identityOf('10.0.0.1')).toBe(7);
    pins.set(path, ipcache(8));
    time.nowMs += 999;
    expect(maps.identityOf('10.0.0.1')).toBe(7);
    time.nowMs += 3;
    expect(maps.identityOf('10.0.0.1')).toBe(8);
    expect(old.openCount).toBe(0);
  });

  it.each([
    { about: 'type', shape: { type: 1 } },
    { about: 'key', shape: { keyBytes: 20 } },
    { about: 'value', shape: { valueBytes: 3 } },
    { about: 'value', shape: { valueBytes: 65 } },
  ])('is not read when its $about is another than Cilium’s: $shape', ({ shape }) => {
    const { maps, pins, problems } = rig();
    const map: FakeMap = Object.assign(ipcache(7), shape as Partial<FakeMap>);
    pins.set(path, map);
    expect(maps.identityOf('10.0.0.1')).toBe(null);
    expect(problems).toHaveLength(1);
    expect(map.openCount).toBe(0);
  });

  it('that is not there knows nobody, and says so', () => {
    const { maps, problems } = rig();
    expect(maps.identityOf('10.0.0.1')).toBe(null);
    expect(problems).toEqual([new Error(`no pin ${path}`)]);
  });

  it.each([
    ['the only one', ['cilium_ipcache_v2'], 'cilium_ipcache_v2'],
    ['the only one, of an older version', ['cilium_ipcache'], 'cilium_ipcache'],
    ['the newest', ['cilium_ipcache', 'cilium_ipcache_v2'], 'cilium_ipcache_v2'],
    ['the newest by number', ['cilium_ipcache_v10', 'cilium_ipcache_v9'], 'cilium_ipcache_v10'],
    [
      'no other map',
      ['cilium_ipcache_v2', 'cilium_ipcache_v2_old', 'cilium_ipcache_v', 'xcilium_ipcache_v3'],
      'cilium_ipcache_v2',
    ],
  ])('is found by itself: %s', (_about, names, expected) => {
    const { maps, pins } = rig(null);
    for (const name of names) {
      pins.set(`/bpf/tc/globals/${name}`, ipcache(name === expected ? 7 : 8));
    }
    maps.checkIpcache();
    expect(maps.identityOf('10.0.0.1')).toBe(7);
  });

  it('that another version pins anew is followed', () => {
    const { maps, pins, time } = rig(null);
    pins.set(path, ipcache(7));
    expect(maps.identityOf('10.0.0.1')).toBe(7);
    pins.set(`${path}_v2`, ipcache(8));
    time.nowMs += 1001;
    expect(maps.identityOf('10.0.0.1')).toBe(8);
  });

  it.each([
    [null, '/bpf/tc/globals: no ipcache of Cilium’s'],
    ['cilium_ipcache', 'no pin'],
  ])('that is not there is no reason to start: %s', (name, message) => {
    const { maps, pins } = rig(name);
    pins.set('/bpf/tc/globals/cilium_ct4_global', conntrack(4));
    expect(() => maps.checkIpcache()).toThrow(message);
  });

  it('keeps no map open after it is closed', () => {
    const { maps, pins } = rig();
    const map = ipcache(7);
    pins.set(path, map);
    maps.identityOf('10.0.0.1');
    maps.close();
    expect(map.openCount).toBe(0);
  });
});

class FakeMap implements PinnedMap {
  type = 11;
  keyBytes = 24;
  valueBytes = 12;
  /** 0: a miss. */
  answer = 0;
  lookupCount = 0;
  openCount = 0;
  readonly values = new Map<string, Buffer>();

  lookup(key: Buffer): Buffer | null {
    this.lookupCount++;
    if (this.answer === 0) return this.values.get(key.toString('hex')) ?? null;
    const value = Buffer.alloc(this.valueBytes);
    value.writeUInt32LE(this.answer);
    return value;
  }

  close(): void {
    this.openCount--;
  }
}

function rig(ipcacheName: string | null = 'cilium_ipcache'): {
  readonly maps: CiliumPins;
  readonly pins: Map<string, FakeMap>;
  readonly problems: Error[];
  readonly time: { nowMs: number };
} {
  const pins = new Map<string, FakeMap>();
  const problems: Error[] = [];
  const time = { nowMs: 10_000 };
  const maps = openCiliumMaps({
    root: '/bpf',
    ipcacheName,
    list: () => [...pins.keys()].map((path) => path.slice('/bpf/tc/globals/'.length)),
    limits: LIMITS,
    clock: { nowMs: () => time.nowMs, wallMs: () => time.nowMs },
    onProblem: (problem) => problems.push(problem),
    open: (path) => {
      const map = pins.get(path);
      if (map === undefined) throw new Error(`no pin ${path}`);
      map.openCount++;
      return map;
    },
  });
  return { maps, pins, problems, time };
}

function ipcache(answer: number): FakeMap {
  return Object.assign(new FakeMap(), { answer });
}

function conntrack(family: 4 | 6): FakeMap {
  return Object.assign(new FakeMap(), {
    type: 9,
    keyBytes: family === 4 ? 14 : 38,
    valueBytes: 56,
  });
}

function conntrackValue(identity: number): Buffer {
  const value = Buffer.alloc(56, 0xff);
  value.writeUInt32LE(identity, 44);
  return value;
}

function address(text: string): SocketAddress {
  const parsed = parseSocketAddress(text);
  if (parsed === null) throw new Error(`no address: ${text}`);
  return parsed;
}

function side(text: string): SocketAddress & { readonly bytes: Uint8Array } {
  const parsed = address(text);
  return { ...parsed, bytes: parseIp(parsed.ip)?.bytes ?? new Uint8Array() };
}
