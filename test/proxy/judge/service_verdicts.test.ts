/**
 * A connection to the address of a Service is judged by all who may be behind it: what a worker says, which gets Services
 * as bytes and in batches, is what the engine says about each of them, put together, and what the tools say.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type Judge } from '../../../src/control/ask/judge.ts';
import { judgeBundle } from '../../../src/control/ask/judge_bundle.ts';
import { parseQuestion, type Question } from '../../../src/control/ask/question.ts';
import type { SourceBundle } from '../../../src/control/source/files/source_bundle.ts';
import { LiveSnapshot } from '../../../src/control/worker/live_snapshot.ts';
import { encodeResolved } from '../../../src/control/worker/resolved_wire.ts';
import type { SentServices } from '../../../src/control/worker/service_wire.ts';
import type { Transport } from '../../../src/model/connection_meta.ts';
import { applyMutations, type Decision } from '../../../src/model/decision.ts';
import { IDENTITY_WORLD, type ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { plainHead, type RequestHead } from '../../../src/model/request_head.ts';
import { PolicySubject } from '../../../src/proxy/judge/policy_subject.ts';
import type { ListenerOptions } from '../../../src/proxy/plane/options.ts';
import { resolveMeta } from '../../../src/proxy/resolve/resolve.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { KeptServices } from '../../../src/workers/kept_services.ts';
import { ServiceSender } from '../../../src/workers/service_sender.ts';
import { BundleStore } from '../../support/bundle_store.ts';
import { address } from '../../support/plane_rig.ts';
import { runs } from '../../support/property_runs.ts';

const CLIENT = '10.0.0.1';
const PODS = [
  { name: 'default/a', ip: '10.0.0.11', labels: { app: 'web', track: 'old' } },
  { name: 'default/b', ip: '10.0.0.12', labels: { app: 'web', track: 'new' } },
  { name: 'default/c', ip: '10.0.0.13', labels: { app: 'job' } },
] as const;
const SELECTED_IP = '10.96.0.1';
const OUTSIDE_IP = '10.96.0.2';
const EXTERNAL_IP = '203.0.113.7';

interface Scene {
  readonly selector: Readonly<Record<string, string>>;
  readonly target: number;
  readonly dnsTarget: number;
  /** Behind the other Service; null: there is none. */
  readonly outside: readonly string[] | null;
  readonly outsideTarget: number;
  readonly policies: readonly object[];
}

const http = fc.constantFrom(
  {},
  { rules: { http: [{ path: '/a.*' }] } },
  { rules: { http: [{ method: 'GET', headers: ['x-a 1'] }, { path: '/b' }] } },
  { rules: { http: [{ headerMatches: [{ name: 'x-a', value: '7', mismatch: 'ADD' }] }] } },
  { rules: { http: [{ headerMatches: [{ name: 'x-b', value: '7', mismatch: 'REPLACE' }] }] } },
);
const dns = fc.constantFrom(
  {},
  { rules: { dns: [{ matchPattern: '*.a.test' }] } },
  { rules: { dns: [{ matchName: 'b' }] } },
);
const tcpPort = fc.constantFrom({ port: '80' }, { port: '8080' }, { port: '70', endPort: 9000 });
const ports = fc.oneof(
  fc.tuple(tcpPort, http).map(([port, l7]) => ({ ports: [{ ...port, protocol: 'TCP' }], ...l7 })),
  fc
    .tuple(fc.constantFrom('53', '9'), dns)
    .map(([port, l7]) => ({ ports: [{ port, protocol: 'UDP' }], ...l7 })),
);
const peers = fc.constantFrom(
  { toEndpoints: [{ matchLabels: { app: 'web' } }] },
  { toEndpoints: [{ matchLabels: { track: 'new' } }] },
  { toEndpoints: [{ matchLabels: { track: 'old' } }] },
  { toEndpoints: [{}] },
  { toEntities: ['world'] },
  { toEntities: ['all'] },
  { toCIDR: ['192.0.2.0/24'] },
  { toCIDR: [`${EXTERNAL_IP}/32`] },
  { toCIDR: ['10.96.0.0/12'] },
  { toServices: [{ k8sService: { serviceName: 'selected', namespace: 'default' } }] },
  { toServices: [{ k8sService: { serviceName: 'outside', namespace: 'default' } }] },
);
const allow = fc
  .tuple(peers, fc.option(fc.array(ports, { minLength: 1, maxLength: 2 }), { nil: undefined }))
  .map(([to, toPorts]) => (toPorts === undefined ? to : { ...to, toPorts }));
