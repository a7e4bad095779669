/** Changes of a small inventory, in which only what changed is another object, and what a roster says of it. */
import fc from 'fast-check';
import { type IpAddress, parseIp } from '../../src/model/address.ts';
import type { Identity } from '../../src/model/identity.ts';
import type { Roster } from '../../src/policy/identity/roster.ts';
import type { Inventory, InventoryEndpoint } from '../../src/policy/resolve/inventory.ts';
import { prefixOf } from './resolve_world.ts';

export const IPS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', 'fd00::1'];
/** Of which one is within a CIDR of a rule, and one a prefix of its own there; others are endpoints' or nodes' at times. */
export const LEARNED_IPS = ['203.0.113.7', '198.51.100.1', '198.51.100.2', '2001:db8::1'];
const LEARNABLE = [...LEARNED_IPS, '10.0.0.4', '10.0.0.5', '10.0.0.1', '192.168.0.1'];
export const NODE_IPS = ['192.168.0.1', '192.168.0.2', '10.0.0.5'];
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

export type Change =
  | { readonly kind: 'pod'; readonly pod: InventoryEndpoint }
  | { readonly kind: 'gone'; readonly name: string }
  | { readonly kind: 'node'; readonly ip: string; readonly identity: number | null }
  | {
      readonly kind: 'service';
      readonly name: string;
      readonly ip: string;
      readonly app: string | null;
    }
  | { readonly kind: 'by-hand'; readonly identity: number | null }
  /** No names: it is forgotten. */
  | {
      readonly kind: 'learned';
      readonly ips: readonly string[];
      readonly names: readonly string[];
    };

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

export const anyChange: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('learned' as const),
      ips: fc.subarray(LEARNABLE, { minLength: 1, maxLength: 3 }),
      names: fc.subarray(['*.example.com', 'api.example.com'], { maxLength: 2 }),
    }),
  },
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

/** A pod of this node with the labels and ports of a resident, or one less: batches tell both. */
export const likeResident: fc.Arbitrary<Change> = fc
  .record({
    name: fc.constantFrom(...NAMES),
    ip: fc.constantFrom(...IPS),
    resident: fc.constantFrom(0, 1, 2, 3, null),
  })
  .map(({ name, ip, resident }): Change => {
    const like = resident === null ? null : RESIDENTS[resident];
    if (like?.kind !== 'pod') return { kind: 'gone', name };
    const own = { name: `default/${name}`, ips: [ipOf(ip)], interface: `lxc_${name}` };
    return { kind: 'pod', pod: { ...like.pod, ...own } };
  });

/** So that most subjects have a policy from the beginning. */
export const RESIDENTS: readonly Change[] = LABELS.slice(0, 4).map((labels, index) => ({
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

export function changed(inventory: Inventory, change: Change): Inventory {
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
    case 'learned': {
      const { ips, names } = change;
      const others = (inventory.learned ?? []).filter(({ address }) => !ips.includes(address.text));
      const labels = names.map((name) => `fqdn:${name}`);
      const come = names.length === 0 ? [] : ips.map((ip) => ({ address: ipOf(ip), labels }));
      const learned = [...others, ...come].sort((a, b) =>
        a.address.text < b.address.text ? -1 : 1,
      );
      return { ...inventory, learned };
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

export function whoIsWho(roster: Roster | undefined): unknown {
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

function ipOf(text: string): IpAddress {
  const ip = parseIp(text);
  if (ip === null) throw new Error(text);
  return ip;
}
