/**
 * An inventory in which only what changed is another object: a store that follows it by what differs has the same who
 * is who, under the same numbers, and the same verdicts, as one that is given all of it at once.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import type { PolicyInput } from '../../../src/control/set/policy_input.ts';
import { compileSet } from '../../../src/control/set/resolved_set.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { type IpAddress, parseIp } from '../../../src/model/address.ts';
import {
  IDENTITY_WORLD,
  type Identity,
  type Port,
  type ProxyId,
} from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { finish } from '../../../src/model/steps.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import type { Roster } from '../../../src/policy/identity/roster.ts';
import {
  type AllocationRequest,
  IdentityAllocator,
  type TakenIdentities,
} from '../../../src/policy/resolve/identity_allocator.ts';
import {
  EMPTY_INVENTORY,
  type Inventory,
  type InventoryEndpoint,
} from '../../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';
import { prefixOf } from '../../support/resolve_world.ts';

const STORE = { regexEngine: createRe2Engine(DEFAULT_LIMITS), limits: DEFAULT_LIMITS };
const IPS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', 'fd00::1'];
const NODE_IPS = ['192.168.0.1', '192.168.0.2', '10.0.0.5'];
const PORTS = [80, 81];
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

/** Of which some are named by rules, some are nobody's labels, and some reserved. */
const LABELS = [
  ['k8s:app=web'],
  ['k8s:app=web', 'k8s:tier=x'],
  ['k8s:app=api'],
  ['k8s:app=job'],
  [],
  ['reserved:remote-node'],
  ['reserved:kube-apiserver', 'reserved:remote-node'],
  ['k8s:node=1', 'reserved:remote-node'],
  ['reserved:host'],
];

const RULES = [
  'ingress: [{ fromEndpoints: [{ matchLabels: { app: web } }] }]',
  'ingress: [{ fromEntities: [remote-node], toPorts: [{ ports: [{ port: "80", protocol: TCP }] }] }]',
  'egress: [{ toEndpoints: [{ matchLabels: { app: web } }], toPorts: [{ ports: [{ port: http, protocol: TCP }] }] }]',
  'egress: [{ toPorts: [{ ports: [{ port: http, protocol: TCP }] }] }]',
  'egress: [{ toCIDRSet: [{ cidr: 10.0.0.4/32 }] }]',
  'egress: [{ toServices: [{ k8sService: { serviceName: one, namespace: default } }] }]',
  'egress: [{ toServices: [{ k8sService: { serviceName: two, namespace: default } }] }]',
  'egressDeny: [{ toEndpoints: [{ matchLabels: { tier: x } }] }]',
];

type Change =
  | { readonly kind: 'pod'; readonly pod: InventoryEndpoint }
  | { readonly kind: 'gone'; readonly name: string }
  | { readonly kind: 'node'; readonly ip: string; readonly identity: number | null }
  | {
      readonly kind: 'service';
      readonly name: string;
      readonly ip: string;
      readonly app: string | null;
    }
  | { readonly kind: 'by-hand'; readonly identity: number | null };

const pod = fc
  .record({
    name: fc.constantFrom(...NAMES),
    ips: fc.subarray(IPS, { maxLength: 2 }),
    labels: fc.constantFrom(...LABELS),
    identity: fc.constantFrom(null, null, null, null, 5000, 5001),
    isLocal: fc.boolean(),
    port: fc.constantFrom(null, 80, 81),
  })
  .map(
    ({ name, ips, labels, identity, isLocal, port }): Change => ({
      kind: 'pod',
      pod: {
        name: `default/${name}`,
        ips: ips.map(ipOf),
        labels,
        identity: identity as Identity | null,
        endpointId: 0,
        namedPorts: port === null ? [] : [{ name: 'http', port, protocol: 'TCP' }],
        isLocal,
        interface: isLocal ? `lxc_${name}` : null,
        podUid: null,
      },
    }),
  );

