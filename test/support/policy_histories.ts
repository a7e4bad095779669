/** Sets of policies that change, each document the same object as long as it is the same, and how sets of them judge. */
import fc from 'fast-check';
import type { PolicyDocument } from '../../src/control/decode/policy_document.ts';
import { type Accepted, PolicyChecker } from '../../src/control/set/policy_checker.ts';
import type { PolicyInput } from '../../src/control/set/policy_input.ts';
import { decodeBundle } from '../../src/control/source/files/decode_bundle.ts';
import type { PolicyUpdate } from '../../src/control/worker/live_snapshot.ts';
import { encodeResolved, encodeRules } from '../../src/control/worker/resolved_wire.ts';
import { IDENTITY_WORLD, type Port, type ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { plainHead } from '../../src/model/request_head.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { decideRequest } from '../../src/policy/decide/decide.ts';
import { IdentityAllocator } from '../../src/policy/resolve/identity_allocator.ts';
import type { Inventory } from '../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { IPS, NODE_IPS, whoIsWho } from './inventory_changes.ts';

export const limits = { ...DEFAULT_LIMITS, policyTurnMs: 1 };
export const regexEngine = createRe2Engine(limits);
/** They ask tens of thousands of questions, and others are at work. */
export const PATIENCE_MS = 120_000;
export const STORE = { regexEngine, limits };
const REMOTES = [...IPS, ...NODE_IPS, '172.16.0.1', '10.1.0.1', '10.1.0.3', '192.0.2.5'];
const LOCAL = [...IPS, '10.1.0.1', '10.1.0.2', '10.1.0.3'];
const QUESTIONS = [
  { port: 80, path: '/a' },
  { port: 80, path: '/b' },
  { port: 81, path: '/a' },
];

const WEB = 'fromEndpoints: [{ matchLabels: { app: web } }]';
const httpOf = (path: string): string =>
  `toPorts: [{ ports: [{ port: "80", protocol: TCP }], rules: { http: [{ path: "${path}" }] } }]`;
const GROUP = 'egress: [{ toCIDRSet: [{ cidrGroupRef: group }] }]';

/** Some are another form of one policy; some name another prefix, or a port of others; some exclude each other. */
const POLICIES: readonly (readonly [name: string, spec: string])[] = [
  ['a', `endpointSelector: {}\n  ingress: [{ ${WEB}, ${httpOf('/a')} }]`],
  ['a', `endpointSelector: {}\n  ingress: [{ ${WEB}, ${httpOf('/b')} }]`],
  ['a', `endpointSelector: { matchLabels: { app: api } }\n  ingress: [{ ${WEB} }]`],
  ['b', 'endpointSelector: {}\n  ingress: [{ fromEntities: [remote-node] }]'],
  ['b', 'endpointSelector: {}\n  ingressDeny: [{ fromEndpoints: [{ matchLabels: { tier: x } }] }]'],
  ['c', 'endpointSelector: {}\n  egress: [{ toCIDRSet: [{ cidr: 10.0.0.4/32 }] }]'],
  [
    'c',
    'endpointSelector: {}\n  egress: [{ toCIDRSet: [{ cidr: 10.0.0.0/8, except: [10.0.0.4/31] }] }]',
  ],
  ['c', `endpointSelector: {}\n  ${GROUP}`],
  [
    'd',
    'endpointSelector: {}\n  egress: [{ toPorts: [{ ports: [{ port: http, protocol: TCP }] }] }]',
  ],
  [
    'd',
    'endpointSelector: {}\n  egress: [{ toEndpoints: [{ matchLabels: { app: web } }], toPorts: [{ ports: [{ port: http, protocol: TCP }] }] }]',
  ],
  [
    'e',
    'endpointSelector: {}\n  egress: [{ toServices: [{ k8sService: { serviceName: one, namespace: default } }] }]',
  ],
  [
    'e',
    'endpointSelector: {}\n  egress: [{ toServices: [{ k8sService: { serviceName: two, namespace: default } }] }]',
  ],
  [
    'f',
    'endpointSelector: { matchLabels: { app: api } }\n  enableDefaultDeny: { egress: false }\n  egress: [{ toEntities: [world] }]',
  ],
];
const GROUPS = ['[10.0.0.1/32]', '[10.0.0.2/32, 192.0.2.0/24]'];

export const policies = fc.record({
  all: fc.subarray(
    POLICIES.map((_, index) => index),
    { minLength: 1, maxLength: 5 },
  ),
  dryRun: fc.constantFrom(-1, -1, 0, 1, 5),
  group: fc.constantFrom(...GROUPS),
});

/** Of which none names a prefix that the others do not. */
export const samePrefixes = fc.record({
  all: fc.subarray([0, 1, 2, 3, 4, 8, 9, 12], { minLength: 1, maxLength: 4 }),
  dryRun: fc.constantFrom(-1, -1, 0, 1),
  group: fc.constantFrom(...GROUPS.slice(0, 1)),
});

export function updateOf({ revision, set, isWhoSame }: Accepted): PolicyUpdate {
  return isWhoSame
    ? { revision, rules: encodeRules(set) }
    : { revision, parts: encodeResolved(set) };
}

/** Null: it is refused. */
export function freshOf(
  input: PolicyInput,
  given: ReturnType<IdentityAllocator['given']>,
): PolicyChecker | null {
  const allocator = new IdentityAllocator(limits);
  allocator.restore(given);
  const fresh = new PolicyChecker({ ...STORE, allocator });
  return fresh.update(input).kind === 'accepted' ? fresh : null;
}

const decoded = new Map<string, PolicyDocument>();

/** The same document is the same object, as of a source. The last form of a policy counts. */
export function documentsOf({
  all,
  dryRun,
  group,
}: {
  readonly all: readonly number[];
  readonly dryRun: number;
  readonly group: string;
}): readonly PolicyDocument[] {
  const byName = new Map<string, string>();
  for (const index of all) {
    const [name, spec] = POLICIES[index] as (typeof POLICIES)[number];
    const annotations = index === dryRun ? ', annotations: { sallyport.dev/dry-run: "true" }' : '';
    const metadata = `{ name: ${name}, namespace: default${annotations} }`;
    byName.set(
      name,
      `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: ${metadata}\nspec:\n  ${spec}\n`,
    );
  }
  const groupText = `apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: { name: group }\nspec: { externalCIDRs: ${group} }\n`;
  return [groupText, ...byName.values()].map(documentOf);
}

function documentOf(text: string): PolicyDocument {
  let document = decoded.get(text);
  if (document === undefined) {
    const bundle = { policies: [{ path: 'p', text }], endpoints: null, secrets: null };
    const result = decodeBundle(bundle, { ...STORE, hasNodeLabels: false });
    if (result.kind === 'rejected') throw new Error(JSON.stringify(result.problems));
    document = result.input.documents[0] as PolicyDocument;
    decoded.set(text, document);
  }
  return document;
}

const SECRETS = new Map<string, string>();

export function inputOf(documents: readonly PolicyDocument[], inventory: Inventory): PolicyInput {
  return {
    documents,
    inventory,
    secrets: SECRETS,
    hasNodeLabels: false,
    warnings: [],
    refused: [],
    areConflictsDenied: true,
    parts: [inventory, ...documents],
  };
}

export function factsOf(snapshot: PolicySnapshot): unknown {
  return {
    who: whoIsWho(snapshot.who?.roster),
    policyNames: snapshot.policyNames,
    enforced: verdictsOf(snapshot),
    shadow: snapshot.shadow === null ? null : verdictsOf(snapshot.shadow),
  };
}

function verdictsOf(snapshot: PolicySnapshot): readonly string[] {
  return LOCAL.flatMap((ip) =>
    (['ingress', 'egress'] as const).flatMap((direction) =>
      REMOTES.flatMap((remoteIp) =>
        QUESTIONS.map(({ port, path }) => {
          const endpoint = snapshot.endpoint(ip);
          const remote = snapshot.ipcache.lookup(remoteIp) ?? IDENTITY_WORLD;
          const view = endpoint.port(direction, 'TCP', port as Port).view(0 as ProxyId, remote);
          const head = plainHead({ method: 'GET', authority: 'a.test', path });
          const { verdict, rule } = decideRequest(view, '', head);
          return `${endpoint.name} ${ip} ${direction} ${remoteIp} ${port}${path}: ${verdict} ${rule?.policy} ${rule?.rule}`;
        }),
      ),
    ),
  );
}
