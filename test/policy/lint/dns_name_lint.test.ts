/** Names that nobody can ask for, and stars that stand for less than they look like. */
import { describe, expect, it } from 'vitest';
import { lintDnsNames } from '../../../src/policy/lint/dns_name_lint.ts';
import { matchFqdnPattern } from '../../../src/policy/match/fqdn_pattern.ts';
import type { DirectionRule, PortsRule } from '../../../src/policy/rule.ts';

const ORIGIN = { file: 'p.yaml', policy: 'p', rule: 'egress[0]', line: 1 } as const;

function nameOf(text: string) {
  return text.includes('*')
    ? { matchName: null, matchPattern: text }
    : { matchName: text, matchPattern: null };
}

function ruleOf(parts: Partial<DirectionRule>): DirectionRule {
  return {
    direction: 'egress',
    action: 'allow',
    peers: null,
    ports: null,
    hasIcmps: false,
    origin: ORIGIN,
    ...parts,
  } as DirectionRule;
}

const toFqdns = (...names: readonly string[]): DirectionRule =>
  ruleOf({ peers: names.map((name) => ({ kind: 'fqdn', ...nameOf(name) })) });
const dnsRules = (...names: readonly string[]): DirectionRule =>
  ruleOf({
    ports: [
      { origin: ORIGIN, l7: { kind: 'dns', rules: names.map(nameOf) } } as unknown as PortsRule,
    ],
  });

const ids = (rule: DirectionRule): readonly string[] => lintDnsNames(rule).map(({ id }) => id);
const insteads = (rule: DirectionRule): readonly (string | undefined)[] =>
  lintDnsNames(rule).map(({ instead }) => instead ?? undefined);

describe.each([
  ['toFQDNs', toFqdns],
  ['rules.dns', dnsRules],
])('in %s', (_, rule) => {
  it.each([
    'api.example.com',
    'api.example.com.',
    '_srv._tcp.example.com',
    '*',
    '**',
    'a*.eu.example.com',
    '**.example.com',
    '*.eu.example.com',
    `${'l'.repeat(63)}.example.com`,
    `${'*'.repeat(70)}.${'l'.repeat(63)}.a.b`,
  ])('nothing is amiss with %s', (name) => {
    expect(ids(rule(name))).toEqual([]);
  });

  it.each([
    'a..example.com',
    '.example.com',
    '*..example.com',
    `${'l'.repeat(64)}.example.com`,
    `${'l'.repeat(64)}*.a.b.c`,
    `${'abcdefg.'.repeat(31)}abcdefg`,
    '10.0.0.1',
  ])('nobody asks for %s', (name) => {
    expect(ids(rule(name))).toEqual(['never-matches']);
  });

  it('one star before a short name is one label', () => {
    expect(ids(rule('*.amazonaws.com'))).toEqual(['star-within-label']);
    expect(insteads(rule('*.amazonaws.com'))).toEqual(['matchPattern: "**.amazonaws.com"']);
    expect(ids(rule('*.amazonaws.com', '**.amazonaws.com'))).toEqual([]);
  });

  it.each([
    ['a.**.example.com', 'matchPattern: "a.*.example.com"'],
    ['**.**.example.com', 'matchPattern: "**.*.example.com"'],
    ['**example.com', 'matchPattern: "**.example.com"'],
    ['a**.example.com', 'matchPattern: "a*.example.com"'],
  ])('two stars that span no labels are told: %s', (pattern, instead) => {
    expect(ids(rule(pattern))).toEqual(['star-within-label']);
    expect(insteads(rule(pattern))).toEqual([instead]);
  });
});

it('what is told of stars is what matching does', () => {
  expect(matchFqdnPattern('*.example.com', 'a.b.example.com')).toBe(false);
  expect(matchFqdnPattern('**.example.com', 'a.b.example.com')).toBe(true);
  expect(matchFqdnPattern('a.**.example.com', 'a.b.example.com')).toBe(true);
  expect(matchFqdnPattern('a.**.example.com', 'a.b.c.example.com')).toBe(false);
  expect(matchFqdnPattern('**example.com', 'a.example.com')).toBe(false);
});