const change: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: pod },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...NAMES).map((name): Change => ({ kind: 'gone', name })),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('node' as const),
      ip: fc.constantFrom(...NODE_IPS),
      identity: fc.constantFrom(null, 6, 7, 1, 5002),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('service' as const),
      name: fc.constantFrom('one', 'two', 'three'),
      ip: fc.constantFrom('172.16.0.1', '172.16.0.2'),
      app: fc.constantFrom(null, 'web', 'api'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('by-hand' as const),
      identity: fc.constantFrom(null, 5000, 6000),
    }),
  },
);

const history = fc.record({
  rules: fc.subarray(RULES, { minLength: 1, maxLength: 3 }),
  steps: fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), {
    minLength: 3,
    maxLength: 12,
  }),
});

it('has the same who is who, numbers and verdicts as one that is given whole', () => {
  let wholeCount = 0;
  let moveCount = 0;
  let toldCount = 0;
  fc.assert(
    fc.property(history, ({ rules, steps }) => {
      const allocator = new CountedAllocator(DEFAULT_LIMITS);
      const store = new PolicyChecker({ ...STORE, allocator });
      const documents = documentsOf(rules);
      let inventory = EMPTY_INVENTORY;
      for (const changes of [RESIDENTS, ...steps]) {
        for (const one of changes) inventory = changed(inventory, one);
        const input = inputOf(documents, inventory);
        const given = allocator.given();
        const before = allocator.wholeCount;
        const moved = store.current().revision === 0 ? null : store.move(input);
        if (moved !== null) {
          moveCount += 1;
          if (allocator.wholeCount === before) toldCount += 1;
        } else if (store.update(input).kind === 'rejected') continue;
        else wholeCount += 1;
        const fresh = freshOf(input, moved === null ? given : allocator.given());
        const expected = whoIsWho(fresh.resolved()?.roster);
        expect(whoIsWho(store.resolved()?.roster)).toEqual(expected);
        expect(whoIsWho(store.current().who?.roster)).toEqual(expected);
        const verdicts = verdictsOf(fresh.current());
        expect(verdictsOf(store.current())).toEqual(verdicts);
        expect(verdictsOf(forOthers(store))).toEqual(verdicts);
        expect(store.current().node.workloads).toEqual(fresh.current().node.workloads);
      }
    }),
    runs(100),
  );
  expect(Math.min(wholeCount, moveCount - toldCount)).toBeGreaterThan(10);
  expect(toldCount).toBeGreaterThan(40);
});

/** So that most subjects have a policy from the beginning. */
const RESIDENTS: readonly Change[] = LABELS.slice(0, 4).map((labels, index) => ({
  kind: 'pod',
  pod: {
    name: `default/resident-${index}`,
    ips: [ipOf(`10.1.0.${index + 1}`)],
    labels,
    identity: null,
    endpointId: 0,
    namedPorts: index === 0 ? [{ name: 'http', port: 80, protocol: 'TCP' }] : [],
    isLocal: true,
    interface: `lxc_r${index}`,
    podUid: null,
  },
}));

/** Tells who makes the whole table: that passes a set of all numbers that are taken. */
class CountedAllocator extends IdentityAllocator {
  wholeCount = 0;

  override allocate(requests: Iterable<AllocationRequest>, taken: TakenIdentities) {
    if (taken instanceof Set) this.wholeCount += 1;
    return super.allocate(requests, taken);
  }
}

function freshOf(input: PolicyInput, given: ReturnType<IdentityAllocator['given']>): PolicyChecker {
  const allocator = new IdentityAllocator(DEFAULT_LIMITS);
  allocator.restore(given);
  const fresh = new PolicyChecker({ ...STORE, allocator });
  expect(fresh.update(input).kind).toBe('accepted');
  return fresh;
}

