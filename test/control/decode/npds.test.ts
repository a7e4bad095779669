/** Wire policies (npds.proto in proto3 JSON) and what they are read as. */
import { describe, expect, it } from 'vitest';
import type { HttpRule, PortRule, ValueMatcher } from '../../../src/policy/ast.ts';
import { valid, warningsOf, wire, wirePolicyOf, wireRule } from './decoding.ts';

describe('a wire policy', () => {
  it('without entries denies everything', () => {
    expect(wirePolicyOf('{ endpoint_ips: [10.1.2.3, "FD00::0:1"], endpoint_id: "42" }')).toEqual({
      name: 'npds/42',
      endpointIps: ['10.1.2.3', 'fd00::1'],
      endpointId: 42,
      ingress: [],
      egress: [],
    });
  });

  it('is the same in camelCase and in snake_case', () => {
    const rule = (camel: boolean): string => {
      const name = (snake: string, other: string): string => (camel ? other : snake);
      return `{ ${name('endpoint_ips', 'endpointIps')}: ["10.1.2.3"], ${name('endpoint_id', 'endpointId')}: 42,
        ${name('ingress_per_port_policies', 'ingressPerPortPolicies')}: [{ port: 80, ${name('end_port', 'endPort')}: 90, rules: [{
          ${name('proxy_id', 'proxyId')}: 7, ${name('remote_policies', 'remotePolicies')}: [43],
          ${name('server_names', 'serverNames')}: [a.test],
          ${name('downstream_tls_context', 'downstreamTlsContext')}: { ${name('tls_sds_secret', 'tlsSdsSecret')}: s },
          ${name('http_rules', 'httpRules')}: { ${name('http_rules', 'httpRules')}: [{
            headers: [{ name: a, ${name('string_match', 'stringMatch')}: { ${name('safe_regex', 'safeRegex')}: { regex: b } }, ${name('invert_match', 'invertMatch')}: true }],
            ${name('header_matches', 'headerMatches')}: [{ name: c, ${name('value_sds_secret', 'valueSdsSecret')}: d, ${name('mismatch_action', 'mismatchAction')}: ADD_ON_MISMATCH }] }] } }] }] }`;
    };
    // Rules are named by the path that is written in the file.
    const named = ({ origin, ...rest }: PortRule) => ({ ...rest, origin: origin.policy });
    const [camel, snake] = [true, false].map((isCamel) =>
      JSON.stringify(wirePolicyOf(rule(isCamel)).ingress.map(({ rules }) => rules.map(named))),
    );
    expect(
      camel
        ?.replaceAll('PerPortPolicies', '_per_port_policies')
        .replaceAll('httpRules', 'http_rules'),
    ).toBe(snake);
    expect(wirePolicyOf(rule(true)).ingress[0]?.rules[0]).toMatchObject({
      proxyId: 7,
      remotes: new Set([43]),
      serverNames: ['a.test'],
      l7: {
        kind: 'http',
        rules: [
          {
            matchers: [{ name: 'a', value: { kind: 'regex', pattern: 'b' }, isInverted: true }],
            headerMatches: [{ name: 'c', secret: 'd', mismatchAction: 'add' }],
          },
        ],
      },
    });
  });

  it('keeps absent, default and empty apart where npds.proto does', () => {
    const entry = '{ port: 0, end_port: 0, protocol: TCP, rules: [] }';
    const policy = wirePolicyOf(wire(`egress_per_port_policies: [{}, ${entry}]`));
    expect(policy.egress).toEqual([
      { port: 0, endPort: 0, protocol: 'TCP', rules: [] },
      { port: 0, endPort: 0, protocol: 'TCP', rules: [] },
    ]);
    expect(ruleOf('{}')).toMatchObject({
      precedence: 0,
      verdict: { kind: 'allow' },
      proxyId: 0,
      remotes: null,
      serverNames: [],
      l7: { kind: 'none' },
    });
    expect(ruleOf('{ remote_policies: [] }').remotes).toBeNull();
  });

  it('has protocols by name and by number', () => {
    const policy = wirePolicyOf(
      wire('ingress_per_port_policies: [{ protocol: UDP }, { protocol: 1 }, { protocol: 0 }]'),
    );
    expect(policy.ingress.map(({ protocol }) => protocol)).toEqual(['UDP', 'UDP', 'TCP']);
  });

  it.each([
    ['{ deny: true }', { kind: 'deny' }],
    ['{ deny: false }', { kind: 'allow' }],
    ['{ pass_precedence: 5, precedence: 9 }', { kind: 'pass', passPrecedence: 5 }],
    ['{ pass_precedence: 0 }', { kind: 'allow' }],
    ['{ deny: , pass_precedence: "5" }', { kind: 'pass', passPrecedence: 5 }],
  ])('%s', (rule, verdict) => expect(ruleOf(rule).verdict).toEqual(verdict));

  it('is named in rules by path, and by name when it has one', () => {
    expect(ruleOf('{}').origin).toEqual({
      policy: 'npds/42',
      rule: 'ingress_per_port_policies[0].rules[0]',
    });
    expect(ruleOf('{ name: shop/api }').origin.rule).toBe(
      'ingress_per_port_policies[0].rules[0] (shop/api)',
    );
  });

  it('may carry what older agents sent', () => {
    expect(warningsOf(wire('policy: 3, conntrack_map_name: global'))).toEqual([
      'policy: left npds.proto: it is ignored',
      'conntrack_map_name: left npds.proto: it is ignored',
    ]);
  });

  it.each([
    ['resources', '{ version_info: "1", resources: [%] }'],
    ['with types', '{ resources: [{ "@type": type.googleapis.com/cilium.NetworkPolicy, % }] }'],
    ['a list', '[%]'],
    ['a config dump', '{ networkpolicies: [%] }'],
  ])('may come in %s, with the same names', (_, around) => {
    const bare = wireRule('{ http_rules: { http_rules: [{}] } }');
    const inside = around.includes('@type') ? bare.slice(1, -1) : bare;
    const decoded = valid(around.replace('%', inside));
    expect(decoded.wirePolicies).toEqual([wirePolicyOf(bare)]);
    expect(decoded.names.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'cilium.NetworkPolicy npds/42',
    ]);
  });
});

