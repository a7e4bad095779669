/** What a worker is told, and what it makes of it: the same policy that the supervisor has. */
import { deserialize, serialize } from 'node:v8';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileSet, type ResolvedSet } from '../../../src/control/set/resolved_set.ts';
import { decodeResolved, encodeResolved } from '../../../src/control/worker/resolved_wire.ts';
import { parsePrefix } from '../../../src/model/address.ts';
import type { Identity } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { finish } from '../../../src/model/steps.ts';
import type { EndpointPolicy } from '../../../src/policy/ast.ts';
import {
  type CompileOptions,
  compilePolicies,
  compileSteps,
} from '../../../src/policy/compile/compile.ts';
import { prepareViews } from '../../../src/policy/compile/prepare.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection, decideRequest } from '../../../src/policy/decide/decide.ts';
import { printSnapshot } from '../../../src/policy/decide/print.ts';
import { Ipcache } from '../../../src/policy/identity/ipcache.ts';
import { Roster } from '../../../src/policy/identity/roster.ts';
import type { RegexEngine } from '../../../src/policy/match/regex.ts';
import { LabelSet } from '../../../src/policy/selector.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { endpointPolicy, question, SECRETS } from '../../support/random_policies.ts';
import { endpoint, http, port, rule } from '../../support/wire_policy.ts';

const checked = createRe2Engine(DEFAULT_LIMITS);
const worker = createRe2Engine(DEFAULT_LIMITS, { areChecked: true });
const questions = fc.array(question, { minLength: 10, maxLength: 10 });