const deny = fc
  .tuple(
    fc.constantFrom(
      { toEndpoints: [{ matchLabels: { track: 'old' } }] },
      { toCIDR: ['192.0.2.128/25'] },
    ),
    fc.constantFrom('80', '8080'),
  )
  .map(([to, port]) => ({ ...to, toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] }));

const policies = fc
  .tuple(
    fc.array(allow, { minLength: 1, maxLength: 5 }),
    fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(deny, { maxLength: 1 })),
  )
  .map(([egress, egressDeny]) => [policyWith(egress, egressDeny)]);

function policyWith(egress: readonly object[], egressDeny: readonly object[]): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', namespace: 'default' },
    spec: { endpointSelector: { matchLabels: { app: 'client' } }, egress, egressDeny },
  };
}

const scene: fc.Arbitrary<Scene> = fc.record({
  selector: fc.constantFrom<Scene['selector']>(
    { app: 'web' },
    { app: 'web' },
    { track: 'new' },
    { app: 'nobody' },
    {},
  ),
  target: fc.constantFrom(80, 8080),
  dnsTarget: fc.constantFrom(53, 9),
  outside: fc.option(
    fc.subarray(['192.0.2.5', '192.0.2.200', '198.51.100.1', '10.0.0.11'], { minLength: 0 }),
  ),
  outsideTarget: fc.constantFrom(80, 443),
  policies,
});

interface Asked {
  readonly ip: string;
  readonly port: number;
  readonly protocol: Transport;
  readonly ask: object;
}

const request = fc.record({
  method: fc.constantFrom('GET', 'PUT'),
  path: fc.constantFrom('/a', '/b', '/c'),
  authority: fc.constant('a.test'),
  headers: fc.constantFrom([], [['x-a', '1']], [['x-b', '7']]),
});
const asked: fc.Arbitrary<Asked> = fc.oneof(
  fc.record({
    ip: fc.constantFrom(SELECTED_IP, OUTSIDE_IP, EXTERNAL_IP, '10.0.0.11', '198.51.100.1'),
    port: fc.constantFrom(80, 80, 80, 8080),
    protocol: fc.constant<Transport>('TCP'),
    ask: fc.oneof(
      fc.constant({}),
      request.map((one) => ({ http: one })),
    ),
  }),
  fc.record({
    ip: fc.constant(SELECTED_IP),
    port: fc.constant(53),
    protocol: fc.constant<Transport>('UDP'),
    ask: fc.constantFrom('x.a.test', 'b').map((name) => ({ dns: { name } })),
  }),
);

describe('a connection to the address of a Service', () => {
  it('is judged as everybody is who may be behind it, by worker and tools alike, whatever there was before', () => {
    const seen = { allow: 0, deny: 0, several: 0, empty: 0 };
    fc.assert(
      fc.property(
        fc.array(scene, { minLength: 1, maxLength: 4 }),
        fc.array(asked, { minLength: 8, maxLength: 8 }),
        (history, questions) => {
          const rig = new Rig();
          const open = new Map<Asked, PolicySubject>();
          for (const one of history) {
            const judge = rig.become(one);
            for (const question of questions) {
              const behind = behindOf(one, question);
              const wanted = together(judge, question, behind);
              const subject = open.get(question) ?? rig.subject(question);
              open.set(question, subject);
              const told = shown(decisionOf(subject, question), question);
              expect(told, JSON.stringify({ question, behind })).toEqual(wanted);
              expect(shown(decisionOf(rig.subject(question), question), question)).toEqual(wanted);
              expect(shown(decisionOf(rig.lateSubject(question), question), question)).toEqual(
                wanted,
              );
              expect(answered(judge, question)).toEqual(wanted);
              if (behind === null) continue;
              seen[wanted.verdict]++;
              if (behind.length > 1) seen.several++;
              if (behind.length === 0) seen.empty++;
            }
          }
        },
      ),
      runs(60),
    );
    expect(Math.min(seen.allow, seen.deny, seen.several, seen.empty)).toBeGreaterThan(20);
  });
});