function changed(inventory: Inventory, change: Change): Inventory {
  switch (change.kind) {
    case 'pod':
      return { ...inventory, endpoints: put(inventory.endpoints, change.pod, ({ name }) => name) };
    case 'gone': {
      const name = `default/${change.name}`;
      return { ...inventory, endpoints: inventory.endpoints.filter((one) => one.name !== name) };
    }
    case 'node': {
      const prefix = prefixOf(`${change.ip}/32`);
      const cidrs = inventory.cidrs.filter((one) => one.prefix.text !== prefix.text);
      if (change.identity === null) return { ...inventory, cidrs };
      const cidr = { prefix, identity: change.identity as Identity, labels: [] };
      return { ...inventory, cidrs: [...cidrs, cidr] };
    }
    case 'service': {
      const { name, ip, app } = change;
      const requirement = { key: 'any:app', operator: 'in', values: [app ?? ''] } as const;
      const selector = app === null ? null : { requirements: [requirement] };
      const service = {
        ...{ namespace: 'default', name, labels: [], ips: [ipOf(ip)], selector },
        ...{ spec: null, slices: null },
      };
      return { ...inventory, services: put(inventory.services, service, (one) => one.name) };
    }
    case 'by-hand': {
      const identity = change.identity as Identity | null;
      const identities = identity === null ? [] : [{ identity, labels: ['k8s:app=job'] }];
      return { ...inventory, identities };
    }
  }
}

function put<Item>(items: readonly Item[], item: Item, keyOf: (item: Item) => string): Item[] {
  const at = items.findIndex((one) => keyOf(one) === keyOf(item));
  return at === -1 ? [...items, item] : items.with(at, item);
}

function documentsOf(rules: readonly string[]): PolicyInput {
  const text = rules
    .map(
      (rule, index) =>
        `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p${index}, namespace: default }\nspec:\n  endpointSelector: ${index % 2 === 0 ? '{}' : '{ matchLabels: { app: api } }'}\n  ${rule}\n`,
    )
    .join('---\n');
  const bundle = { policies: [{ path: 'p', text }], endpoints: null, secrets: null };
  const decoded = decodeBundle(bundle, { ...STORE, hasNodeLabels: false });
  if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
  return decoded.input;
}

function inputOf(documents: PolicyInput, inventory: Inventory): PolicyInput {
  return { ...documents, inventory, parts: [inventory, ...documents.documents] };
}

/** What a worker has that starts now. */
function forOthers(store: PolicyChecker): PolicySnapshot {
  const set = store.resolved();
  if (set === null) throw new Error('no set is in force');
  const compiled = finish(compileSet(set, { ...STORE, revision: 1 }));
  if (compiled.kind === 'error') throw new Error(JSON.stringify(compiled.problems));
  return compiled.snapshot;
}

function whoIsWho(roster: Roster | undefined): unknown {
  if (roster === undefined) throw new Error('no roster');
  const identities = Array.from(roster.entries(), ({ identity, set, prefixes }) => [
    identity,
    set.labels,
    prefixes.map(({ text }) => text).sort(),
  ]);
  const addresses = roster.ipcache.entries.map(({ prefix, identity }) => [prefix.text, identity]);
  return {
    identities: Object.fromEntries(identities.map(([identity, ...rest]) => [identity, rest])),
    addresses: Object.fromEntries(addresses),
  };
}

function verdictsOf(snapshot: PolicySnapshot): readonly string[] {
  const remotes = [...IPS, ...NODE_IPS, '172.16.0.1', '10.1.0.1', '10.1.0.3'];
  return [...IPS, '10.1.0.2', '10.1.0.3'].flatMap((ip) =>
    (['ingress', 'egress'] as const).flatMap((direction) =>
      remotes.flatMap((remoteIp) =>
        PORTS.map((port) => {
          const endpoint = snapshot.endpoint(ip);
          const remote = snapshot.ipcache.lookup(remoteIp) ?? IDENTITY_WORLD;
          const view = endpoint.port(direction, 'TCP', port as Port).view(0 as ProxyId, remote);
          const { verdict } = decideConnection(view, '');
          return `${endpoint.name} ${ip} ${direction} ${remoteIp} ${port}: ${verdict}`;
        }),
      ),
    ),
  );
}

function ipOf(text: string): IpAddress {
  const ip = parseIp(text);
  if (ip === null) throw new Error(text);
  return ip;
}
