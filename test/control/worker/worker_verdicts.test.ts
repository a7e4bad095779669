/** What `sallyport verdict` says of a policy is what a worker does, whatever it enforced before. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type Judge } from '../../../src/control/ask/judge.ts';
import { judgeBundle } from '../../../src/control/ask/judge_bundle.ts';
import { parseQuestion, type Question } from '../../../src/control/ask/question.ts';
import type { SourceBundle } from '../../../src/control/source/files/source_bundle.ts';
import { LiveSnapshot } from '../../../src/control/worker/live_snapshot.ts';
import { encodeResolved } from '../../../src/control/worker/resolved_wire.ts';
import type { Decision } from '../../../src/model/decision.ts';
import { effectiveIdentity, IDENTITY_WORLD } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { BundleStore } from '../../support/bundle_store.ts';
import { runs } from '../../support/property_runs.ts';

const limits = { ...DEFAULT_LIMITS, policyTurnMs: 1 };
const SECRETS = { path: 'secrets', text: JSON.stringify({ 'default/token': 's3cret', 'x/y': '' }) };
const ENDPOINTS = {
  path: 'endpoints',
  text: JSON.stringify({
    endpoints: [
      { name: 'default/api', ip: '10.0.0.1', labels: { app: 'api' } },
      { name: 'default/__proto__', ips: ['10.0.0.2', 'fd00::2'], labels: { app: 'web' } },
      { name: 'default/constructor', ip: '10.0.0.3', labels: { app: 'job', toString: 'x' } },
    ],
  }),
};
const LOCAL = ['10.0.0.1', '10.0.0.2', 'fd00::2', '10.0.0.3', '10.0.0.4'];
const REMOTE = [...LOCAL, '192.0.2.5', '192.0.2.200', '198.51.100.1', '2001:db8::1'];
const PATHS = ['/', '/a', '/a/7', '/b', '/B', '/a|', '/é', '/__proto__'];
const PATTERNS = [
  '/a',
  '/a.*',
  '/[ab]',
  '(?i)/b',
  '/a|/b',
  '/.*',
  '',
  '/\\x61/[0-9]+',
  '/\\Qa|\\E',
];

const optional = <Value>(one: fc.Arbitrary<Value>) => fc.option(one, { nil: undefined });

const labels = fc.constantFrom({ app: 'api' }, { app: 'web' }, { app: 'job' }, {});

const peers = fc.constantFrom(
  {},
  { fromEndpoints: [{ matchLabels: { app: 'web' } }] },
  { fromEndpoints: [{}] },
  { fromEndpoints: [] },
  { fromEndpoints: [{ matchExpressions: [{ key: 'toString', operator: 'Exists' }] }] },
  { fromCIDR: ['192.0.2.0/24', '2001:db8::/32'] },
  { fromCIDRSet: [{ cidr: '0.0.0.0/0', except: ['192.0.2.128/25'] }] },
  { fromCIDR: ['::/0', '10.0.0.4/32'] },
  { fromEntities: ['world'] },
  { fromEntities: ['all'] },
);

const headerMatch = fc.record(
  {
    name: fc.constantFrom('x-a', 'x-b'),
    value: optional(fc.constantFrom('1', '2')),
    secret: optional(fc.constantFrom({ name: 'token' }, { name: 'y', namespace: 'x' })),
    mismatch: optional(fc.constantFrom('LOG', 'ADD', 'DELETE', 'REPLACE')),
  },
  { noNullPrototype: true },
);

const httpRule = fc.record(
  {
    path: optional(fc.constantFrom(...PATTERNS)),
    method: optional(fc.constantFrom('GET', 'P.*')),
    host: optional(fc.constantFrom('a.test', '.*')),
    headers: optional(fc.constantFrom(['x-a 1'], ['x-b'])),
    headerMatches: optional(fc.array(headerMatch, { maxLength: 2 })),
  },
  { noNullPrototype: true },
);

const http = fc.oneof(
  { weight: 4, arbitrary: fc.array(httpRule, { minLength: 1, maxLength: 5 }) },
  { weight: 1, arbitrary: fc.constant([{}]) },
);

const tcp = fc.record({
  port: fc.constantFrom({ port: '80' }, { port: '443' }, { port: '70', endPort: 90 }),
  l7: fc.oneof(
    fc.constant({}),
    http.map((rules) => ({ rules: { http: rules } })),
    fc.constant({ serverNames: ['a.test', '*.b.test'] }),
  ),
});

const ports = fc.oneof(
  {
    weight: 3,
    arbitrary: tcp.map(({ port, l7 }) => ({ ports: [{ ...port, protocol: 'TCP' }], ...l7 })),
  },
  { weight: 1, arbitrary: fc.constantFrom(port('0', 'TCP'), port('80', 'ANY'), port('9', 'UDP')) },
);

function port(text: string, protocol: string) {
  return { ports: [{ port: text, protocol }] };
}

/** DNS rules are of this direction only. */
const egress = fc.constantFrom(
  {},
  { toEntities: ['world'], toPorts: [port('443', 'TCP')] },
  {
    toEntities: ['all'],
    toPorts: [{ ...port('80', 'UDP'), rules: { dns: [{ matchPattern: '*.a.test' }] } }],
  },
  {
    toEndpoints: [{}],
    toPorts: [{ ...port('80', 'TCP'), rules: { dns: [{ matchName: 'b' }] } }],
  },
);

