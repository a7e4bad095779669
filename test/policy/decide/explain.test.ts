/** The trace: what became of every rule, what did not match first and how near it came. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RequestHead } from '../../../src/model/request_head.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import type { HeaderMatch, HeaderMatcher, PortRule } from '../../../src/policy/ast.ts';
import { decideConnection, decideDns } from '../../../src/policy/decide/decide.ts';
import {
  explainConnection,
  explainDns,
  explainRequest,
} from '../../../src/policy/decide/explain.ts';
import type { Explanation } from '../../../src/policy/explanation.ts';
import { endpointPolicy, question } from '../../support/random_policies.ts';
import {
  compiled,
  condition,
  DENY,
  dns,
  endpoint,
  get,
  http,
  PASS_TO,
  port,
  rule,
  shown,
  viewOf,
} from '../../support/wire_policy.ts';

/** "RULE OUTCOME" of every step. */
function outcomes({ steps }: Explanation): readonly string[] {
  return steps.map((step) => `${step.rule.rule} ${step.outcome}`);
}

function viewOfRules(rules: readonly PortRule[]) {
  return viewOf(
    compiled(endpoint([port('80', rules)]), { secrets: new Map([['ns/key', 'hidden']]) }),
  );
}

describe('outcomes', () => {
  const rules = [
    rule('listener', { precedence: 9, proxyId: 7 }),
    rule('remote', { precedence: 8, remotes: [42] }),
    rule('name', { precedence: 7, serverNames: ['a.test'] }),
    rule('pass', { precedence: 6, verdict: PASS_TO(4) }),
    rule('over', { precedence: 5, verdict: DENY }),
    rule('http', { precedence: 3, l7: http([':path', '/a']) }),
    rule('allow', { precedence: 2 }),
    rule('late', { precedence: 1, verdict: DENY }),
  ];

  it('of a request', () => {
    expect(outcomes(explainRequest(viewOfRules(rules), '', get('/b')))).toEqual([
      'listener other-listener',
      'remote other-remote',
      // The request's check does not look at server names: copied from Cilium.
      'name applied',
      'pass not-reached',
      'over not-reached',
      'http not-reached',
      'allow not-reached',
      'late not-reached',
    ]);
  });

  it('of a connection', () => {
    expect(outcomes(explainConnection(viewOfRules(rules), ''))).toEqual([
      'listener other-listener',
      'remote other-remote',
      'name server-name',
      'pass applied',
      'over passed-over',
      'http applied',
      'allow not-reached',
      'late not-reached',
    ]);
  });

  it('of a request that no rule wants', () => {
    const view = viewOfRules([rule('http', { l7: http([':path', '/a'], [':path', '/c']) })]);
    const explained = explainRequest(view, '', get('/b'));
    expect(shown(explained.decision)).toBe('deny no-http-rule-matched');
    expect(outcomes(explained)).toEqual(['http no-l7-rule-matched']);
    expect(explained.steps[0]?.http).toHaveLength(2);
  });

  it('of a port without rules', () => {
    const explained = explainConnection(viewOf(compiled(endpoint([]))), '');
    expect(explained).toMatchObject({ decision: { reason: 'no-port-rule' }, steps: [] });
  });

  it('of a DNS question, with the names that were compared', () => {
    const view = viewOfRules([rule('d', { l7: dns('*.b.test', 'a.test') })]);
    expect(explainDns(view, 'x.test').steps).toMatchObject([
      { outcome: 'no-l7-rule-matched', dns: ['*.b.test', 'a.test'] },
    ]);
  });
});

