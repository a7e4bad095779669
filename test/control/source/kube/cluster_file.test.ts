/** The state of a cluster on disk: what was in force is in force after a start without an API server. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ClusterFile } from '../../../../src/control/source/kube/cluster_file.ts';
import type { TrustedAuthorities } from '../../../../src/kube/access/authorities.ts';
import { type IpPrefix, parsePrefix } from '../../../../src/model/address.ts';
import type { Limits } from '../../../../src/model/limits.ts';
import { EMPTY_INVENTORY } from '../../../../src/policy/resolve/inventory.ts';
import { inventoryOf } from '../../../support/inventory.ts';
import {
  allowsApp,
  KubeSourceRig,
  podObject,
  policyObject,
} from '../../../support/kube_source_rig.ts';
import { ManualPlatform } from '../../../support/manual_platform.ts';

const CNP = 'CiliumNetworkPolicy';
const INTERVAL_MS = 30_000;

let folder: string;
let problems: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-state-'));
  problems = [];
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface FileParts {
  readonly of?: string;
  readonly isOurs?: boolean;
  readonly authorities?: () => TrustedAuthorities;
}

function fileOf(
  platform: ManualPlatform,
  { of = 'a cluster', isOurs = true, authorities = trusting('a') }: FileParts = {},
): ClusterFile {
  return new ClusterFile({
    folder: join(folder, 'proxy'),
    of,
    authorities,
    intervalMs: INTERVAL_MS,
    timers: platform.timers,
    wallMs: () => platform.clock.wallMs(),
    onError: (problem) => problems.push(problem),
    isOurs,
  });
}

function trusting(...hashes: readonly string[]): () => TrustedAuthorities {
  return () => ({ kind: 'authorities', hashes });
}

function rigWith(parts: FileParts = {}, limits: Partial<Limits> = {}): KubeSourceRig {
  const platform = new ManualPlatform();
  return KubeSourceRig.withPods({ platform, limits, file: fileOf(platform, parts) });
}

/** One that ends after it was in force. */
async function ended(
  change: (rig: KubeSourceRig) => void = () => {},
  parts: FileParts = {},
): Promise<void> {
  const rig = rigWith(parts);
  rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
  rig.start().up();
  change(rig);
  rig.settle();
  await rig.feed.stop();
}

/** A start without an API server, waited for. */
function startedAlone(parts: FileParts = {}): KubeSourceRig {
  const rig = rigWith(parts).start();
  rig.cluster.down('connection refused', 5);
  rig.settle(INTERVAL_MS);
  return rig;
}

