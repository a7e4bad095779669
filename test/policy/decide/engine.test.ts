/**
 * The engine against a plain reference evaluator, and against itself: every short cut (index, views,
 * literals, preallocated decisions) must give what asking each rule in turn gives.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Decision, NO_HEADERS } from '../../../src/model/decision.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { plainHead, type RequestHead } from '../../../src/model/request_head.ts';
import type { EndpointPolicy } from '../../../src/policy/ast.ts';
import { compilePolicies } from '../../../src/policy/compile/compile.ts';
import type { View } from '../../../src/policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { explainRequest } from '../../../src/policy/decide/explain.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';
import {
  endpointPolicy,
  endpointPolicyWith,
  question,
  SECRETS,
} from '../../support/random_policies.ts';
import { type ReferenceQuestion, referenceAnswer } from '../../support/reference_evaluator.ts';

const engine = createRe2Engine(DEFAULT_LIMITS);
const RUNS = runs(600);

describe('decide', () => {
  it('gives what asking each rule in turn gives', () => {
    fc.assert(
      fc.property(
        endpointPolicy,
        fc.array(question, { minLength: 5, maxLength: 10 }),
        (policy, questions) => {
          const snapshot = compiled(policy);
          for (const asked of questions) {
            const decision = ask(snapshot, asked);
            expect(factsOf(decision)).toEqual(referenceAnswer(policy, asked, SECRETS));
          }
        },
      ),
      RUNS,
    );
  });

  it('does not depend on the order of rules and port policies', () => {
    fc.assert(
      fc.property(
        endpointPolicyWith(false),
        fc.array(question, { minLength: 5 }),
        (policy, questions) => {
          const reversed = {
            ...policy,
            ingress: policy.ingress
              .toReversed()
              .map((entry) => ({ ...entry, rules: entry.rules.toReversed() })),
          };
          const first = compiled(policy);
          const second = compiled(reversed);
          for (const asked of questions) {
            expect(ask(second, asked).verdict).toBe(ask(first, asked).verdict);
          }
        },
      ),
      runs(300),
    );
  });

  it('never allows because of a field that no rule names', () => {
    fc.assert(
      fc.property(endpointPolicy, question, (policy, asked) => {
        const snapshot = compiled(policy);
        const before = ask(snapshot, asked);
        const head = withField(asked.head, 'x-unnamed', '1');
        expect(ask(snapshot, { ...asked, head }).verdict).toBe(before.verdict);
      }),
      runs(300),
    );
  });

  it('is the same when asked twice, and changes nothing', () => {
    fc.assert(
      fc.property(endpointPolicy, question, (policy, asked) => {
        const snapshot = compiled(policy);
        const first = ask(snapshot, asked);
        expect(ask(snapshot, asked)).toEqual(first);
      }),
      runs(200),
    );
  });
});

describe('explain', () => {
  it('gives the verdict of decide, and steps that lead to it', () => {
    fc.assert(
      fc.property(
        endpointPolicy,
        fc.array(question, { minLength: 5, maxLength: 10 }),
        (policy, questions) => {
          const snapshot = compiled(policy);
          for (const asked of questions) {
            const decision = ask(snapshot, asked);
            const { decision: explained, steps } = explainRequest(
              viewOf(snapshot, asked),
              asked.serverName,
              asked.head,
            );
            expect(explained).toEqual(decision);
            const applied = steps.filter(({ outcome }) => outcome === 'applied');
            const gives = applied.filter(({ verdict }) => verdict !== 'pass');
            if (decision.verdict === 'allow') {
              expect(gives.some(({ verdict }) => verdict === 'allow')).toBe(true);
              const names = gives.flatMap(({ rule, http }) => [
                rule.rule,
                ...http.map((step) => step.rule.rule),
              ]);
              expect(names).toContain(decision.rule?.rule);
            } else if (decision.reason === 'denied-by-rule') {
              expect(gives.at(-1)).toMatchObject({ verdict: 'deny', rule: decision.rule });
            } else {
              expect(gives).toEqual([]);
            }
          }
        },
      ),
      RUNS,
    );
  });
});

describe('memory', () => {
  it('a pattern set that cannot be built denies, for allow and for deny rules alike', () => {
    const tight = createRe2Engine({ ...DEFAULT_LIMITS, regexSetMemoryBytesMax: 1 });
    // No text tells them apart, so they are asked as a set.
    const patterns = Array.from({ length: 10 }, (_, i) => `/a[0-9]{${20 + i}}`).concat('/.*');
    const policy: EndpointPolicy = {
      name: 'ns/subject',
      endpointIps: ['10.0.0.1'],
      endpointId: 1,
      egress: [],
      ingress: [
        {
          port: 80,
          endPort: 80,
          protocol: 'TCP',
          rules: [
            {
              precedence: 0,
              verdict: { kind: 'allow' },
              proxyId: 0,
              origin: { policy: 'p', rule: 'r' },
              remotes: null,
              serverNames: [],
              l7: {
                kind: 'http',
                rules: patterns.map((pattern, i) => ({
                  origin: { policy: 'p', rule: `r${i}` },
                  matchers: [
                    {
                      name: ':path',
                      value: { kind: 'regex', pattern },
                      isInverted: false,
                      treatMissingAsEmpty: false,
                    },
                  ],
                  headerMatches: [],
                })),
              },
            },
          ],
        },
      ],
    };
    const result = compilePolicies([policy], { ...options(), regexEngine: tight });
    if (result.kind !== 'ok') throw new Error('the policy itself compiles');
    const decision = ask(result.snapshot, {
      direction: 'ingress',
      protocol: 'TCP',
      port: 80,
      proxyId: 0,
      remote: 300,
      serverName: '',
      head: plainHead({ method: 'GET', path: '/', authority: 'a' }),
    } as unknown as ReferenceQuestion);
    expect(decision).toMatchObject({
      verdict: 'deny',
      reason: 'regex-out-of-memory',
    });
  });
});

function options() {
  return {
    revision: 1,
    regexEngine: engine,
    limits: DEFAULT_LIMITS,
    secrets: SECRETS,
    ipcache: { lookup: () => null },
    labels: { labelsOf: () => [] },
    shadow: null,
  };
}

function compiled(policy: EndpointPolicy): PolicySnapshot {
  const result = compilePolicies([policy], options());
  if (result.kind === 'error') throw new Error(JSON.stringify(result.problems));
  return result.snapshot;
}

function viewOf(snapshot: PolicySnapshot, asked: ReferenceQuestion): View {
  return snapshot
    .endpoint('10.0.0.1')
    .port(asked.direction, asked.protocol, asked.port as never)
    .view(asked.proxyId as never, asked.remote);
}

function ask(snapshot: PolicySnapshot, asked: ReferenceQuestion): Decision {
  return decideRequest(viewOf(snapshot, asked), asked.serverName, asked.head);
}

function factsOf(decision: Decision) {
  const { verdict, layer, mutations, missing, rejected } = decision;
  return { verdict, layer, mutations, missing, rejected: rejected === NO_HEADERS ? [] : rejected };
}

function withField(head: RequestHead, name: string, value: string): RequestHead {
  const { method, path, authority } = head;
  return plainHead({ method, path, authority, fields: [...head.fields(), name, value] });
}