describe('the first condition that did not match', () => {
  const step = (
    matchers: readonly HeaderMatcher[],
    head: RequestHead,
    headerMatches: readonly HeaderMatch[] = [],
  ) => {
    const httpRule = { origin: { policy: 'p', rule: 'h' }, matchers, headerMatches };
    const view = viewOfRules([rule('r', { l7: { kind: 'http', rules: [httpRule] } })]);
    return explainRequest(view, '', head).steps[0]?.http[0];
  };
  const is = (name: string, pattern: string) => condition(name, { kind: 'regex', pattern });
  const headerMatch: HeaderMatch = {
    name: 'x-key',
    value: '',
    secret: 'ns/key',
    matchAction: 'continue',
    mismatchAction: 'fail',
  };

  it('is told with what is expected and what was found', () => {
    expect(step([is(':path', '/a'), is(':method', 'POST')], get('/a'))).toEqual({
      rule: { policy: 'p', rule: 'h', index: 1 },
      isMatch: false,
      matched: ['path'],
      mismatch: { what: 'method', expected: 'is "POST"', found: 'GET' },
      nearness: 0.5,
    });
  });

  it('counts what matched behind it, too', () => {
    const found = step(
      [is(':path', '/x'), is(':method', 'GET'), is(':authority', 'a.test')],
      get('/a'),
    );
    expect(found).toMatchObject({ matched: ['method', 'host'], mismatch: { what: 'path' } });
    expect(found?.nearness).toBeCloseTo(2 / 3);
  });

  it.each<[string, HeaderMatcher, readonly string[], string, string | null]>([
    ['a pattern', is('x', 'a+'), ['x', 'b'], 'matches "a+"', 'b'],
    ['a field that is absent', is('x', 'a+'), [], 'matches "a+"', null],
    ['presence', condition('x', { kind: 'present', isPresent: true }), [], 'is present', null],
    [
      'what is turned around',
      condition('x', { kind: 'exact', text: 'a', ignoreCase: false }, { isInverted: true }),
      ['x', 'a'],
      'not: is "a"',
      'a',
    ],
    [
      'a range',
      condition('x', { kind: 'range', start: 1n, end: 3n }),
      ['x', '3'],
      'is a number from 1 to below 3',
      '3',
    ],
    [
      'what can never match',
      condition('x', { kind: 'never', because: 'no secret' }),
      ['x', '3'],
      'can never match: no secret',
      '3',
    ],
  ])('%s', (_about, matcher, fields, expected, found) => {
    expect(step([matcher], get('/', fields))?.mismatch).toEqual({ what: 'x', expected, found });
  });

  it('never shows a value that is compared with a secret, nor the secret', () => {
    const explained = step([], get('/', ['x-key', 'guess']), [headerMatch]);
    expect(explained?.mismatch).toEqual({
      what: 'x-key',
      expected: 'is the secret ns/key',
      found: '[redacted]',
    });
    expect(JSON.stringify(explained)).not.toMatch(/hidden|guess/);
  });

  it('of a secret that is not known says so', () => {
    const unknown = { ...headerMatch, secret: 'ns/none' };
    expect(step([], get('/', ['x-key', 'guess']), [unknown])?.mismatch?.expected).toBe(
      'is the secret ns/none, which is not known',
    );
  });
});

describe('explain and decide agree', () => {
  it('on every connection', () => {
    fc.assert(
      fc.property(endpointPolicy, fc.array(question, { minLength: 5 }), (policy, questions) => {
        const snapshot = compiled(policy);
        for (const asked of questions) {
          const view = viewOf(snapshot, asked);
          const decision = decideConnection(view, asked.serverName);
          const explained = explainConnection(view, asked.serverName);
          expect(explained.decision).toEqual(decision);
          const last = explained.steps.findLast(
            ({ outcome, verdict }) => outcome === 'applied' && verdict !== 'pass',
          );
          expect(last?.rule ?? null).toEqual(decision.rule);
          expect(last?.verdict ?? 'deny').toBe(decision.verdict);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('on every DNS question', () => {
    const names = fc.constantFrom('a.test', 'b.test', 'x.a.test', '.');
    const patterns = fc.array(fc.constantFrom('a.test', '*.test', '**.test', '*', 'c.test'), {
      minLength: 1,
      maxLength: 3,
    });
    const dnsRule = fc
      .record({
        precedence: fc.constantFrom(0, 10),
        verdict: fc.constantFrom('allow', 'allow', 'deny', 'pass'),
        l7: fc.oneof(
          patterns.map((list) => dns(...list)),
          fc.constant(http([':path', '/a'])),
          fc.constant(null),
        ),
        remotes: fc.constantFrom(null, [300], [7]),
        number: fc.nat(1e9),
      })
      .map(({ precedence, verdict, l7, remotes, number }) =>
        rule(`r${number}`, {
          precedence,
          verdict:
            verdict === 'pass' ? PASS_TO(Math.min(5, precedence)) : { kind: verdict as 'allow' },
          ...(l7 === null ? {} : { l7 }),
          ...(remotes === null ? {} : { remotes }),
        }),
      );
    fc.assert(
      fc.property(fc.array(dnsRule, { maxLength: 6 }), names, (rules, name) => {
        const view = viewOf(compiled(endpoint([port('80', rules)])));
        const decision = decideDns(view, name);
        const explained = explainDns(view, name);
        expect(explained.decision).toEqual(decision);
        const last = explained.steps.findLast(
          ({ outcome, verdict }) => outcome === 'applied' && verdict !== 'pass',
        );
        expect(last?.verdict ?? 'deny').toBe(decision.verdict);
      }),
      { numRuns: 1000 },
    );
  });

  it('in which rules a request was measured by', () => {
    const view = viewOfRules([
      rule('near', { l7: http([':path', '/a', ':method', 'POST']) }),
      rule('far', { l7: http([':path', '/z', ':method', 'PUT']) }),
    ]);
    const head = plainHead({ method: 'GET', path: '/a', authority: 'a.test' });
    const nearness = explainRequest(view, '', head).steps.flatMap((step) =>
      step.http.map((one) => one.nearness),
    );
    expect(nearness.toSorted()).toEqual([0, 0.5]);
  });
});