describe('a header matcher', () => {
  const value = (form: string): ValueMatcher | undefined =>
    httpRule(`{ headers: [{ name: X-A, ${form} }] }`).matchers[0]?.value;
  const plain = (kind: string, text: string) => ({ kind, text, ignoreCase: false });

  it.each([
    ['exact_match: Ab', plain('exact', 'Ab')],
    // An old agent's "" stood for any value.
    ['exact_match: ""', plain('prefix', '')],
    ['prefix_match: a', plain('prefix', 'a')],
    ['suffix_match: a', plain('suffix', 'a')],
    ['contains_match: a', plain('contains', 'a')],
    ['present_match: true', { kind: 'present', isPresent: true }],
    ['present_match: false', { kind: 'present', isPresent: false }],
    ['invert_match: true', { kind: 'present', isPresent: true }],
    ['safe_regex_match: { google_re2: {}, regex: a+ }', { kind: 'regex', pattern: 'a+' }],
    ['range_match: { start: -5, end: "7" }', { kind: 'range', start: -5n, end: 7n }],
    [
      'range_match: { end: 9223372036854775807 }',
      { kind: 'range', start: 0n, end: 2n ** 63n - 1n },
    ],
    ['string_match: { exact: "" }', plain('exact', '')],
    [
      'string_match: { exact: a, ignore_case: true }',
      { kind: 'exact', text: 'a', ignoreCase: true },
    ],
    ['string_match: { prefix: a }', plain('prefix', 'a')],
    ['string_match: { suffix: a }', plain('suffix', 'a')],
    ['string_match: { contains: a }', plain('contains', 'a')],
    ['string_match: { safe_regex: { regex: a+ } }', { kind: 'regex', pattern: 'a+' }],
    ['exact_match: "\\u00e9"', plain('exact', '\u00c3\u00a9')],
  ])('%s', (form, read) => expect(value(form)).toEqual(read));

  it('is about a name in lower case; host is the authority', () => {
    const names = httpRule(
      '{ headers: [{ name: X-A }, { name: ":path" }, { name: Host }] }',
    ).matchers.map(({ name }) => name);
    expect(names).toEqual(['x-a', ':path', ':authority']);
  });

  it('may be inverted, and treat a missing field as empty', () => {
    expect(
      httpRule(
        '{ headers: [{ name: a, treat_missing_header_as_empty: true, invert_match: true }] }',
      ).matchers[0],
    ).toMatchObject({ isInverted: true, treatMissingAsEmpty: true });
  });
});

describe('a header match', () => {
  const match = (fields: string) =>
    httpRule(`{ header_matches: [{ name: X-A, ${fields} }] }`).headerMatches[0];

  it.each([
    ['value: v', { value: 'v', secret: null, matchAction: 'continue', mismatchAction: 'fail' }],
    ['value_sds_secret: s', { value: '', secret: 's' }],
    ['match_action: FAIL_ON_MATCH', { matchAction: 'fail' }],
    ['match_action: 2', { matchAction: 'delete' }],
    ['mismatch_action: CONTINUE_ON_MISMATCH', { mismatchAction: 'continue' }],
    ['mismatch_action: 2', { mismatchAction: 'add' }],
    ['mismatch_action: DELETE_ON_MISMATCH', { mismatchAction: 'delete' }],
    ['mismatch_action: 4', { mismatchAction: 'replace' }],
  ])('%s', (fields, read) => expect(match(fields)).toMatchObject({ name: 'x-a', ...read }));
});

function ruleOf(rule: string): PortRule {
  const found = wirePolicyOf(wireRule(rule)).ingress[0]?.rules[0];
  if (found === undefined) throw new Error('has no rule');
  return found;
}

function httpRule(rule: string): HttpRule {
  const { l7 } = ruleOf(`{ http_rules: { http_rules: [${rule}] } }`);
  if (l7.kind !== 'http' || l7.rules[0] === undefined) throw new Error('has no HTTP rule');
  return l7.rules[0];
}