const allow = fc
  .tuple(peers, optional(fc.array(ports, { maxLength: 2 })))
  .map(([from, toPorts]) => ({ ...from, ...(toPorts === undefined ? {} : { toPorts }) }));

const deny = fc
  .tuple(peers, fc.constantFrom('80', '443'))
  .map(([from, port]) => ({ ...from, toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] }));

interface Document {
  readonly kind: string;
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
}

const document = (index: number): fc.Arbitrary<Document> =>
  fc
    .tuple(
      labels,
      fc.array(allow, { minLength: 1, maxLength: 3 }),
      fc.array(deny, { maxLength: 1 }),
      fc.array(egress, { maxLength: 2 }),
      fc.integer({ min: 0, max: 3 }),
    )
    .map(([matchLabels, ingress, ingressDeny, egressRules, dice]) => ({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      metadata: {
        name: ['p', 'constructor', 'q', 'r'][index],
        namespace: 'default',
        annotations: dice === 0 ? DRY_RUN : {},
      },
      spec: {
        endpointSelector: { matchLabels },
        ingress,
        ingressDeny,
        ...(egressRules.length === 0 ? {} : { egress: egressRules }),
      },
    })) as fc.Arbitrary<Document>;

const DRY_RUN = { 'sallyport.dev/dry-run': 'true' };

const documents = fc
  .tuple(document(0), document(1), document(2), document(3), fc.integer({ min: 1, max: 4 }))
  .map(([a, b, c, d, count]) => [a, b, c, d].slice(0, count));

const question: fc.Arbitrary<Question> = fc
  .record({
    endpointIp: fc.constantFrom(...LOCAL),
    remoteIp: fc.constantFrom(...REMOTE),
    direction: fc.constantFrom('ingress', 'ingress', 'ingress', 'egress'),
    port: fc.constantFrom(80, 443, 75, 9),
    protocol: fc.constantFrom('TCP', 'TCP', 'TCP', 'UDP'),
    sni: fc.constantFrom('', '', 'a.test', 'c.b.test'),
    ask: fc.oneof(
      fc.constant({}),
      fc.constantFrom('x.a.test', 'b', 'c').map((name) => ({ dns: { name } })),
      fc
        .record({
          method: fc.constantFrom('GET', 'PUT'),
          path: fc.constantFrom(...PATHS),
          authority: fc.constantFrom('a.test', 'b.test'),
          headers: fc.constantFrom([], [['x-a', '1']], [['x-b', 's3cret']]),
        })
        .map((http) => ({ http })),
    ),
  })
  .map(({ ask, ...rest }) => {
    const parsed = parseQuestion({ ...rest, ...ask });
    if (parsed.kind === 'error') throw new Error(parsed.message);
    return parsed.question;
  });

const questions = fc.array(question, { minLength: 12, maxLength: 12 });

