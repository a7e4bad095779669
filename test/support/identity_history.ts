/** Histories of a small cluster: pods come and go and take each other's addresses and labels, names resolve. */
import fc from 'fast-check';
import { parseIp } from '../../src/model/address.ts';
import type { Identity } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { type CompileOptions, compilePolicies } from '../../src/policy/compile/compile.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import type { EndpointPlace } from '../../src/policy/identity/delta.ts';
import type { WhoIsWho } from '../../src/policy/identity/ledger.ts';
import { Roster } from '../../src/policy/identity/roster.ts';
import type { SubjectNumbers } from '../../src/policy/identity/subject_numbers.ts';
import type { IdentityAllocator } from '../../src/policy/resolve/identity_allocator.ts';
import type { Inventory, InventoryEndpoint } from '../../src/policy/resolve/inventory.ts';
import { resolvePolicies } from '../../src/policy/resolve/resolve.ts';
import type { DirectionRule, Peer, PolicySpec, PortsRule } from '../../src/policy/rule.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { app, cidr, http, ports, prefixOf, rule, spec, tableOf, worldOf } from './resolve_world.ts';

const ENGINE = createRe2Engine(DEFAULT_LIMITS);

const APPS = ['api', 'web', 'job', 'db'];
const POD_ADDRESSES = ['10.0.0.21', '10.0.0.22', '10.0.0.23', 'fd00::21'];
const WORLD_PREFIXES = ['192.0.2.5/32', '192.0.2.0/25', '198.51.100.0/24', '192.0.0.0/8'];
const NAMES = ['api.example.com', 'x.example.com', 'other.test'];

/** Addresses that questions are about. */
export const ADDRESSES = [
  ...['10.0.0.1', '10.0.0.2', ...POD_ADDRESSES],
  ...['192.0.2.5', '192.0.2.6', '192.0.2.200', '198.51.100.1', '203.0.113.9', 'fd00::99'],
];
export const PORTS = [80, 81, 443];
export const METHODS = ['GET', 'PUT'];

/** Residents are there all the time, so that each subject has a policy; others come and go. */
const RESIDENTS = APPS.map((name, index) => pod(`default/${name}`, `10.0.0.${index + 1}`, name));

export const anyInventory: fc.Arbitrary<Inventory> = fc
  .record({
    pods: fc.array(fc.tuple(fc.nat(3), fc.constantFrom(...APPS), fc.nat(5)), { maxLength: 4 }),
    cidrs: fc.array(
      fc.tuple(fc.constantFrom(...WORLD_PREFIXES), fc.option(fc.constantFrom(...NAMES))),
      { maxLength: 3 },
    ),
    explicit: fc.boolean(),
  })
  .map(({ pods, cidrs, explicit }) =>
    worldOf({
      endpoints: [...RESIDENTS, ...podsOf(pods)],
      cidrs: [...new Map(cidrs)].map(([text, name]) => ({
        prefix: prefixOf(text),
        identity: null,
        labels: name === null ? [] : [`fqdn:${name}`],
      })),
      identities: explicit ? [{ identity: 5000 as Identity, labels: ['k8s:app=web'] }] : [],
    }),
  );

function podsOf(pods: readonly (readonly [number, string, number])[]): InventoryEndpoint[] {
  const taken = new Set<string>();
  return pods.flatMap(([at, name, number]) => {
    const ip = POD_ADDRESSES[at] as string;
    const own = `default/pod-${number}`;
    if (taken.has(ip) || taken.has(own)) return [];
    taken.add(ip).add(own);
    return [pod(own, ip, name)];
  });
}

function pod(name: string, ip: string, appName: string): InventoryEndpoint {
  const address = parseIp(ip);
  if (address === null) throw new Error(ip);
  const labels = [`k8s:app=${appName}`];
  const here = { isLocal: true, interface: null, podUid: null };
  const rest = { identity: null, endpointId: 0, namedPorts: [], ...here };
  return { name, ips: [address], labels, ...rest };
}

