/** The changes that are told are those that asking both sets about everything finds, no more and no fewer. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type VerdictChanges,
  verdictChanges,
} from '../../../src/control/compare/verdict_changes.ts';
import { IDENTITY_WORLD, type Identity } from '../../../src/model/identity.ts';
import { finish } from '../../../src/model/steps.ts';
import { inventoryOf } from '../../support/inventory.ts';
import { COMPARE_OPTIONS, inputOf, judgeOf, verdictsOf } from '../../support/policy_changes.ts';
import { runs } from '../../support/property_runs.ts';

const INVENTORY = inventoryOf(`
endpoints:
  - { name: shop/api-1, ip: 10.0.0.1, labels: { app: api }, namedPorts: { web: { port: 81, protocol: TCP } } }
  - { name: shop/api-2, ip: 10.0.0.2, labels: { app: api }, namedPorts: { web: { port: 82, protocol: TCP } } }
  - { name: shop/web-1, ip: 10.0.0.3, labels: { app: web } }
  - { name: shop/web-2, ip: 10.0.0.4, labels: { app: web } }
  - { name: lab/web-1, ip: 10.0.0.5, labels: { app: web, tier: x } }
`);

const REMOTES = [
  ...['shop/api-1', 'shop/web-1', 'lab/web-1'].map((remote) => ({ remote })),
  ...['192.0.2.7', '192.0.2.200', '198.51.100.1'].map((remoteIp) => ({ remoteIp })),
  ...[1, 6].map((identity) => ({ identity })),
];
const ASKS = [
  {},
  { sni: 'a.test' },
  { http: { method: 'GET', path: '/' } },
  { http: { method: 'GET', path: '/a' } },
  { http: { method: 'PUT', path: '/b' } },
];
const TRAFFIC = [
  ...[1, 80, 81, 85, 443].map((port) => ({ protocol: 'TCP', port })),
  { protocol: 'UDP', port: 80 },
  { protocol: 'ICMP', icmpType: 8 },
];

const peers = fc.constantFrom<object>(
  {},
  { fromEndpoints: [{ matchLabels: { app: 'web' } }] },
  { fromEndpoints: [{ matchLabels: { app: 'api' } }] },
  { fromEndpoints: [{}] },
  { fromEndpoints: [] },
  { fromEntities: ['cluster'] },
  { fromEntities: ['world', 'host'] },
  { fromEntities: ['all'] },
  { fromCIDR: ['192.0.2.0/24'] },
  { fromCIDR: ['0.0.0.0/0'] },
  { fromCIDRSet: [{ cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] }] },
  { fromCIDRSet: [{ cidrGroupRef: 'g' }] },
);

const ports = fc.constantFrom<object[]>(
  [{ port: '80', protocol: 'TCP' }],
  [{ port: '80', endPort: 90, protocol: 'TCP' }],
  [{ port: 'web', protocol: 'TCP' }],
  [{ port: '443', protocol: 'TCP' }],
);

const httpRules = fc.constantFrom<object[]>(
  [{ method: 'GET' }],
  [{ path: '/a' }],
  [{ method: 'PUT', path: '/b' }, { path: '/a' }],
  [{}],
);

const toPorts = ports.chain((own) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant({ toPorts: [{ ports: own }] }) },
    {
      weight: 2,
      arbitrary: httpRules.map((http) => ({ toPorts: [{ ports: own, rules: { http } }] })),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom({ port: '0', protocol: 'TCP' }, { port: '80' })
        .map((port) => ({ toPorts: [{ ports: [port] }] })),
    },
    { weight: 1, arbitrary: fc.constant({ toPorts: [{ ports: own, serverNames: ['a.test'] }] }) },
  ),
);

const traffic = fc.oneof(
  { weight: 4, arbitrary: toPorts },
  { weight: 2, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constant({ icmps: [{ fields: [{ type: 8, family: 'IPv4' }] }] }) },
);

const plainTraffic = ports.map((own) => ({ toPorts: [{ ports: own }] }));

function direction(rule: object, to: boolean): object {
  const entries = Object.entries(rule).map(([key, value]) => [
    to ? key.replace(/^from/, 'to') : key,
    value,
  ]);
  return Object.fromEntries(entries);
}

const section = (name: 'ingress' | 'egress') =>
  fc.record(
    {
      [name]: fc.array(
        fc
          .tuple(peers, traffic)
          .map((parts) => direction(Object.assign({}, ...parts), name === 'egress')),
        { minLength: 1, maxLength: 2 },
      ),
      [`${name}Deny`]: fc.array(
        fc
          .tuple(peers, fc.oneof(plainTraffic, fc.constant({})))
          .map((parts) => direction(Object.assign({}, ...parts), name === 'egress')),
        { maxLength: 1 },
      ),
    },
    { requiredKeys: [name] },
  );

const spec = fc
  .tuple(
    fc.constantFrom<object>({}, { matchLabels: { app: 'api' } }, { matchLabels: { app: 'web' } }),
    fc.oneof(
      { weight: 2, arbitrary: section('ingress') },
      { weight: 1, arbitrary: section('egress') },
      {
        weight: 1,
        arbitrary: fc
          .tuple(section('ingress'), section('egress'))
          .map(([a, b]) => ({ ...a, ...b })),
      },
    ),
    fc.constantFrom<object>({}, {}, {}, { enableDefaultDeny: { ingress: false, egress: false } }),
  )
  .map(([endpointSelector, rules, deny]) => ({ endpointSelector, ...rules, ...deny }));

const group = fc
  .constantFrom(['192.0.2.0/24'], ['192.0.2.128/25'], ['198.51.100.0/24'])
  .map((externalCIDRs) => ({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumCIDRGroup',
    metadata: { name: 'g' },
    spec: { externalCIDRs },
  }));

const policy = (name: string) =>
  fc.tuple(spec, fc.boolean()).map(([own, isClusterwide]) => ({
    apiVersion: 'cilium.io/v2',
    kind: isClusterwide ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy',
    metadata: isClusterwide ? { name } : { name, namespace: 'shop' },
    spec: own,
  }));

/** Some objects that stay, and some of which each set may have its own. */
const sets = fc
  .record({
    kept: fc.array(policy('kept'), { maxLength: 2 }),
    before: fc.array(policy('changed'), { maxLength: 1 }),
    after: fc.array(policy('changed'), { maxLength: 2 }),
    groups: fc.tuple(group, group),
    isGroupKept: fc.boolean(),
  })
  .map(({ kept, before, after, groups: [first, second], isGroupKept }) => {
    const named = (objects: readonly ReturnType<typeof objectOf>[], by: string) =>
      objects.map((object, index) => ({
        ...object,
        metadata: { ...object.metadata, name: `${by}-${index}` },
      }));
    const same = named(kept, 'kept');
    return {
      before: [...same, ...named(before, 'own'), first],
      after: [...same, ...named(after, 'own'), isGroupKept ? first : second],
    };
  });

