/** Policies wide enough that rules are found by index: by path, by pattern set, by host below both. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plainHead } from '../../../src/model/request_head.ts';
import type { HttpRule } from '../../../src/policy/ast.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { MATCH_FAILED, type RegexEngine } from '../../../src/policy/match/regex.ts';
import { runs } from '../../support/property_runs.ts';
import { referenceAnswer } from '../../support/reference_evaluator.ts';
import {
  compiled,
  endpoint,
  get,
  http,
  httpRule,
  NO_REGEX,
  port,
  rule,
  shown,
  viewOf,
} from '../../support/wire_policy.ts';

const PATHS = ['/a', '/b', '/c/[0-9]+', '/c/1.*', '/d/.*', '/.*', '/e|/a', null];
const HOSTS = [
  null,
  ...Array.from({ length: 16 }, (_, i) => `h${i}`),
  ...Array.from({ length: 48 }, (_, i) => `h${i}(:[0-9]+)?`),
  'h1.*',
];
const METHODS = [null, null, 'GET', 'POST', 'P.*'];

const wideRule: fc.Arbitrary<readonly string[]> = fc
  .tuple(fc.constantFrom(...PATHS), fc.constantFrom(...HOSTS), fc.constantFrom(...METHODS))
  .map(([path, host, method]) => [
    ...(host === null ? [] : [':authority', host]),
    ...(path === null ? [] : [':path', path]),
    ...(method === null ? [] : [':method', method]),
  ]);

/** A few paths only, so that many rules stand on each. */
const wideRules = fc
  .tuple(fc.array(wideRule, { minLength: 60, maxLength: 200 }), fc.boolean())
  .map(([lists, isOnePath]) =>
    lists.map((pairs, i): HttpRule => {
      const kept = isOnePath ? pairs.map((text) => (text.startsWith('/') ? '/a' : text)) : pairs;
      return httpRule(`http[${i}]`, kept);
    }),
  );

const head = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT'),
    path: fc.constantFrom('/a', '/b', '/c/1', '/c/12', '/d/', '/e', '/x'),
    authority: fc.constantFrom('', 'h0', 'h1', 'h7:80', 'h15', 'h16', 'h47:1', 'h99', 'x'),
  })
  .map(plainHead);

describe('the index', () => {
  it('finds what asking each rule in turn finds', () => {
    fc.assert(
      fc.property(wideRules, fc.array(head, { minLength: 20, maxLength: 20 }), (rules, heads) => {
        const split = Math.floor(rules.length / 3);
        const part = (name: string, precedence: number, own: readonly HttpRule[]) =>
          rule(name, { precedence, l7: { kind: 'http', rules: own } });
        const policy = endpoint([
          port('80-81', [
            part('high', 5, rules.slice(0, split)),
            part('low', 0, rules.slice(split)),
          ]),
        ]);
        const view = viewOf(compiled(policy));
        for (const asked of heads) {
          const decision = decideRequest(view, '', asked);
          const expected = referenceAnswer(policy, questionOf(asked), new Map());
          expect(decision.verdict).toBe(expected.verdict);
          if (decision.verdict === 'allow') {
            expect(decision.rule?.rule).toBe(firstMatch(rules, asked));
          }
        }
      }),
      runs(60),
    );
  });

  it('a pattern that fails below the first level denies', () => {
    const hosts = Array.from({ length: 20 }, (_, i) => [':path', '/a', ':authority', `h${i}.*`]);
    const failing: RegexEngine = {
      compile: (pattern) => ({
        kind: 'ok',
        regex: { ...NO_REGEX, pattern, test: () => MATCH_FAILED },
      }),
      compileSet: () => ({ kind: 'error', message: 'out of memory' }),
    };
    const policy = endpoint([
      port('80', [rule('r', { l7: http(...hosts) }), rule('s', { l7: http([':path', '/b']) })]),
    ]);
    const view = viewOf(compiled(policy, { regexEngine: failing }));
    expect(shown(decideRequest(view, '', get('/a')))).toBe('deny regex-out-of-memory');
    expect(shown(decideRequest(view, '', get('/b')))).toBe('allow http[0]');
    expect(shown(decideRequest(view, '', get('/c')))).toBe('deny no-http-rule-matched');
  });

  it('a set that cannot be made below the first level denies', () => {
    const hosts = Array.from({ length: 40 }, (_, i) => [':path', '/a', ':authority', `h${i}.*`]);
    const failing: RegexEngine = {
      compile: (pattern) => ({ kind: 'ok', regex: { ...NO_REGEX, pattern } }),
      compileSet: () => ({ kind: 'error', message: 'out of memory' }),
    };
    const policy = endpoint([port('80', [rule('r', { l7: http(...hosts) })])]);
    const view = viewOf(compiled(policy, { regexEngine: failing }));
    expect(shown(decideRequest(view, '', get('/a')))).toBe('deny regex-out-of-memory');
  });
});

function questionOf(asked: ReturnType<typeof plainHead>) {
  return {
    direction: 'ingress' as const,
    protocol: 'TCP' as const,
    port: 80,
    proxyId: 0,
    remote: 300 as never,
    serverName: '',
    head: asked,
  };
}

/** Name of the first rule, in order, that alone allows the request. */
function firstMatch(rules: readonly HttpRule[], asked: ReturnType<typeof plainHead>): string {
  const first = rules.find((httpOne) => {
    const alone = endpoint([port('80', [rule('r', { l7: { kind: 'http', rules: [httpOne] } })])]);
    return referenceAnswer(alone, questionOf(asked), new Map()).verdict === 'allow';
  });
  return first?.origin.rule ?? 'none';
}