describe('a start without an API server', () => {
  it('enforces the state that was kept, tells how old it is, and goes on when the API server comes', async () => {
    await ended();
    const rig = startedAlone();
    expect(rig.starts).toMatchObject([{ kind: 'changed' }]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(false);
    expect(rig.health.restoredAtMs).toBeGreaterThan(1_700_000_000_000);
    expect(rig.health.stale).toContainEqual({
      part: 'Pod',
      sinceMs: rig.health.restoredAtMs,
      problem: 'connection refused',
    });
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('nobody')));
    rig.up();
    expect(rig.health).toEqual({ stale: [], restoredAtMs: null });
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(false);
  });

  it('takes nothing of a list that has come in part', async () => {
    await ended();
    const rig = startedAlone();
    rig.cluster.list(CNP);
    rig.cluster.list('Namespace');
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    rig.cluster.remove('Pod', 'shop', 'api');
    rig.up();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBeNull();
  });

  it('has good forms of objects that were refused, and what stands in for those without one', async () => {
    await ended((rig) => {
      rig.cluster.put(CNP, policyObject('shop', 'api', { endpointSelector: 5 }));
    });
    const rig = startedAlone();
    expect(rig.refusals()).toEqual([expect.stringContaining('shop/api: last-good: ')]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(false);
    rig.cluster.put(CNP, policyObject('shop', 'api', { endpointSelector: 5 }));
    rig.up();
    expect(rig.refusals()).toEqual([expect.stringContaining('shop/api: last-good: ')]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it('one that became bad while nobody ran has its last good form after a start', async () => {
    await ended();
    const rig = rigWith();
    rig.cluster.put(CNP, policyObject('shop', 'api', { endpointSelector: 5 }));
    rig.start().up();
    expect(rig.refusals()).toEqual([expect.stringContaining('shop/api: last-good: ')]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it.each([
    ['of another cluster', 'another', 'it is of another cluster or configuration'],
    ['that was never there', undefined, 'there is none'],
  ])('with a state %s denies everything, and says why', async (about, of, why) => {
    if (about.startsWith('of')) await ended();
    const rig = startedAlone(of === undefined ? {} : { of });
    expect(rig.starts).toMatchObject([{ kind: 'restored', savedAt: null }]);
    expect(rig.feed.staleness?.problems.join()).toContain(`proxy/cluster: ${why}`);
    expect(rig.store.currentSet().isEmpty).toBe(true);
  });
});

describe('a start with more policies than are kept', () => {
  const TOO_MANY = 'the cluster has more policies than kubePolicyCountMax (2) allows';

  function startedCrowded(): KubeSourceRig {
    const rig = rigWith({}, { kubePolicyCountMax: 2 });
    for (const name of ['a', 'b', 'c']) {
      rig.cluster.put(CNP, policyObject('shop', name, allowsApp('nobody')));
    }
    // Another pod has got the address since.
    rig.cluster.put('Pod', podObject('shop', 'web', { ip: '10.0.0.3', nodeName: 'n2' }));
    rig.cluster.put('Pod', podObject('shop', 'other', { ip: '10.0.0.2', nodeName: 'n2' }));
    return rig.start().up();
  }

  it('has those that were kept on disk in force for who is there now, tells it, and goes on when there is room', async () => {
    await ended();
    const rig = startedCrowded();
    expect(rig.feed.staleness?.problems).toEqual([TOO_MANY]);
    expect(rig.health.restoredAtMs).toBeGreaterThan(1_700_000_000_000);
    const open = (): readonly (boolean | null)[] =>
      ['10.0.0.2', '10.0.0.3'].map((from) => rig.isOpen(from, 'shop/api'));
    expect(open()).toEqual([false, true]);
    rig.cluster.remove('Pod', 'shop', 'other');
    rig.cluster.put('Pod', podObject('shop', 'web', { ip: '10.0.0.2', nodeName: 'n2' }));
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    rig.cluster.remove(CNP, 'shop', 'c');
    rig.settle();
    expect(rig.feed.staleness).toBeNull();
    expect(rig.health.restoredAtMs).toBeNull();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(false);
    expect(rig.store.currentSet().specs).toHaveLength(2);
  });

  it('denies everything when none were kept, and says why, until there is room', () => {
    const rig = startedCrowded();
    expect(rig.starts).toMatchObject([{ kind: 'restored', savedAt: null }]);
    expect(rig.feed.staleness?.problems).toEqual([TOO_MANY]);
    rig.cluster.remove(CNP, 'shop', 'c');
    rig.settle();
    expect(rig.feed.staleness).toBeNull();
    expect(rig.isOpen('10.0.0.3', 'shop/api')).toBe(false);
  });

  it('leaves on disk what was kept', async () => {
    await ended();
    await startedCrowded().feed.stop();
    const loaded = fileOf(new ManualPlatform()).load();
    if (loaded.kind !== 'found') throw new Error(loaded.message);
    expect(loaded.cluster.objects.map(({ ref }) => ref.name)).toEqual(['api']);
  });
});

describe('the state of a cluster', () => {
  const UNREADABLE: TrustedAuthorities = { kind: 'error', message: '/ca.crt: no such file' };

  it.each([
    ['the same', ['a'], ['a']],
    ['a new authority beside the old one', ['a'], ['a', 'b']],
    ['the old authority gone', ['a', 'b'], ['b']],
    ['those of the runtime, before and now', [], []],
  ])('is in force after a start with authorities that overlap: %s', async (_about, before, now) => {
    await ended(() => {}, { authorities: trusting(...before) });
    const rig = startedAlone({ authorities: trusting(...now) });
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    expect(rig.notices).toEqual([]);
  });

  it.each([
    ['another one', ['a'], trusting('b'), /it is of another cluster: no certificate authority/],
    ['none any more', ['a'], trusting(), /it is of another cluster: no certificate authority/],
    ['some, where there were none', [], trusting('a'), /it is of another cluster: no certificate/],
    ['one that cannot be read', ['a'], () => UNREADABLE, /not known .*\/ca.crt: no such file/],
  ])(
    'is refused and told, and all is denied, with other authorities: %s',
    async (_about, before, now, why) => {
      await ended(() => {}, { authorities: trusting(...before) });
      const rig = startedAlone({ authorities: now });
      expect(rig.starts).toMatchObject([{ kind: 'restored', savedAt: null }]);
      expect(rig.feed.staleness?.problems.join()).toMatch(why);
      expect(rig.notices).toEqual([expect.stringMatching(why)]);
      expect(rig.store.currentSet().isEmpty).toBe(true);
    },
  );

  it('gives no last good forms to another cluster whose objects have the same names', async () => {
    await ended();
    const rig = rigWith({ authorities: trusting('b') });
    rig.cluster.put(CNP, policyObject('shop', 'api', { endpointSelector: 5 }));
    rig.start().up();
    expect(rig.refusals()).toEqual([expect.stringContaining('shop/api: absent: ')]);
  });

  it('is written anew when an authority is replaced beside others, with nothing else changed', async () => {
    let hashes = ['a'];
    const authorities = (): TrustedAuthorities => ({ kind: 'authorities', hashes });
    const platform = new ManualPlatform();
    const file = fileOf(platform, { authorities });
    const isTaken = (by: string): boolean =>
      fileOf(platform, { authorities: trusting(by) }).load().kind === 'found';
    file.save(() => ({ objects: [], inventory: EMPTY_INVENTORY }));
    await expect.poll(() => isTaken('a')).toBe(true);
    for (const [next, by] of [
      [['a', 'b'], 'b'],
      [['b', 'c'], 'c'],
    ] as const) {
      hashes = [...next];
      platform.advance(INTERVAL_MS);
      await expect.poll(() => isTaken(by)).toBe(true);
    }
    expect(isTaken('a')).toBe(false);
    // Nothing shows that it is the same cluster.
    hashes = ['d'];
    platform.advance(INTERVAL_MS);
    await file.stop();
    expect(isTaken('c')).toBe(true);
    expect(isTaken('d')).toBe(false);
  });

  it('is not written when nobody knows whose it is', async () => {
    const file = fileOf(new ManualPlatform(), { authorities: () => UNREADABLE });
    file.save(() => ({ objects: [], inventory: EMPTY_INVENTORY }));
    await file.stop();
    expect(problems).toEqual([expect.stringContaining('cluster: /ca.crt: no such file')]);
  });
});

describe('the file', () => {
  const podPrefixes = [
    parsePrefix('10.0.0.0/24', { allowBare: false, allowHostBits: false }) as IpPrefix,
  ];
  const ofFile = inventoryOf(`
cluster: east
endpoints:
  - { name: a/b, ips: [10.0.0.1, "fd00::1"], labels: { app: x }, namedPorts: { web: { port: 80, protocol: TCP } } }
  - { name: a/c, ip: 10.0.0.2, labels: { app: x }, identity: 4000, endpointId: 7 }
identities: [{ id: 5000, labels: { app: z } }]
cidrs: [{ cidr: 192.0.2.0/24, labels: { "fqdn:a.example": "" } }]
services: [{ name: a/s, ips: [10.1.0.1], endpoints: { matchLabels: { app: x } } }]
listeners: { l: 3 }
`);
  const inventory = { ...ofFile, podPrefixes };
  const object = {
    ref: { apiKind: CNP, namespace: 'a', name: 'p', uid: 'u' },
    version: 'v',
    object: { spec: 1 },
    good: null,
  };

  function kept(): Promise<void> {
    const file = fileOf(new ManualPlatform());
    file.save(() => ({ objects: [object], inventory }));
    return file.stop();
  }

  it('gives back what was kept', async () => {
    await kept();
    const loaded = fileOf(new ManualPlatform()).load();
    expect(loaded).toEqual({
      kind: 'found',
      savedAtMs: 1_700_000_010_000,
      cluster: { objects: [object], inventory },
    });
  });

  it('is its owner’s, and one that others can write is not used', async () => {
    await kept();
    const path = join(folder, 'proxy', 'cluster');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(path, 0o666);
    expect(fileOf(new ManualPlatform()).load()).toEqual({
      kind: 'unusable',
      message: 'it can be written by other users',
    });
  });

  it('that is damaged anywhere is not used', async () => {
    await kept();
    const path = join(folder, 'proxy', 'cluster');
    const text = readFileSync(path, 'utf8');
    const damaged = [
      ...Array.from({ length: 40 }, (_, i) => {
        const at = Math.floor((text.length * i) / 40);
        return `${text.slice(0, at)}#${text.slice(at + 1)}`;
      }),
      text.slice(0, -2),
      text.slice(0, text.length / 2),
      '',
      '\n',
      text.split('\n').slice(0, -3).join('\n'),
    ];
    for (const one of damaged) {
      writeFileSync(path, one);
      expect(fileOf(new ManualPlatform()).load().kind, JSON.stringify(one)).toBe('unusable');
    }
  });

  it('is written so often at most, the newest then, and once more at the end', async () => {
    const platform = new ManualPlatform();
    const file = fileOf(platform);
    let count = 0;
    const saveNext = (): void => {
      count += 1;
      const cluster = String(count);
      file.save(() => ({ objects: [], inventory: { ...EMPTY_INVENTORY, cluster } }));
    };
    const read = (): string => {
      const loaded = fileOf(platform).load();
      return loaded.kind === 'found' ? loaded.cluster.inventory.cluster : loaded.message;
    };
    saveNext();
    await expect.poll(read).toBe('1');
    for (let i = 0; i < 5; i++) saveNext();
    platform.advance(INTERVAL_MS - 1);
    expect(read()).toBe('1');
    platform.advance(1);
    await expect.poll(read).toBe('6');
    platform.advance(3 * INTERVAL_MS);
    saveNext();
    await expect.poll(read).toBe('7');
    saveNext();
    await file.stop();
    expect(read()).toBe('8');
  });

  it('is not written before it is ours', async () => {
    const platform = new ManualPlatform();
    const file = fileOf(platform, { isOurs: false });
    file.save(() => ({ objects: [], inventory: EMPTY_INVENTORY }));
    expect(fileOf(platform).load()).toEqual({ kind: 'none', message: 'there is none' });
    file.own();
    await file.stop();
    expect(fileOf(platform).load().kind).toBe('found');
  });

  it('of many pods is small, and others have their turn while it is written', async () => {
    const platform = new ManualPlatform();
    const rig = KubeSourceRig.withPods({ platform });
    const podCount = 20_000;
    for (let i = 0; i < podCount; i++) {
      const labels = { app: `app-${i % 800}`, tier: 'web', team: `team-${i % 100}` };
      const ip = `10.1.${i >> 8}.${i & 255}`;
      rig.cluster.putQuietly('Pod', podObject('shop', `p-${i}`, { ip, nodeName: 'n2', labels }));
    }
    rig.start().up();
    const [start] = rig.starts;
    if (start?.kind !== 'changed') throw new Error('nothing was listed');
    const file = fileOf(platform);
    let turnCount = 0;
    const watch = setInterval(() => {
      turnCount += 1;
    }, 0);
    file.save(() => ({ objects: [], inventory: start.offered.input.inventory }));
    await file.stop();
    clearInterval(watch);
    expect(problems).toEqual([]);
    expect(statSync(join(folder, 'proxy', 'cluster')).size / podCount).toBeLessThan(300);
    expect(turnCount).toBeGreaterThan(10);
  });
});