const anyPeer: fc.Arbitrary<Peer> = fc.oneof(
  fc
    .subarray(APPS, { minLength: 1 })
    .map((names): Peer => ({ kind: 'selector', selector: app(...names), isLocalCluster: false })),
  fc.constant<Peer>({
    kind: 'selector',
    selector: { requirements: [{ key: 'any:app', operator: 'does-not-exist', values: [] }] },
    isLocalCluster: false,
  }),
  fc.constantFrom('all', 'world', 'none').map((entity): Peer => ({ kind: 'entity', entity })),
  fc.constantFrom<Peer>(
    { kind: 'fqdn', matchName: 'api.example.com', matchPattern: null },
    { kind: 'fqdn', matchName: null, matchPattern: '*.example.com' },
  ),
  fc.constantFrom(
    cidr('192.0.2.0/24'),
    cidr('192.0.0.0/8', '192.0.2.0/25'),
    cidr('0.0.0.0/0'),
    cidr('10.0.0.0/8'),
  ),
);

const anyPorts = (hasL7: boolean): fc.Arbitrary<PortsRule> =>
  fc
    .tuple(fc.constantFrom('80', '81', '80-81', '0'), fc.subarray(METHODS))
    .map(([port, methods]) =>
      ports(port, hasL7 && port !== '0' && methods.length > 0 ? { l7: http(...methods) } : {}),
    );

const anyRule: fc.Arbitrary<DirectionRule> = fc
  .constantFrom('allow', 'allow', 'allow', 'deny')
  .chain((action) =>
    fc
      .record({
        direction: fc.constantFrom('ingress', 'egress'),
        peers: fc.option(fc.array(anyPeer, { maxLength: 2 })),
        ports: fc.option(fc.array(anyPorts(action === 'allow'), { minLength: 1, maxLength: 2 })),
      })
      .map((fields) => rule({ ...fields, action: action as 'allow' | 'deny' })),
  );

export const anySpecs: fc.Arbitrary<readonly PolicySpec[]> = fc.array(
  fc
    .record({
      rules: fc.array(anyRule, { minLength: 1, maxLength: 3 }),
      subject: fc.constantFrom(...APPS),
      isDryRun: fc.constantFrom(false, false, true),
    })
    .map(({ rules, subject, isDryRun }) =>
      spec(rules, { isDryRun, subject: { kind: 'endpoints', selector: app(subject) } }),
    ),
  { minLength: 1, maxLength: 4 },
);

export interface Compiled {
  readonly snapshot: PolicySnapshot;
  /** About whom the rules selected when they were resolved: no selector is asked again. */
  readonly plain: PolicySnapshot;
  readonly whole: WhoIsWho;
}

/** Null: the specs exclude each other. */
export function freshlyCompiled(
  specs: readonly PolicySpec[],
  inventory: Inventory,
  kept: { readonly allocator: IdentityAllocator; readonly subjects: SubjectNumbers },
): Compiled | null {
  const table = tableOf(inventory, specs, kept.allocator);
  const compile = (own: readonly PolicySpec[], shadow: Compiled | null): Compiled | null => {
    const result = resolvePolicies({
      specs: own,
      cidrGroups: [],
      inventory,
      table,
      unselected: 'allow',
      subjects: kept.subjects,
    });
    if (result.kind === 'conflict') return null;
    const endpoints = result.policies.map(
      ({ name, endpointId, endpointIps, subject }): EndpointPlace => {
        return { name, endpointId, ips: endpointIps, subject: subject as number };
      },
    );
    const whole = { ipcache: table.ipcache, entries: table.entries, endpoints };
    const common = {
      revision: 1,
      regexEngine: ENGINE,
      limits: DEFAULT_LIMITS,
      secrets: new Map(),
      ipcache: table.ipcache,
      labels: table,
      node: {
        prefixes: table.ipcache.entries,
        workloads: RESIDENTS.map(({ name, ips }) => ({
          name,
          interface: `lxc_${name.slice(-3)}`,
          podUid: null,
          ips: ips.map(({ text }) => text),
          identity: table.identityOfEndpoint(name) as Identity,
        })),
      },
    };
    const roster = Roster.of(0, table.ipcache, table.entries);
    const of = (options: CompileOptions): PolicySnapshot => {
      const built = compilePolicies(result.policies, options);
      if (built.kind === 'error') throw new Error(JSON.stringify(built.problems));
      return built.snapshot;
    };
    return {
      snapshot: of({ ...common, roster, shadow: shadow?.snapshot ?? null }),
      plain: of({ ...common, shadow: shadow?.plain ?? null }),
      whole,
    };
  };
  const shadow = compile(specs, null);
  if (shadow === null) return null;
  return compile(
    specs.filter(({ isDryRun }) => !isDryRun),
    shadow,
  );
}
