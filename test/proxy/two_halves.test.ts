/**
 * Two halves against the engine itself: over random policies of two endpoints, a connection and its requests
 * get what the egress policy says, and if that allows, what the ingress policy says of what it would get.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { applyMutations, type Decision } from '../../src/model/decision.ts';
import type { Direction, Identity, Port, ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { plainHead, type RequestHead } from '../../src/model/request_head.ts';
import type {
  EndpointPolicy,
  HeaderMatch,
  HeaderMatcher,
  HttpRule,
  PortPolicy,
  PortRule,
} from '../../src/policy/ast.ts';
import { compilePolicies } from '../../src/policy/compile/compile.ts';
import type { View } from '../../src/policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { decideConnection, decideRequest } from '../../src/policy/decide/decide.ts';
import { PolicySubject } from '../../src/proxy/judge/policy_subject.ts';
import { resolveMeta } from '../../src/proxy/resolve/resolve.ts';
import { identityCheck, type RecordedSide } from '../../src/redirect/layout.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { address } from '../support/plane_rig.ts';
import { endpointPolicyWith, question, REMOTES, SECRETS } from '../support/random_policies.ts';
import { RECORDED_LISTENER, recordOf } from '../support/redirected.ts';

const SOURCE = '10.0.0.1';
const DESTINATION = '10.0.0.2';
const ENGINE = createRe2Engine(DEFAULT_LIMITS);
const labelsOf = (identity: Identity): readonly string[] => [`k8s:number=${identity}`];

const sideIdentity = fc.constantFrom(...REMOTES.filter((identity) => identity >= 256));

const situation = fc.record({
  source: sideIdentity,
  destination: sideIdentity,
  question,
  asked: fc.constantFrom('both', 'both', 'egress', 'ingress'),
});

it('the two together say what each says, one after the other', () => {
  const policy = endpointPolicyWith(true).map(({ ingress }) => ingress);
  fc.assert(fc.property(policy, policy, situation, check), { numRuns: 600 });
});

it('also where the egress rules change what the ingress rules look at', () => {
  const name = fc.constantFrom('x-a', 'x-b');
  const value = fc.constantFrom('1', '2');
  const change = fc
    .record({
      name,
      value,
      matchAction: fc.constantFrom('continue' as const, 'delete' as const),
      mismatchAction: fc.constantFrom('add' as const, 'replace' as const, 'delete' as const),
    })
    .map((match): HeaderMatch => ({ ...match, secret: null }));
  const look = fc.record({ name, value, isInverted: fc.boolean() }).map(
    (matcher): HeaderMatcher => ({
      ...matcher,
      value: { kind: 'exact', text: matcher.value, ignoreCase: false },
      treatMissingAsEmpty: false,
    }),
  );
  const changing = fc
    .array(change, { minLength: 1, maxLength: 3 })
    .map((headerMatches) => portWith([{ origin: ORIGIN, matchers: [], headerMatches }]));
  const looking = fc
    .tuple(fc.array(look, { minLength: 1, maxLength: 2 }), fc.array(change, { maxLength: 1 }))
    .map(([matchers, headerMatches]) => portWith([{ origin: ORIGIN, matchers, headerMatches }]));
  fc.assert(fc.property(changing, looking, situation, check), { numRuns: 600 });
});

const ORIGIN = { policy: 'p', rule: 'r' };

/** One rule for every port and every remote. */
function portWith(rules: readonly HttpRule[]): readonly PortPolicy[] {
  const rule: PortRule = {
    precedence: 0,
    verdict: { kind: 'allow' },
    proxyId: 0,
    origin: ORIGIN,
    remotes: null,
    serverNames: [],
    l7: { kind: 'http', rules },
  };
  return [{ port: 0, endPort: 0, protocol: 'TCP', rules: [rule] }];
}

interface Situation {
  readonly source: Identity;
  readonly destination: Identity;
  readonly question: {
    readonly port: Port;
    readonly proxyId: ProxyId;
    readonly serverName: string;
    readonly head: RequestHead;
  };
  readonly asked: string;
}