it.each<[string, readonly [string, string], Shown]>([
  ['in the same way', ['ADD', 'ADD'], { verdict: 'allow', reason: null, fields: ['x-a', '7'] }],
  ['in different ways', ['ADD', 'LOG'], refusal('service-backends-differ')],
])('rules that change a request %s, depending on who is behind', (_, actions, wanted) => {
  const http = (mismatch: string) => [{ headerMatches: [{ name: 'x-a', value: '7', mismatch }] }];
  const egress = ['old', 'new'].map((track, at) => ({
    toEndpoints: [{ matchLabels: { track } }],
    toPorts: [
      {
        ports: [{ port: '80', protocol: 'TCP' }],
        rules: { http: http(actions[at] as string) },
      },
    ],
  }));
  const rig = new Rig();
  const judge = rig.become({
    ...{ selector: { app: 'web' }, target: 80, dnsTarget: 53, outside: null, outsideTarget: 80 },
    policies: [policyWith(egress, [])],
  });
  const http1 = { method: 'GET', path: '/', authority: 'a.test', headers: [] };
  const question: Asked = { ip: SELECTED_IP, port: 80, protocol: 'TCP', ask: { http: http1 } };
  expect(shown(decisionOf(rig.subject(question), question), question)).toEqual(wanted);
  expect(answered(judge, question)).toEqual(wanted);
});

/** Who is behind it, and where the address itself counts it, too; null: it is no address of a Service. */
function behindOf(
  { selector, target, dnsTarget, outside, outsideTarget }: Scene,
  { ip, port, protocol }: Asked,
): readonly { readonly ip: string; readonly port: number }[] | null {
  if (ip === SELECTED_IP && port === (protocol === 'TCP' ? 80 : 53)) {
    const targetPort = protocol === 'TCP' ? target : dnsTarget;
    return ALL.filter(({ labels }) =>
      Object.entries(selector).every(([key, value]) => Reflect.get(labels, key) === value),
    ).map((pod) => ({ ip: pod.ip, port: targetPort }));
  }
  if (outside === null || port !== 80 || protocol !== 'TCP') return null;
  if (ip !== OUTSIDE_IP && ip !== EXTERNAL_IP) return null;
  // In the order of the table: of several denials the first is told.
  const behind = outside.toSorted().map((one) => ({ ip: one, port: outsideTarget }));
  // Nobody may translate it: then it is the world that it leads to.
  return ip === EXTERNAL_IP && behind.length > 0 ? [...behind, { ip, port }] : behind;
}

const ALL = [{ name: 'default/client', ip: CLIENT, labels: { app: 'client' } }, ...PODS];

interface Shown {
  readonly verdict: 'allow' | 'deny';
  /** Of a denial. */
  readonly reason: string | null;
  /** Of an allowed request: what goes on. */
  readonly fields: readonly string[] | null;
}

/** By the engine, which is asked about each as if it was dialled itself. */
function together(judge: Judge, question: Asked, behind: ReturnType<typeof behindOf>): Shown {
  const each = (behind ?? [question]).map(({ ip, port }): Shown => {
    const one = questionOf({ ...question, ip, port });
    const { snapshot } = judge;
    const identity = snapshot.ipcache.lookup(ip) ?? IDENTITY_WORLD;
    const view = snapshot.endpoint(CLIENT).port('egress', one.protocol, one.port);
    return shown(decide(view.view(one.proxyId, identity), one, headOf(question)), question);
  });
  const denied = each.find(({ verdict }) => verdict === 'deny');
  const [first] = each;
  if (first === undefined) return refusal('service-without-backend');
  if (denied !== undefined) return denied;
  const isSame = each.every(
    ({ fields }) => JSON.stringify(fields) === JSON.stringify(first.fields),
  );
  return isSame ? first : refusal('service-backends-differ');
}

function refusal(reason: string): Shown {
  return { verdict: 'deny', reason, fields: null };
}

function answered(judge: Judge, question: Asked): Shown {
  const answer = judge.answer(questionOf(question));
  if (answer.kind === 'error') throw new Error(answer.message);
  const { line } = answer;
  if (line.verdict === 'deny') return refusal(line.reason);
  return { verdict: 'allow', reason: null, fields: line.headers?.flat() ?? null };
}

function shown(decision: Decision, question: Asked): Shown {
  if (decision.verdict === 'deny') return refusal(decision.reason);
  const head = headOf(question);
  const fields = head === null ? null : applyMutations(head.fields(), decision.mutations);
  return { verdict: 'allow', reason: null, fields };
}

function decisionOf(subject: PolicySubject, question: Asked): Decision {
  const { ask } = questionOf(question);
  const head = headOf(question);
  if (head !== null) return subject.judgeRequest(head);
  return ask.kind === 'dns' ? subject.judgeQuestion(ask.name) : subject.judgeConnection();
}

function headOf(question: Asked): RequestHead | null {
  const { ask } = questionOf(question);
  return ask.kind === 'http' ? plainHead(ask.request) : null;
}

function questionOf({ ip, port, protocol, ask }: Asked): Question {
  const parsed = parseQuestion({
    ...{ endpointIp: CLIENT, remoteIp: ip, direction: 'egress', port, protocol },
    ...ask,
  });
  if (parsed.kind === 'error') throw new Error(parsed.message);
  return parsed.question;
}

