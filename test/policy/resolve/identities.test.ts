import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import type { IdentityAllocator } from '../../../src/policy/resolve/identity_allocator.ts';
import { buildIdentityTable } from '../../../src/policy/resolve/identity_table.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../../src/policy/resolve/inventory.ts';
import { allocatorOf } from '../../support/allocator.ts';
import { prefixOf } from '../../support/resolve_world.ts';

const labelSets = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), {
  minLength: 1,
  maxLength: 40,
});

describe('allocated identities', () => {
  it('are the same in every process and in any order', () => {
    fc.assert(
      fc.property(labelSets, fc.constantFrom('cluster', 'local'), (keys, scope) => {
        const requests = keys.map((key) => ({ scope, key }) as const);
        const one = allocatorOf(1000).allocate(requests, new Set());
        const other = allocatorOf(1000).allocate([...requests].reverse(), new Set());
        expect(other).toEqual(one);
      }),
    );
  });

  it('stay what they are, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(labelSets, { minLength: 2, maxLength: 5 }), (rounds) => {
        const allocator = allocatorOf(10_000);
        const seen = new Map<string, Identity>();
        for (const keys of rounds) {
          for (const [key, identity] of allocate(allocator, keys)) {
            expect(seen.get(key) ?? identity).toBe(identity);
            seen.set(key, identity);
          }
        }
        expect(new Set(seen.values()).size).toBe(seen.size);
      }),
    );
  });

  it('are in the range of their scope', () => {
    const allocator = allocatorOf(1000);
    for (const identity of allocate(allocator, ['a', 'b', 'c']).values()) {
      expect(identity).toBeGreaterThanOrEqual(256);
      expect(identity).toBeLessThan(65536);
    }
    const local = allocator.allocate([{ scope: 'local', key: 'a' }], new Set());
    expect((local?.get('a') ?? 0) >>> 24).toBe(1);
  });

  it('step aside for numbers that are set by hand', () => {
    const allocator = allocatorOf(1000);
    const first = allocate(allocator, ['a']).get('a') as Identity;
    const moved = allocate(allocator, ['a'], [first]).get('a');
    expect(moved).not.toBe(first);
  });

  it('end at the bound', () => {
    const allocator = allocatorOf(2);
    const requests = ['a', 'b', 'c'].map((key) => ({ scope: 'cluster', key }) as const);
    expect(allocator.allocate(requests, new Set())).toBeNull();
  });
});

describe('the table of identities', () => {
  it('has the reserved ones, an API server as remote node', () => {
    const table = tableOf({});
    expect(table.labelsOf(1 as Identity)).toEqual(['reserved:host']);
    expect(table.labelsOf(7 as Identity)).toEqual([
      'reserved:kube-apiserver',
      'reserved:remote-node',
    ]);
    expect(table.labelsOf(0 as Identity)).toEqual([]);
  });

  it('gives one identity to endpoints with the same labels, and that of a declared label set', () => {
    const endpoints = ['a', 'b'].map((name) => endpointOf(`default/${name}`, ['k8s:app=x']));
    const identities = [{ identity: 999 as Identity, labels: ['k8s:app=x'] }];
    const alone = tableOf({ endpoints });
    expect(alone.identityOfEndpoint('default/a')).toBe(alone.identityOfEndpoint('default/b'));
    expect(tableOf({ endpoints, identities }).identityOfEndpoint('default/a')).toBe(999);
  });

  it('labels a CIDR with the known prefixes that cover it, and as world', () => {
    const table = tableOf({}, ['10.0.0.0/8', '10.1.0.0/16', '192.0.2.0/24']);
    const identity = table.ipcache.lookup('10.1.2.3');
    expect(table.labelsOf(identity ?? (0 as Identity))).toEqual([
      'cidr:10.0.0.0/8',
      'cidr:10.1.0.0/16',
      'reserved:world',
      'reserved:world-ipv4',
    ]);
  });

  it('keeps the identity of a CIDR when other prefixes come', () => {
    const allocator = allocatorOf(1000);
    const before = tableOf({}, ['10.1.0.0/16'], allocator).ipcache.lookup('10.1.2.3');
    const after = tableOf({}, ['10.0.0.0/8', '10.1.0.0/16'], allocator).ipcache.lookup('10.1.2.3');
    expect(after).toBe(before);
  });

  it('knows whole families as the reserved worlds', () => {
    const table = tableOf({}, ['0.0.0.0/0', '::/0']);
    expect(table.ipcache.lookup('198.51.100.1')).toBe(9);
    expect(table.ipcache.lookup('2001:db8::1')).toBe(10);
  });

  it('takes a CIDR with a declared identity as an address range of it', () => {
    const table = tableOf({
      identities: [{ identity: 700 as Identity, labels: ['k8s:app=far'] }],
      cidrs: [{ prefix: prefixOf('10.9.0.0/16'), identity: 700 as Identity, labels: [] }],
    });
    expect(table.ipcache.lookup('10.9.1.1')).toBe(700);
    expect(table.labelsOf(700 as Identity)).toEqual(['k8s:app=far']);
  });

  it('refuses a number that would mean two label sets', () => {
    const endpoints = [
      { ...endpointOf('default/a', ['k8s:app=a']), identity: 500 as Identity },
      { ...endpointOf('default/b', ['k8s:app=b']), identity: 500 as Identity },
    ];
    expect(() => tableOf({ endpoints })).toThrow('identity 500 would mean two label sets');
  });

  it('refuses labels that would redefine a reserved identity', () => {
    const identities = [{ identity: 2 as Identity, labels: ['k8s:app=a'] }];
    expect(() => tableOf({ identities })).toThrow('identity 2 would mean two label sets');
  });

  it('says what is used up, and what bounds it', () => {
    const allocator = allocatorOf(3);
    for (const text of ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'])
      tableOf({}, [text], allocator);
    expect(() => tableOf({}, ['10.4.0.0/16'], allocator)).toThrow(
      /3 are in use \(identityCountMax: 1000; .*\(identityGraceMs\)$/,
    );
  });
});

function allocate(
  allocator: IdentityAllocator,
  keys: readonly string[],
  taken: readonly Identity[] = [],
): ReadonlyMap<string, Identity> {
  const requests = keys.map((key) => ({ scope: 'cluster', key }) as const);
  const allocated = allocator.allocate(requests, new Set(taken));
  if (allocated === null) throw new Error('no identities left');
  return allocated;
}

function endpointOf(name: string, labels: readonly string[]): Inventory['endpoints'][number] {
  return {
    name,
    ips: [],
    labels,
    identity: null,
    endpointId: 0,
    namedPorts: [],
    isLocal: true,
    interface: null,
    podUid: null,
  };
}

function tableOf(
  changes: Partial<Inventory>,
  prefixes: readonly string[] = [],
  allocator = allocatorOf(1000),
) {
  const result = buildIdentityTable({
    inventory: { ...EMPTY_INVENTORY, ...changes },
    prefixes: prefixes.map(prefixOf),
    extra: [],
    allocator,
    identityCountMax: 1000,
  });
  if (result.kind === 'error') throw new Error(result.message);
  return result.table;
}
