/** What check says of a port's patterns is what the engine does with them. */
import { expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import { lintCost } from '../../../src/policy/lint/cost_lint.ts';
import { entriesOf } from '../../../src/policy/lint/entry.ts';
import type { PortsRule } from '../../../src/policy/rule.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { rule as directionRule, ports, spec } from '../../support/resolve_world.ts';
import { compiled, endpoint, get, http, port, rule, viewOf } from '../../support/wire_policy.ts';

const CONTEXT = { regexEngine: createRe2Engine(DEFAULT_LIMITS), limits: DEFAULT_LIMITS };

const ALIKE = patterns(
  300,
  (i) => `/[a-z]+/[0-9]{${(i % 20) + 1}}/[a-f]{${Math.floor(i / 20) + 1}}/x*`,
);

it('names the length of path from which on requests are denied', () => {
  const [found, ...others] = findingsOf(ALIKE);
  expect(others).toEqual([]);
  expect(found?.id).toBe('path-too-costly');
  const length = Number(/path has ([0-9]+) bytes/.exec(found?.message ?? '')?.[1]);
  const l7 = http(...ALIKE.map((pattern) => [':path', pattern]));
  const view = viewOf(compiled(endpoint([port('80', [rule('r', { l7 })])])));
  const reason = (bytes: number): string | null =>
    decideRequest(view, '', get('/'.padEnd(bytes, 'x'))).reason;
  expect(reason(length)).toBe('regex-budget');
  expect(reason(length - 1)).not.toBe('regex-budget');
});

it.each([
  ['that a text tells apart', patterns(500, (i) => `/.*/res${i}/[0-9]+(/[a-z-]+)?/.*`)],
  ['that begin with different texts', patterns(500, (i) => `/res${i}/[0-9]+(/[a-z-]+)?/.*`)],
  ['that are few', ALIKE.slice(0, 5)],
])('says nothing of patterns %s', (_name, given) => {
  expect(findingsOf(given)).toEqual([]);
});

it('takes together what stands in several lists for one port and peer, and nothing else', () => {
  const lists = [ALIKE.slice(0, 100), ALIKE.slice(100, 200), ALIKE.slice(200)];
  const countOf = (portOf: (i: number) => string): number => {
    const elements = lists.map((list, i) => elementOf(list, portOf(i)));
    return lintCost(entriesOf(spec([directionRule({ ports: elements })])), CONTEXT).length;
  };
  expect(countOf(() => '80')).toBe(1);
  expect(countOf((i) => `${80 + i}`)).toBe(0);
});

function findingsOf(given: readonly string[]) {
  const element = elementOf(given, '80');
  return lintCost(entriesOf(spec([directionRule({ ports: [element] })])), CONTEXT);
}

function elementOf(given: readonly string[], portText: string): PortsRule {
  return ports(portText, { l7: http(...given.map((pattern) => [':path', pattern])) });
}

function patterns(count: number, of: (i: number) => string): readonly string[] {
  return Array.from({ length: count }, (_, i) => of(i));
}
