/** Whatever comes after what: a store that took batches of identities says what one says that has seen nothing else. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import type { PolicyInput } from '../../../src/control/set/policy_input.ts';
import { compileSet } from '../../../src/control/set/resolved_set.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { DecodedFiles } from '../../../src/control/source/files/decoded_files.ts';
import { IDENTITY_WORLD, type Port, type ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { finish } from '../../../src/model/steps.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';

const STORE = { regexEngine: createRe2Engine(DEFAULT_LIMITS), limits: DEFAULT_LIMITS };
const IPS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '192.0.2.7', '198.51.100.9'];
const PORTS = [80, 81];
const NAMED_NODE =
  '"k8s:app=web", "k8s:io.kubernetes.pod.namespace=default", "k8s:io.cilium.k8s.policy.cluster=default"';

const subject = fc
  .tuple(
    fc.constantFrom(
      '{ app: api }',
      '{ app: web }',
      '{ app: web, tier: x }',
      '["reserved:host"]',
      `["reserved:host", ${NAMED_NODE}]`,
      `["reserved:remote-node", ${NAMED_NODE}]`,
    ),
    fc.constantFrom('', ', namedPorts: { web: 80 }', ', namedPorts: { web: 81 }'),
  )
  .map((parts) => parts.join(''));

const rules = fc.constantFrom(
  'ingress: [{ fromEndpoints: [{ matchLabels: { app: web } }] }]',
  'ingress: [{ fromEntities: [remote-node], toPorts: [{ ports: [{ port: web, protocol: TCP }] }] }]',
  'egress: [{ toEndpoints: [{ matchLabels: { app: web } }], toPorts: [{ ports: [{ port: web, protocol: TCP }] }] }]',
  'egress: [{ toPorts: [{ ports: [{ port: web, protocol: TCP }] }] }]',
  'egress: [{ toFQDNs: [{ matchName: a.test }] }]',
  'egress: [{ toEntities: [cluster] }, { toCIDRSet: [{ cidr: 198.51.0.0/16, except: [198.51.100.0/24] }] }]',
  'egressDeny: [{ toEndpoints: [{ matchLabels: { tier: x } }] }]',
);

const rest = fc.constantFrom(
  '',
  '',
  'cidrs: [{ cidr: 192.0.2.7/32, labels: ["fqdn:a.test"] }]\n',
  'cidrs: [{ cidr: 198.51.100.0/24, identity: 6000, labels: ["k8s:app=web"] }]\n',
  'identities: [{ id: 1, labels: ["reserved:host"] }]\n',
  'identities: [{ id: 6, labels: ["reserved:remote-node"] }]\n',
);

const history = fc.record({
  selector: fc.constantFrom('{}', '{ matchLabels: { app: api } }', '{ matchLabels: { app: web } }'),
  rules: fc.array(rules, { minLength: 1, maxLength: 3 }),
  isWireBeside: fc.boolean(),
  subjects: fc.tuple(subject, subject, subject),
  // The first ones: who has which name stays so, as where a pod runs does.
  localCount: fc.constantFrom(IPS.length, IPS.length, 1, 2),
  first: fc.record({ ips: fc.shuffledSubarray(IPS, { minLength: 3 }), rest }),
  steps: fc.array(
    fc.record({
      ips: fc.shuffledSubarray(IPS),
      whose: fc.array(fc.nat({ max: 2 }), { minLength: IPS.length, maxLength: IPS.length }),
      rest,
    }),
    { minLength: 2, maxLength: 6 },
  ),
});

it('batches of identities end where a set that is taken whole does', () => {
  let moveCount = 0;
  let wireCount = 0;
  fc.assert(
    fc.property(history, ({ selector, rules: own, isWireBeside, subjects, ...rest }) => {
      const { localCount, first, steps } = rest;
      const wire =
        'name: w\nendpoint_ips: ["10.0.0.1"]\nendpoint_id: 77\ningress_per_port_policies: [{ port: 80 }]\n';
      const policies = [
        ...own.map((one, index) => policy(`p${index}`, selector, one)),
        ...(isWireBeside ? [wire] : []),
      ].join('---\n');
      const store = new PolicyChecker(STORE);
      const files = new DecodedFiles();
      const all = [{ ...first, whose: [0, 1, 2, 0, 1] }, ...steps];
      for (const step of all) {
        const endpoints = endpointsText(step, subjects);
        const decoded = inputOf({ policies, endpoints }, files);
        if (decoded === null) continue;
        const input = placed(decoded, localCount);
        const moved = store.current().revision === 0 ? null : store.move(input);
        if (moved === null && store.update(input).kind === 'rejected') continue;
        if (moved !== null) moveCount += 1;
        if (isWireBeside) wireCount += 1;
        const fresh = new PolicyChecker(STORE);
        expect(fresh.update(input).kind).toBe('accepted');
        const expected = verdictsOf(fresh.current());
        expect(verdictsOf(store.current())).toEqual(expected);
        expect(verdictsOf(forOthers(store))).toEqual(expected);
      }
    }),
    runs(250),
  );
  expect(Math.min(moveCount, wireCount)).toBeGreaterThan(20);
});

/** What a worker has that starts now. */
function forOthers(store: PolicyChecker): PolicySnapshot {
  const set = store.resolved();
  if (set === null) throw new Error('no set is in force');
  const compiled = finish(compileSet(set, { ...STORE, revision: 1 }));
  if (compiled.kind === 'error') throw new Error(JSON.stringify(compiled.problems));
  return compiled.snapshot;
}

/** Null: such files are refused. */
function inputOf(
  { policies, endpoints }: { readonly policies: string; readonly endpoints: string },
  files: DecodedFiles,
): PolicyInput | null {
  const bundle = {
    policies: [{ path: 'p', text: policies }],
    endpoints: { path: 'e', text: endpoints },
    secrets: null,
  };
  const decoded = decodeBundle(bundle, { ...STORE, hasNodeLabels: false }, files);
  return decoded.kind === 'ok' ? decoded.input : null;
}

/** Only the first endpoints are on this node. */
function placed(input: PolicyInput, localCount: number): PolicyInput {
  const endpoints = input.inventory.endpoints.map((one) => ({
    ...one,
    isLocal: Number(one.name.split('/')[1]) < localCount,
  }));
  return { ...input, inventory: { ...input.inventory, endpoints } };
}

function verdictsOf(snapshot: PolicySnapshot): readonly string[] {
  return IPS.flatMap((ip) =>
    (['ingress', 'egress'] as const).flatMap((direction) =>
      IPS.flatMap((remoteIp) =>
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

function policy(name: string, selector: string, rule: string): string {
  const head = 'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n';
  return `${head}metadata: { name: ${name}, namespace: default }\nspec:\n  endpointSelector: ${selector}\n  ${rule}\n`;
}

function endpointsText(
  step: {
    readonly ips: readonly string[];
    readonly whose: readonly number[];
    readonly rest: string;
  },
  subjects: readonly string[],
): string {
  const lines = step.ips.map((ip, index) => {
    const labels = subjects[step.whose[index] ?? 0];
    return `  - { name: default/${index}, ip: ${ip}, labels: ${labels} }\n`;
  });
  return `${lines.length === 0 ? 'endpoints: []\n' : `endpoints:\n${lines.join('')}`}${step.rest}`;
}