describe('a worker', () => {
  it('decides as the supervisor does, which compiles all at once and prepares nothing', () => {
    fc.assert(
      fc.property(endpointPolicy, endpointPolicy, questions, (before, policy, asked) => {
        const expected = compilePolicies([policy], options(checked));
        const set = setOf([policy], [before]);
        const taken = finish(decodeResolved(sent(encodeResolved(set))));
        const made = finish(compileSet(taken, { ...options(worker) }));
        expect(made.kind).toBe(expected.kind);
        if (made.kind === 'error' || expected.kind === 'error') return;
        expect(printSnapshot(made.snapshot)).toBe(printSnapshot(expected.snapshot));
        expect(made.snapshot.rules).toEqual(expected.snapshot.rules);
        prepareFrom(made.snapshot, before, asked);
        for (const one of asked) {
          expect(answers(made.snapshot, one)).toEqual(answers(expected.snapshot, one));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('answers by the old snapshot while the next one is made, whatever comes in between', () => {
    fc.assert(
      fc.property(endpointPolicy, endpointPolicy, questions, (policy, next, asked) => {
        const now = compilePolicies([policy], options(worker));
        if (now.kind === 'error') return;
        const expected = asked.map((one) => answers(now.snapshot, one));
        const steps = compileSteps([next], options(worker));
        let turn = 0;
        for (let step = steps.next(); step.done !== true; step = steps.next()) {
          const index = turn++ % asked.length;
          const one = asked[index] as (typeof asked)[number];
          expect(answers(now.snapshot, one)).toEqual(expected[index]);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('has one object where the supervisor has one', () => {
    const shared = [port('80', [rule('r', { remotes: [1, 2], l7: http([':path', '/a']) })])];
    const other = shared.map((ports) => ({
      ...ports,
      rules: ports.rules.map((one) => ({ ...one })),
    }));
    const policies: EndpointPolicy[] = [
      { ...endpoint(shared), name: 'ns/a', endpointIps: ['10.0.0.1'] },
      { ...endpoint(shared, other), name: 'ns/b', endpointIps: ['10.0.0.2'] },
    ];
    const set = setOf(policies, null);
    const { enforced } = finish(decodeResolved(sent(encodeResolved(set))));
    const [a, b] = enforced.policies as [EndpointPolicy, EndpointPolicy];
    expect([a, b]).toEqual(policies);
    expect(a.ingress).toBe(b.ingress);
    expect(b.egress[0]?.rules[0]?.remotes).toBe(a.ingress[0]?.rules[0]?.remotes);
  });

  it('knows who is who, the shadow, the secrets and the names', () => {
    const policy = endpoint([port('80', [rule('r')])]);
    const set = setOf([policy], [policy, { ...policy, name: 'ns/x', endpointIps: ['10.0.0.9'] }]);
    const taken = finish(decodeResolved(sent(encodeResolved(set))));
    const { ipcache } = taken.roster;
    expect(ipcache.lookup('10.1.2.3')).toBe(77);
    expect(ipcache.lookup('fd00::1')).toBe(78);
    expect(ipcache.lookup('10.2.0.1')).toBeNull();
    expect(taken.roster.sequence).toBe(5);
    expect([...taken.roster.entries()]).toEqual([...set.roster.entries()]);
    expect(taken.secrets).toEqual(set.secrets);
    expect(taken.enforced.names).toEqual(['p']);
    expect(taken.shadow?.policies.map(({ name }) => name)).toEqual(['ns/subject', 'ns/x']);
    expect(taken.shadow?.names).toEqual(['p', 'q']);
  });

  it('takes no set of which a part is missing', () => {
    const rules = Array.from({ length: 400 }, (_, i) => [':path', `/${i}`]);
    const parts = encodeResolved(
      setOf([endpoint([port('80', [rule('r', { l7: http(...rules) })])])], null),
    );
    expect(parts.length).toBeGreaterThan(4);
    for (const missing of parts.keys()) {
      const others = parts.filter((_, index) => index !== missing);
      expect(() => finish(decodeResolved(others))).toThrow('a resolved set without');
    }
  });
});

describe('an engine that takes patterns as checked', () => {
  it('still never matches by one that RE2 refuses', () => {
    for (const pattern of ['a)(b', '(', 'a{2,1}', '\\u0041', 'x'.repeat(5000)]) {
      const regex = worker.compile(pattern);
      if (regex.kind === 'error') continue;
      expect(regex.regex.test(Buffer.from('ab'))).toBe(-1);
      expect(worker.compileSet([pattern, 'b.*', 'c.*', 'd.*'], 1).kind).toBe('error');
    }
  });
});

function setOf(
  policies: readonly EndpointPolicy[],
  shadow: readonly EndpointPolicy[] | null,
): ResolvedSet {
  return {
    enforced: { policies, names: ['p'] },
    shadow: shadow === null ? null : { policies: shadow, names: ['p', 'q'] },
    roster: Roster.of(5, new Ipcache([prefix('10.1.0.0', 16, 77), prefix('fd00::', 8, 78)]), [
      {
        identity: 77 as Identity,
        set: new LabelSet(['k8s:app=a', 'k8s:app=b']),
        prefixes: [prefix('10.1.0.0', 16, 77).prefix],
      },
    ]),
    secrets: SECRETS,
    workloads: [],
  };
}

function prefix(address: string, length: number, identity: number) {
  const parsed = parsePrefix(`${address}/${length}`, { allowBare: false, allowHostBits: false });
  if (parsed === null) throw new Error(address);
  return { prefix: parsed, identity: identity as Identity };
}

/** As the parts are after a pipe. */
function sent(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  return deserialize(serialize(parts)) as readonly Uint8Array[];
}

function options(regexEngine: RegexEngine): CompileOptions {
  return {
    revision: 1,
    regexEngine,
    limits: DEFAULT_LIMITS,
    secrets: SECRETS,
    ipcache: { lookup: () => null },
    labels: { labelsOf: () => [] },
    shadow: null,
  };
}

type Asked = typeof question extends fc.Arbitrary<infer One> ? One : never;

/** What connections asked of another policy for the same endpoint. */
function prepareFrom(next: PolicySnapshot, policy: EndpointPolicy, asked: readonly Asked[]): void {
  const previous = compilePolicies([policy], options(worker));
  if (previous.kind === 'error') return;
  for (const one of asked) answers(previous.snapshot, one);
  finish(prepareViews(next, previous.snapshot, 8));
}

function answers(snapshot: PolicySnapshot, asked: Asked): readonly unknown[] {
  const view = snapshot
    .endpoint('10.0.0.1')
    .port(asked.direction, asked.protocol, asked.port)
    .view(asked.proxyId, asked.remote);
  return [
    decideConnection(view, asked.serverName),
    decideRequest(view, asked.serverName, asked.head),
  ];
}