function check(
  egress: readonly PortPolicy[],
  ingress: readonly PortPolicy[],
  { source, destination, question: { port, proxyId, serverName, head }, asked }: Situation,
): void {
  const snapshot = compiled(egress, ingress, { [SOURCE]: source, [DESTINATION]: destination });
  const record = recordOf({
    source: sideOf(source),
    destination: sideOf(destination),
    isEgressJudged: asked !== 'ingress',
    isIngressJudged: asked !== 'egress',
  });
  const ends = {
    source: address(`${SOURCE}:1234`),
    destination: { ...address(`${DESTINATION}:1`), port },
    record,
  };
  const options = { ...RECORDED_LISTENER, proxyId };
  const meta = resolveMeta(1, ends, { options, snapshot, cilium: null });
  const subject = new PolicySubject(meta, {
    currentSnapshot: () => snapshot,
    identity: options.identity,
    cilium: null,
  });
  subject.serverName = serverName;
  const view = (ip: string, direction: Direction, remote: Identity): View =>
    snapshot.endpoint(ip).port(direction, 'TCP', port).view(proxyId, remote);
  const views = [
    ...(asked === 'ingress' ? [] : [view(SOURCE, 'egress', destination)]),
    ...(asked === 'egress' ? [] : [view(DESTINATION, 'ingress', source)]),
  ];
  const toConnection = inTurn(views, head, (one) => decideConnection(one, serverName));
  expect(wordOf(subject.judgeConnection(), head)).toEqual(toConnection);
  const toRequest = inTurn(views, head, (one, seen) => decideRequest(one, serverName, seen));
  expect(wordOf(subject.judgeRequest(head), head)).toEqual(toRequest);
  expect(subject.hasL7Rules).toBe(views.some((one) => one.hasL7Rules));
}

interface Word {
  readonly verdict: 'allow' | 'deny';
  readonly reason: string | null;
  /** Of the request as it is sent; null: it is not. */
  readonly sent: readonly string[] | null;
}

function wordOf({ verdict, reason, mutations }: Decision, head: RequestHead): Word {
  const sent = verdict === 'deny' ? null : applyMutations(head.fields(), mutations);
  return { verdict, reason, sent };
}

/** As separate proxies would: each judges what the one before it sent on. */
function inTurn(
  views: readonly View[],
  head: RequestHead,
  judge: (view: View, seen: RequestHead) => Decision,
): Word {
  let seen = head;
  for (const view of views) {
    const decision = judge(view, seen);
    const { verdict, reason, sent } = wordOf(decision, seen);
    if (sent === null) return { verdict, reason, sent };
    const { method, path, authority } = seen;
    seen = plainHead({ method, path, authority, fields: sent });
  }
  return { verdict: 'allow', reason: null, sent: seen.fields() };
}

function compiled(
  egress: readonly PortPolicy[],
  ingress: readonly PortPolicy[],
  identities: Readonly<Record<string, Identity>>,
): PolicySnapshot {
  const both: readonly EndpointPolicy[] = [
    { name: 'ns/a', endpointIps: [SOURCE], endpointId: 1, ingress: [], egress },
    { name: 'ns/b', endpointIps: [DESTINATION], endpointId: 2, ingress, egress: [] },
  ];
  const result = compilePolicies(both, {
    revision: 1,
    regexEngine: ENGINE,
    limits: DEFAULT_LIMITS,
    secrets: SECRETS,
    ipcache: { lookup: (ip) => identities[ip] ?? null },
    labels: { labelsOf },
    shadow: null,
  });
  fc.pre(result.kind === 'ok');
  if (result.kind !== 'ok') throw new Error('not compiled');
  return result.snapshot;
}

function sideOf(identity: Identity): RecordedSide {
  return { identity, check: identityCheck(labelsOf(identity)), endpoint: 1 };
}