const limits = { ...DEFAULT_LIMITS, policyTurnMs: 1 };

/** A policy thread, a worker that has been there since the start, and one that starts now. */
class Rig {
  readonly #thread = new BundleStore({ regexEngine: createRe2Engine(limits), limits });
  readonly #sender = new ServiceSender();
  readonly #kept = new KeptServices();
  readonly #worker = new WorkerSide();
  #set: { revision: number; parts: ReturnType<typeof encodeResolved> } | null = null;

  become(next: Scene): Judge {
    const bundle = bundleOf(next);
    const judged = judgeBundle(bundle, {
      limits,
      regexEngine: createRe2Engine(limits),
      normalisePath: (path) => path,
    });
    if (judged.kind === 'rejected') throw new Error(JSON.stringify(judged.problems));
    const result = this.#thread.updateBundle(bundle);
    if (result.kind === 'rejected') throw new Error(JSON.stringify(result.problems));
    this.#set = { revision: result.revision, parts: encodeResolved(result.set) };
    this.#worker.store.update(structuredClone(this.#set));
    this.#worker.run();
    for (const change of this.#sender.next(this.#thread.currentSet().inventory)) {
      this.#worker.store.services(structuredClone(this.#kept.add(change)));
    }
    return judged.judge;
  }

  subject(question: Asked): PolicySubject {
    return this.#worker.subject(question);
  }

  lateSubject(question: Asked): PolicySubject {
    const late = new WorkerSide();
    if (this.#set !== null) late.store.take(structuredClone(this.#set));
    for (const batch of this.#kept.all()) late.store.services(structuredClone<SentServices>(batch));
    return late.subject(question);
  }
}

class WorkerSide {
  readonly store: LiveSnapshot;
  readonly #waiting: (() => void)[] = [];
  #nowMs = 0;

  constructor() {
    this.store = new LiveSnapshot({
      regexEngine: createRe2Engine(limits, { areChecked: true }),
      limits,
      platform: {
        clock: { nowMs: () => this.#nowMs++, wallMs: () => 0 },
        soon: (task) => this.#waiting.push(task),
      },
      events: {
        onSwap: (_taken, done) => done(),
        onRefused: (_revision, problems) => expect.fail(problems.join('; ')),
        onIdentities: () => {},
        onServices: () => {},
        onServicesBroken: (_sequence, problem) => expect.fail(problem),
        onBroken: (_sequence, problem) => expect.fail(problem),
      },
    });
  }

  run(): void {
    for (let task = this.#waiting.shift(); task !== undefined; task = this.#waiting.shift()) task();
  }

  subject({ ip, port, protocol }: Asked): PolicySubject {
    const ends = {
      source: address(`${CLIENT}:40000`),
      destination: address(`${ip}:${port}`),
      record: null,
    };
    const { identity } = LISTENER;
    const currentSnapshot = () => this.store.current();
    const known = { options: LISTENER, snapshot: currentSnapshot(), cilium: null };
    const meta = resolveMeta(1, ends, known, protocol);
    return new PolicySubject(meta, { currentSnapshot, identity, cilium: null });
  }
}

const LISTENER: ListenerOptions = {
  name: 'egress',
  address: address('127.0.0.1:0'),
  direction: 'egress',
  isTransparent: false,
  clientAddress: 'endpoints',
  proxyId: 0 as ProxyId,
  destination: { kind: 'local-address' },
  upstream: { kind: 'original-destination' },
  identity: { kind: 'sources', sources: ['endpoints'] },
  isPortShared: false,
};

function bundleOf(one: Scene): SourceBundle {
  const { selector, target, dnsTarget, outside, outsideTarget } = one;
  const selected = {
    name: 'default/selected',
    endpoints: { matchLabels: selector },
    clusterIPs: [SELECTED_IP],
    ports: [
      { name: 'http', port: 80, targetPort: target },
      { name: 'dns', port: 53, protocol: 'UDP', targetPort: dnsTarget },
    ],
  };
  const other = {
    name: 'default/outside',
    ips: outside,
    clusterIPs: [OUTSIDE_IP],
    externalIPs: [EXTERNAL_IP],
    ports: [{ port: 80, targetPort: outsideTarget }],
  };
  const services = outside === null ? [selected] : [selected, other];
  return {
    policies: one.policies.map((policy, at) => ({ path: `${at}`, text: JSON.stringify(policy) })),
    endpoints: { path: 'endpoints', text: JSON.stringify({ endpoints: ALL, services }) },
    secrets: { path: 's', text: '{}' },
  };
}