declare function objectOf(): { metadata: object };

describe('what differs between two sets', () => {
  it('is what asking both about everything finds', () => {
    let found = 0;
    fc.assert(
      fc.property(sets, ({ before, after }) => {
        const pair = { before: inputOf(before, INVENTORY), after: inputOf(after, INVENTORY) };
        const result = finish(verdictChanges(pair, COMPARE_OPTIONS));
        // Rules that exclude each other: neither set can be in force.
        if (result.kind === 'rejected') return;
        const judges = { before: judgeOf(pair.before), after: judgeOf(pair.after) };
        for (const { name } of INVENTORY.endpoints) {
          for (const remote of REMOTES) {
            for (const direction of ['ingress', 'egress'] as const) {
              for (const traffic of TRAFFIC) {
                const sides = { endpoint: name, ...remote, direction, ...traffic };
                const asks = traffic.protocol === 'TCP' ? ASKS : [{}];
                const verdicts = {
                  before: verdictsOf(judges.before, sides, asks),
                  after: verdictsOf(judges.after, sides, asks),
                };
                const told = toldOf(result, { endpoint: name, remote, direction, traffic });
                found += told === null ? 0 : 1;
                expect(fits(told, verdicts), JSON.stringify({ sides, verdicts, told })).toBe(true);
              }
            }
          }
        }
      }),
      runs(25),
    );
    expect(found).toBeGreaterThan(0);
  });
});

type Told = { readonly before: string; readonly after: string; readonly conditions: string } | null;

interface Asked {
  readonly endpoint: string;
  readonly remote: object;
  readonly direction: string;
  readonly traffic: {
    readonly protocol: string;
    readonly port?: number;
    readonly icmpType?: number;
  };
}

/** The one change that is about it. */
function toldOf({ changes, table }: VerdictChanges, asked: Asked): Told {
  const identity = identityOf(table, asked.remote);
  const { protocol, port, icmpType = 0 } = asked.traffic;
  const number = port ?? icmpType + 1;
  const about = changes.filter(
    (change) =>
      change.direction === asked.direction &&
      change.subjects.some(({ endpoints }) =>
        endpoints.some(({ name }) => name === asked.endpoint),
      ) &&
      change.remotes.includes(identity) &&
      change.areas.some(
        (area) => area.protocol === protocol && area.first <= number && number <= area.last,
      ),
  );
  expect(about.length).toBeLessThan(2);
  const [change] = about;
  if (change === undefined) return null;
  expect(change.otherRemotes).not.toContain(identity);
  const { before, after } = change;
  return {
    before: before.kind,
    after: after.kind,
    conditions: `${before.conditions} -> ${after.conditions}`,
  };
}

function identityOf(table: VerdictChanges['table'], remote: object): Identity {
  const {
    remote: name,
    remoteIp,
    identity,
  } = remote as { remote?: string; remoteIp?: string; identity?: number };
  if (name !== undefined) return table.identityOfEndpoint(name) as Identity;
  if (remoteIp === undefined) return identity as Identity;
  return table.ipcache.lookup(remoteIp) ?? IDENTITY_WORLD;
}

function fits(told: Told, { before, after }: { before: string; after: string }): boolean {
  if (told === null) return before === after;
  // Rules that say the same in other words are told as others, and so are those that let everything pass.
  if (before === after) return told.before === 'rules' || told.after === 'rules';
  return isKind(told.before, before) && isKind(told.after, after);
}

function isKind(kind: string, verdicts: string): boolean {
  if (kind === 'allow') return !verdicts.includes('d');
  return kind === 'deny' ? !verdicts.includes('a') : true;
}
