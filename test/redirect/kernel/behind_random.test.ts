/**
 * Random Services and random policies: what the kernel does with the first packet to each address is what the engine says
 * of a question about it (`explain --to`), which asks policy about each backend by itself.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { judgeOptions } from '../../../src/cli/ask/judge_options.ts';
import { createJudge, type Judge } from '../../../src/control/ask/judge.ts';
import { parseQuestion } from '../../../src/control/ask/question.ts';
import { ServiceFrontends } from '../../../src/control/service/service_frontends.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { IDENTITY_WORLD } from '../../../src/model/identity.ts';
import { behindOf } from '../../../src/redirect/behind.ts';
import { planOf, type TablePlan } from '../../../src/redirect/plan.ts';
import { TableUpdater } from '../../../src/redirect/table_updater.ts';
import { planInputOf } from '../../support/kernel_model.ts';
import { runs } from '../../support/property_runs.ts';
import { PASS } from './lab.ts';
import { datagram, fresh, segment } from './legs.ts';
import { SYN } from './packets.ts';
import { A, B, NODE, World } from './world.ts';

const KINDS = ['x', 'y', 'z'] as const;
const OTHER_NODE = ['10.9.0.2', 'fd09::2'] as const;
const PORTS = [8080, 8081] as const;
const EXTERNAL = '203.0.113.';

interface RandomSet {
  readonly kinds: readonly (typeof KINDS)[number][];
  readonly services: readonly RandomService[];
  readonly rules: readonly object[];
  readonly denials: readonly object[];
}

interface RandomService {
  readonly of: object;
  readonly target: number;
  readonly hasExternal: boolean;
}

const anyPeer = fc.oneof(
  fc.subarray([...KINDS], { minLength: 1 }).map((values) => ({
    toEndpoints: [{ matchExpressions: [{ key: 'kind', operator: 'In', values }] }],
  })),
  fc
    .subarray(['world', 'host', 'remote-node', 'all'], { minLength: 1 })
    .map((toEntities) => ({ toEntities })),
  fc
    .constantFrom('198.51.100.0/24', '203.0.113.0/25', '10.96.0.0/16', '2001:db8::/32')
    .map((cidr) => ({ toCIDR: [cidr] })),
);
const anyPorts = fc
  .subarray(
    [...PORTS, 80, 30_000].flatMap((port) =>
      ['TCP', 'UDP'].map((protocol) => ({ port: `${port}`, protocol })),
    ),
    { minLength: 1 },
  )
  .map((ports) => ({ toPorts: [{ ports }] }));
const anyRule = fc
  .tuple(anyPeer, fc.oneof(anyPorts, fc.constant({})))
  .map(([peer, ports]) => ({ ...peer, ...ports }));

const anyService = fc.record({
  of: fc.oneof(
    fc
      .constantFrom(...KINDS, 'b', 'nobody')
      .map((kind) => ({ endpoints: { matchLabels: { kind } } })),
    fc.constant({ endpoints: {} }),
    fc
      .subarray(['198.51.100.7', '192.0.2.9', '203.0.113.200', '2001:db8::9'], { minLength: 1 })
      .map((ips) => ({ ips })),
  ),
  target: fc.constantFrom(...PORTS),
  hasExternal: fc.boolean(),
});

const anySet: fc.Arbitrary<RandomSet> = fc.record({
  kinds: fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 5 }),
  services: fc.array(anyService, { minLength: 1, maxLength: 4 }),
  rules: fc.array(anyRule, { minLength: 1, maxLength: 4 }),
  denials: fc.array(anyRule, { maxLength: 1 }),
});

let world: World;

beforeAll(async () => {
  world = new World('random');
});
afterAll(() => world.dispose());

it('the kernel judges an address of a Service as the engine does', () => {
  const seen = { allow: 0, deny: 0 };
  fc.assert(
    fc.property(anySet, (set) => {
      const { judge, plan } = readied(set);
      const updater = new TableUpdater(world.lab.datapath.maps);
      updater.putInForce(plan);
      updater.removeOthers();
      for (const { to, port, protocol } of dialled(set)) {
        const verdict = verdictOf(judge, { to, port, protocol });
        const leg = { from: to.includes(':') ? A.ip6 : A.ip4, to };
        const packet =
          protocol === 'TCP' ? segment(leg, fresh(), port, SYN) : datagram(leg, fresh(), port);
        const own = world.fromA(packet).result === PASS ? 'allow' : 'deny';
        expect([to, port, protocol, own]).toEqual([to, port, protocol, verdict]);
        seen[verdict] += 1;
      }
    }),
    runs(60),
  );
  expect(Math.min(seen.allow, seen.deny)).toBeGreaterThan(50);
});

function readied(set: RandomSet): { readonly judge: Judge; readonly plan: TablePlan } {
  const policy = {
    ...{ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy' },
    metadata: { name: 'a', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { kind: 'a' } },
      egress: set.rules,
      ...(set.denials.length > 0 ? { egressDeny: set.denials } : {}),
    },
  };
  const options = judgeOptions();
  const bundle = {
    policies: [{ path: 'policy', text: JSON.stringify(policy) }],
    endpoints: { path: 'endpoints', text: JSON.stringify(inventoryOf(set)) },
    ...{ hasNodeLabels: false, secrets: null },
  };
  const decoded = decodeBundle(bundle, options);
  if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
  const created = createJudge(decoded.input, options);
  if (created.kind === 'rejected') throw new Error(JSON.stringify(created.problems));
  const { judge } = created;
  const { snapshot } = judge;
  const { frontends } = new ServiceFrontends().update(decoded.input.inventory);
  const own: ReadonlySet<string> = new Set([B.ip4, B.ip6]);
  const behind = behindOf(frontends, {
    identityOf: ({ text }) => snapshot.ipcache.lookup(text) ?? IDENTITY_WORLD,
    isEndpoint: ({ text }) => own.has(text),
  });
  const interfaces = new Map([
    ['lxcA', world.a],
    ['lxcB', world.b],
  ]);
  return { judge, plan: planOf({ ...planInputOf(snapshot), interfaces, behind }) };
}

function inventoryOf({ kinds, services }: RandomSet): object {
  const pod = (name: string, ips: readonly string[], more: object): object => ({
    ...{ name: `shop/${name}`, ips },
    ...more,
  });
  return {
    endpoints: [
      pod('a', [A.ip4, A.ip6], { labels: { kind: 'a' }, interface: 'lxcA' }),
      pod('b', [B.ip4, B.ip6], { labels: { kind: 'b' }, interface: 'lxcB' }),
      pod('node', [NODE.ip4, NODE.ip6], { labels: ['reserved:host'] }),
      pod('other-node', OTHER_NODE, { labels: ['reserved:remote-node'] }),
      ...kinds.map((kind, index) => pod(`r${index}`, remote(index), { labels: { kind } })),
    ],
    services: services.map(({ of, target, hasExternal }, index) => ({
      ...{ name: `shop/s${index}`, clusterIPs: clusterIps(index), ...of },
      ...(hasExternal ? { externalIPs: [`${EXTERNAL}${100 + 60 * (index % 2) + index}`] } : {}),
      ports: ['TCP', 'UDP'].map((protocol) => ({
        ...{ name: protocol.toLowerCase(), port: 80, targetPort: target, protocol },
        nodePort: 30_000 + index,
      })),
    })),
  };
}

const remote = (index: number): readonly string[] => [`10.9.2.${index}`, `fd09:2::${index}`];
const clusterIps = (index: number): readonly string[] => [`10.96.0.${index}`, `fd96::${index}`];

function* dialled({ kinds, services }: RandomSet) {
  for (const protocol of ['TCP', 'UDP'] as const) {
    for (const index of services.keys()) {
      for (const to of clusterIps(index)) yield { to, port: 80, protocol };
      yield { to: `10.96.0.${index}`, port: 81, protocol };
      yield { to: `${EXTERNAL}${100 + 60 * (index % 2) + index}`, port: 80, protocol };
      for (const to of [NODE.ip4, NODE.ip6, ...OTHER_NODE])
        yield { to, port: 30_000 + index, protocol };
    }
    for (const index of kinds.keys())
      for (const to of remote(index)) yield { to, port: 8080, protocol };
  }
}

function verdictOf(
  judge: Judge,
  { to, port, protocol }: { readonly to: string; readonly port: number; readonly protocol: string },
): 'allow' | 'deny' {
  const place = to.includes(':') ? `[${to}]:${port}` : `${to}:${port}`;
  const parsed = parseQuestion({ endpoint: 'shop/a', to: place, protocol });
  if (parsed.kind === 'error') throw new Error(parsed.message);
  const answer = judge.answer(parsed.question);
  if (answer.kind === 'error') throw new Error(answer.message);
  return answer.line.verdict;
}
