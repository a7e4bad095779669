/**
 * Policies, pods, nodes and Services change in any order: a store that makes only what differs, a worker that is told
 * only that, and one that starts later, judge as those do who are given the end of it at once.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PolicyDocument } from '../../../src/control/decode/policy_document.ts';
import { type Accepted, PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import type { PolicyInput } from '../../../src/control/set/policy_input.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { encodeBatch, type SentBatch } from '../../../src/control/worker/identity_wire.ts';
import {
  LiveSnapshot,
  type NumberedSet,
  newest,
  type PolicyUpdate,
} from '../../../src/control/worker/live_snapshot.ts';
import { encodeResolved, encodeRules } from '../../../src/control/worker/resolved_wire.ts';
import { IDENTITY_WORLD, type Port, type ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { IdentityAllocator } from '../../../src/policy/resolve/identity_allocator.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import {
  anyChange,
  changed,
  IPS,
  NODE_IPS,
  RESIDENTS,
  whoIsWho,
} from '../../support/inventory_changes.ts';
import { runs } from '../../support/property_runs.ts';

const limits = { ...DEFAULT_LIMITS, policyTurnMs: 1 };
const regexEngine = createRe2Engine(limits);
/** It asks tens of thousands of questions, and others are at work. */
const PATIENCE_MS = 120_000;
const STORE = { regexEngine, limits };
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

const policies = fc.record({
  all: fc.subarray(
    POLICIES.map((_, index) => index),
    { minLength: 1, maxLength: 5 },
  ),
  dryRun: fc.constantFrom(-1, -1, 0, 1, 5),
  group: fc.constantFrom(...GROUPS),
});

const history = fc.record({
  policies,
  steps: fc.array(
    fc.record({
      changes: fc.oneof(
        fc.constant([]),
        fc.constant([]),
        fc.array(anyChange, { minLength: 1, maxLength: 2 }),
      ),
      policies: fc.option(policies),
      isStart: fc.boolean(),
    }),
    { minLength: 4, maxLength: 8 },
  ),
});

it(
  'whatever came before, the same verdicts are given as of the last of it alone',
  () => {
    const seen = { rules: 0, wholes: 0, batches: 0, starts: 0 };
    fc.assert(
      fc.property(history, (given) => {
        const allocator = new IdentityAllocator(limits);
        const store = new PolicyChecker({ ...STORE, allocator });
        const supervised = new Supervised();
        let documents = documentsOf(given.policies);
        let inventory = EMPTY_INVENTORY;
        const first = { changes: RESIDENTS, policies: null, isStart: true };
        for (const step of [first, ...given.steps]) {
          for (const one of step.changes) inventory = changed(inventory, one);
          if (step.policies !== null) documents = documentsOf(step.policies);
          const input = inputOf(documents, inventory);
          const numbers = allocator.given();
          const before = store.current();
          const moved = before.revision === 0 ? null : store.move(input);
          if (moved !== null) {
            seen.batches += 1;
            if (moved.batch !== null) supervised.identities(encodeBatch(moved.batch));
          } else {
            const result = store.update(input);
            if (result.kind === 'rejected') {
              expect(freshOf(input, numbers)).toBeNull();
              continue;
            }
            if (result.revision !== before.revision) {
              seen[result.isWhoSame ? 'rules' : 'wholes'] += 1;
              supervised.update(updateOf(result));
            }
          }
          const fresh = freshOf(input, moved === null ? numbers : allocator.given());
          if (fresh === null) throw new Error('a set that was taken is refused');
          const expected = factsOf(fresh.current());
          expect(factsOf(store.current())).toEqual(expected);
          expect(factsOf(supervised.worker.current())).toEqual(expected);
          if (!step.isStart) continue;
          seen.starts += 1;
          expect(factsOf(supervised.started().current())).toEqual(expected);
        }
      }),
      runs(15),
    );
    expect(Math.min(seen.rules, seen.wholes, seen.batches, seen.starts)).toBeGreaterThan(2);
  },
  PATIENCE_MS,
);

/** What a supervisor keeps for workers that start, and one that runs. */
class Supervised {
  readonly worker = workerOf();
  #policy: NumberedSet | null = null;
  #batches: SentBatch[] = [];

  update(policy: PolicyUpdate): void {
    const before = this.#policy;
    if (policy.parts !== undefined) {
      this.#policy = policy;
      this.#batches = [];
      if (before === null) expect(this.worker.take(policy).kind).toBe('taken');
    } else if (before === null) throw new Error('rules before a set');
    else this.#policy = newest(before, policy);
    if (before !== null) this.worker.update(policy);
  }

  identities(batch: SentBatch): void {
    this.#batches.push(batch);
    this.worker.identities(batch);
  }

  started(): LiveSnapshot {
    const worker = workerOf();
    if (this.#policy === null) throw new Error('no set');
    expect(worker.take(this.#policy).kind).toBe('taken');
    for (const batch of this.#batches) {
      if (batch.sequence > worker.sequence) worker.identities(batch);
    }
    return worker;
  }
}

/** Without anything in between: each set is in force when `update` returns. */
function workerOf(): LiveSnapshot {
  let nowMs = 0;
  return new LiveSnapshot({
    regexEngine,
    limits,
    platform: { clock: { nowMs: () => nowMs++, wallMs: () => 0 }, soon: (task) => task() },
    events: {
      onSwap: (_taken, done) => done(),
      onRefused: (revision, problems) => {
        throw new Error(`revision ${revision}: ${problems.join('; ')}`);
      },
      onIdentities: () => {},
      onBroken: (sequence, problem) => {
        throw new Error(`batch ${sequence}: ${problem}`);
      },
    },
  });
}

function updateOf({ revision, set, isWhoSame }: Accepted): PolicyUpdate {
  return isWhoSame
    ? { revision, rules: encodeRules(set) }
    : { revision, parts: encodeResolved(set) };
}

/** Null: it is refused. */
function freshOf(
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
function documentsOf({
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

function inputOf(documents: readonly PolicyDocument[], inventory: Inventory): PolicyInput {
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

function factsOf(snapshot: PolicySnapshot): unknown {
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