describe('a worker', () => {
  it('decides what `verdict` says, of each set of a history and of what is in dry-run', () => {
    const seen = { allow: 0, deny: 0, shadow: 0, rejected: 0 };
    fc.assert(
      fc.property(
        fc.array(documents, { minLength: 1, maxLength: 4 }),
        questions,
        (history, asked) => {
          const supervisor = new BundleStore({ regexEngine: createRe2Engine(limits), limits });
          const worker = new Worker();
          for (const list of history) {
            const judge = judgeOf(bundleOf(list));
            const result = supervisor.updateBundle(bundleOf(list));
            expect(result.kind).toBe(judge === null ? 'rejected' : 'accepted');
            if (result.kind === 'rejected' || judge === null) {
              seen.rejected++;
              continue;
            }
            worker.update(result.revision, encodeResolved(result.set));
            const { snapshot } = worker;
            expect(snapshot.revision).toBe(result.revision);
            for (const one of asked) {
              const decision = decisionIn(snapshot, one);
              seen[decision.verdict]++;
              expect(shown(decision)).toEqual(shown(judged(judge, one)));
            }
            const all = judgeOf(bundleOf(list.map(withoutDryRun)));
            if (snapshot.shadow === null || all === null) continue;
            for (const one of asked) {
              seen.shadow++;
              expect(shown(decisionIn(snapshot.shadow, one))).toEqual(shown(judged(all, one)));
            }
          }
        },
      ),
      runs(15),
    );
    expect(Math.min(seen.allow, seen.deny, seen.shadow)).toBeGreaterThan(100);
  });
});

/** Takes sets as a worker process does: as bytes, in turns, with views that were asked before. */
class Worker {
  readonly #store: LiveSnapshot;
  readonly #waiting: (() => void)[] = [];
  #nowMs = 0;

  constructor() {
    this.#store = new LiveSnapshot({
      regexEngine: createRe2Engine(limits, { areChecked: true }),
      limits,
      platform: {
        clock: { nowMs: () => this.#nowMs++, wallMs: () => 0 },
        soon: (task) => this.#waiting.push(task),
      },
      events: {
        onSwap: (_taken, done) => done(),
        onRefused: (revision, problems) => {
          throw new Error(`revision ${revision}: ${problems.join('; ')}`);
        },
        onIdentities: () => {},
        onServices: () => {},
        onServicesBroken: (_sequence, problem) => expect.fail(problem),
        onBroken: (sequence, problem) => {
          throw new Error(`batch ${sequence}: ${problem}`);
        },
      },
    });
  }

  get snapshot(): PolicySnapshot {
    return this.#store.current();
  }

  update(revision: number, parts: ReturnType<typeof encodeResolved>): void {
    this.#store.update({ revision, parts: structuredClone(parts) });
    for (let task = this.#waiting.shift(); task !== undefined; task = this.#waiting.shift()) task();
  }
}

function bundleOf(list: readonly Document[]): SourceBundle {
  const policies = list.map((one, i) => ({ path: `${i}.yaml`, text: JSON.stringify(one) }));
  return { policies, endpoints: ENDPOINTS, secrets: SECRETS };
}

function withoutDryRun(one: Document): Document {
  return { ...one, metadata: { ...one.metadata, annotations: {} } };
}

/** Null when the bundle is rejected. */
function judgeOf(bundle: SourceBundle): Judge | null {
  const regexEngine = createRe2Engine(DEFAULT_LIMITS);
  const result = judgeBundle(bundle, { limits, regexEngine, normalisePath: (path) => path });
  return result.kind === 'judge' ? result.judge : null;
}

function judged(judge: Judge, one: Question): Decision {
  const asked = judge.asked(one);
  if (asked.kind === 'error') throw new Error(asked.message);
  return decide(asked.view, one, asked.head);
}

function decisionIn(snapshot: PolicySnapshot, one: Question): Decision {
  const { subject, remote, ask } = one;
  if (subject.kind !== 'ip' || remote.kind !== 'ip') throw new Error('only addresses are asked');
  const identity = snapshot.ipcache.lookup(remote.ip) ?? IDENTITY_WORLD;
  const view = snapshot
    .endpoint(subject.ip)
    .port(one.direction, one.protocol, one.port)
    .view(one.proxyId, effectiveIdentity(identity));
  return decide(view, one, ask.kind === 'http' ? plainHead(ask.request) : null);
}

/** A rule's number is its compiler's own. */
function shown({ rule, ...decision }: Decision): unknown {
  return { ...decision, rule: [rule?.policy, rule?.rule] };
}
