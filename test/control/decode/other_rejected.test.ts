/**
 * Every rejection of ClusterNetworkPolicy, of wire policies and of YAML itself, with its text: what
 * is written here is what a user reads.
 */
import { describe, expect, it } from 'vitest';
import { http, problemsOf, tiers, wire, wireRule } from './decoding.ts';

/** A text and all the problems it has. */
type Case = readonly [text: string, ...problems: readonly string[]];

function check(text: string, problems: readonly string[]): void {
  expect(problemsOf(text)).toEqual(problems);
}

describe('the tiers', () => {
  const cases: readonly Case[] = [
    [
      tiers('{ tier: Normal, priority: 5, subject: { namespaces: {} } }'),
      'spec.tier: must be one of Admin, Baseline (found "Normal")',
    ],
    [tiers('{ priority: 5, subject: { namespaces: {} } }'), 'spec: tier is required'],
    [tiers('{ tier: Admin, subject: { namespaces: {} } }'), 'spec: priority is required'],
    [
      tiers('{ tier: Admin, priority: 1001, subject: { namespaces: {} } }'),
      'spec.priority: must be a whole number from 0 to 1000 (found 1001)',
    ],
    [tiers('{ tier: Admin, priority: 5 }'), 'spec: subject is required'],
    [
      tiers('{ tier: Admin, priority: 5, subject: { namespaces: {}, pods: {} } }'),
      'spec.subject: exactly one of namespaces and pods must be given',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ from: [{ namespaces: {} }] }] }',
      ),
      'spec.ingress[0]: action is required',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Allow, from: [{ namespaces: {} }] }] }',
      ),
      'spec.ingress[0].action: must be one of Accept, Deny, Pass (found "Allow")',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny }] }',
      ),
      'spec.ingress[0]: from is required',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [] }] }',
      ),
      'spec.ingress[0].from: must have at least one item',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{}] }] }',
      ),
      'spec.ingress[0].from[0]: exactly one of namespaces, pods must be given',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ networks: [10.0.0.0/8] }] }] }',
      ),
      'spec.ingress[0].from[0].networks: unknown field "networks" (allowed: namespaces, pods)',
      'spec.ingress[0].from[0]: exactly one of namespaces, pods must be given',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, egress: [{ action: Deny, to: [{ networks: [10.0.0.1] }] }] }',
      ),
      'spec.egress[0].to[0].networks[0]: is no CIDR (found "10.0.0.1"; allowed: an address and a length, such as 10.0.0.0/8 or fd00::/64)',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, egress: [{ action: Deny, to: [{ domainNames: [a.test] }] }] }',
      ),
      'spec.egress[0].to[0].domainNames: names can be accepted only (allowed: action Accept)',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, egress: [{ action: Accept, to: [{ domainNames: ["a.*.test"] }] }] }',
      ),
      'spec.egress[0].to[0].domainNames[0]: is no domain name (found "a.*.test"; allowed: such as example.com or *.example.com)',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [] }] }',
      ),
      'spec.ingress[0].protocols: must have at least one item',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ tcp: {}, udp: {} }] }] }',
      ),
      'spec.ingress[0].protocols[0]: exactly one of tcp, udp, sctp and destinationNamedPort must be given',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ tcp: { destinationPort: {} } }] }] }',
      ),
      'spec.ingress[0].protocols[0].tcp.destinationPort: number or range is required',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ tcp: { destinationPort: { number: 0 } } }] }] }',
      ),
      'spec.ingress[0].protocols[0].tcp.destinationPort.number: must be a whole number from 1 to 65535 (found 0)',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ tcp: { destinationPort: { number: 5, range: { start: 1, end: 2 } } } }] }] }',
      ),
      'spec.ingress[0].protocols[0].tcp.destinationPort: number and range exclude each other',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ tcp: { destinationPort: { range: { start: 5 } } } }] }] }',
      ),
      'spec.ingress[0].protocols[0].tcp.destinationPort.range: start and end are required',
    ],
    [
      tiers(
        '{ tier: Admin, priority: 5, subject: { namespaces: {} }, ingress: [{ action: Deny, from: [{ namespaces: {} }], protocols: [{ tcp: { destinationPort: { range: { start: 5, end: 4 } } } }] }] }',
      ),
      'spec.ingress[0].protocols[0].tcp.destinationPort.range.end: must not be less than start 5',
    ],
  ];
  it.each(cases)('refuses %s', (text, ...problems) => check(text, problems));
});

describe('a wire policy', () => {
  const cases: readonly Case[] = [
    ['{ endpoint_ips: ["10.1.2.3"] }', ': endpoint_id must not be 0'],
    ['{ endpoint_ips: ["10.1.2.3"], endpoint_id: 0 }', 'endpoint_id: endpoint_id must not be 0'],
    [
      '{ endpoint_ips: ["10.1.2.3"], endpoint_id: -1 }',
      'endpoint_id: must be a whole number from 0 to 9007199254740991 (found -1)',
      'endpoint_id: endpoint_id must not be 0',
    ],
    [
      '{ endpoint_ips: ["10.1.2.3"], endpoint_id: "4x" }',
      'endpoint_id: must be a whole number from 0 to 9007199254740991 (found "4x")',
      'endpoint_id: endpoint_id must not be 0',
    ],
    [
      '{ endpoint_ips: [], endpoint_id: 42 }',
      'endpoint_ips: endpoint_ips must have 1 to 2 addresses',
    ],
    [
      '{ "@type": type.googleapis.com/cilium.NetworkPolicy, endpoint_id: 42 }',
      ': endpoint_ips must have 1 to 2 addresses',
    ],
    [
      '{ "@type": type.googleapis.com/cilium.Other, endpoint_ips: ["10.1.2.3"], endpoint_id: 42 }',
      '@type: must be one of type.googleapis.com/cilium.NetworkPolicy (found "type.googleapis.com/cilium.Other")',
    ],
    ['{ endpoint_ips: [""], endpoint_id: 42 }', 'endpoint_ips[0]: is no IP address (found "")'],
    [
      '{ endpoint_ips: ["10.1.2"], endpoint_id: 42 }',
      'endpoint_ips[0]: is no IP address (found "10.1.2")',
    ],
    [
      '{ endpoint_ips: ["10.1.2.3", "fd00::1", "10.1.2.4"], endpoint_id: 42 }',
      'endpoint_ips: endpoint_ips must have 1 to 2 addresses',
    ],
    [
      '{ endpoint_ips: ["10.1.2.3"], endpointIps: ["10.1.2.4"], endpoint_id: 42 }',
      'endpointIps: is given twice, as endpoint_ips and as endpointIps',
    ],
    [
      wire('ingress: []'),
      'ingress: unknown field "ingress" (allowed: @type, endpoint_ips, endpointIps, endpoint_id, endpointId, ingress_per_port_policies, ingressPerPortPolicies, egress_per_port_policies, egressPerPortPolicies, policy, conntrack_map_name, conntrackMapName, name)',
    ],
    [
      wire('ingress_per_port_policies: {}'),
      'ingress_per_port_policies: must be a list (found a map)',
    ],
    [
      wire('ingress_per_port_policies: [{ port: 65536 }]'),
      'ingress_per_port_policies[0].port: must be a whole number from 0 to 65535 (found 65536)',
    ],
    [
      wire('ingress_per_port_policies: [{ port: 80, end_port: 79 }]'),
      'ingress_per_port_policies[0]: PortNetworkPolicy: Invalid port range, end port is less than start port 80-79',
    ],
    [
      wire('ingress_per_port_policies: [{ port: 0, end_port: 79 }]'),
      'ingress_per_port_policies[0]: PortNetworkPolicy: Invalid port range including the wildcard zero port 0-79',
    ],
    [
      wire('ingress_per_port_policies: [{ port: 80, protocol: SCTP }]'),
      'ingress_per_port_policies[0].protocol: must be one of TCP, UDP (found "SCTP")',
    ],
    [
      wire('ingress_per_port_policies: [{ port: 80, protocol: 2 }]'),
      'ingress_per_port_policies[0].protocol: must be one of TCP, UDP (found 2)',
    ],
    [
      wireRule('{ deny: true, pass_precedence: 5 }'),
      'ingress_per_port_policies[0].rules[0]: deny and pass_precedence exclude each other',
    ],
    [
      wireRule('{ deny: false, pass_precedence: 0 }'),
      'ingress_per_port_policies[0].rules[0]: deny and pass_precedence exclude each other',
    ],
    [
      wireRule('{ deny: "true" }'),
      'ingress_per_port_policies[0].rules[0].deny: must be true or false (found "true")',
    ],
    [
      wireRule('{ precedence: 4294967296 }'),
      'ingress_per_port_policies[0].rules[0].precedence: must be a whole number from 0 to 4294967295 (found 4294967296)',
    ],
    [
      wireRule('{ proxy_id: 65536 }'),
      'ingress_per_port_policies[0].rules[0].proxy_id: must be a whole number from 0 to 65535 (found 65536)',
    ],
    [
      wireRule('{ remote_policies: [-1] }'),
      'ingress_per_port_policies[0].rules[0].remote_policies[0]: is no identity (found -1; allowed: 0 to 4294967295)',
    ],
    [
      wireRule('{ remote_policies: [app] }'),
      'ingress_per_port_policies[0].rules[0].remote_policies[0]: is no identity (found "app"; allowed: 0 to 4294967295)',
    ],
    [
      wireRule('{ server_names: ["a..b"] }'),
      'ingress_per_port_policies[0].rules[0].server_names[0]: SniPattern: Unsupported match pattern a..b',
    ],
    [
      wireRule('{ server_names: [""] }'),
      'ingress_per_port_policies[0].rules[0].server_names[0]: SniPattern: Unsupported match pattern ',
    ],
    [
      wireRule('{ tier: 1 }'),
      'ingress_per_port_policies[0].rules[0].tier: unknown field "tier" (allowed: precedence, pass_precedence, passPrecedence, deny, proxy_id, proxyId, name, remote_policies, remotePolicies, downstream_tls_context, downstreamTlsContext, upstream_tls_context, upstreamTlsContext, server_names, serverNames, l7_proto, l7Proto, http_rules, httpRules, kafka_rules, kafkaRules, l7_rules, l7Rules)',
    ],
    [
      wireRule('{ downstream_tls_context: { certificate: x } }'),
      'ingress_per_port_policies[0].rules[0].downstream_tls_context.certificate: unknown field "certificate" (allowed: trusted_ca, trustedCa, certificate_chain, certificateChain, private_key, privateKey, server_names, serverNames, validation_context_sds_secret, validationContextSdsSecret, tls_sds_secret, tlsSdsSecret, alpn_protocols, alpnProtocols)',
    ],
    [
      wireRule('{ l7_proto: r2d2 }'),
      'ingress_per_port_policies[0].rules[0].l7_proto: l7_proto cannot be enforced here: Kafka and other parsers left Cilium in 1.20',
    ],
    [
      wireRule('{ kafka_rules: { kafka_rules: [{ topic: a }] } }'),
      'ingress_per_port_policies[0].rules[0].kafka_rules: kafka_rules cannot be enforced here: Kafka and other parsers left Cilium in 1.20',
    ],
    [
      wireRule('{ l7_rules: { l7_allow_rules: [{}] } }'),
      'ingress_per_port_policies[0].rules[0].l7_rules: l7_rules cannot be enforced here: Kafka and other parsers left Cilium in 1.20',
    ],
    [
      wireRule('{ http_rules: {} }'),
      'ingress_per_port_policies[0].rules[0]: http_rules must have at least one rule',
    ],
    [
      wireRule('{ http_rules: { http_rules: [] } }'),
      'ingress_per_port_policies[0].rules[0]: http_rules must have at least one rule',
    ],
    [
      wireRule('{ http_rules: [] }'),
      'ingress_per_port_policies[0].rules[0].http_rules: must be a map (found a list)',
      'ingress_per_port_policies[0].rules[0]: http_rules must have at least one rule',
    ],
    [
      wireRule('{ http_rules: { http_rules: [{ headers: [{}] }] } }'),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0]: name is required',
    ],
    [
      wireRule('{ http_rules: { http_rules: [{ headers: [{ name: "" }] }] } }'),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].name: the name of a header must not be empty',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, exact_match: a, prefix_match: b }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0]: exact_match and prefix_match exclude each other',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, safe_regex_match: { regex: "(" } }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].safe_regex_match.regex: is no RE2 pattern: missing ): ( (found "(")',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, safe_regex_match: {} }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].safe_regex_match: regex is required',
    ],
    [
      wireRule('{ http_rules: { http_rules: [{ headers: [{ name: x, safe_regex_match: a }] }] } }'),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].safe_regex_match: must be a map (found "a")',
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].safe_regex_match: regex is required',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, range_match: { start: a } }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].range_match.start: must be a 64-bit integer (found a)',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, range_match: { end: 9223372036854775808 } }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].range_match.end: must be a 64-bit integer (found 9223372036854775808)',
    ],
    [
      wireRule('{ http_rules: { http_rules: [{ headers: [{ name: x, string_match: {} }] }] } }'),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].string_match: exactly one of exact, prefix, suffix, contains, safe_regex must be given',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, string_match: { exact: a, prefix: b } }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].string_match: exactly one of exact, prefix, suffix, contains, safe_regex must be given',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, string_match: { regex: a } }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].string_match.regex: unknown field "regex" (allowed: exact, prefix, suffix, contains, safe_regex, safeRegex, ignore_case, ignoreCase)',
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].string_match: exactly one of exact, prefix, suffix, contains, safe_regex must be given',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ headers: [{ name: x, string_match: { custom: {} } }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].string_match.custom: unknown field "custom" (allowed: exact, prefix, suffix, contains, safe_regex, safeRegex, ignore_case, ignoreCase)',
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].string_match: exactly one of exact, prefix, suffix, contains, safe_regex must be given',
    ],
    [
      wireRule('{ http_rules: { http_rules: [{ headers: [{ name: x, invert_match: 1 }] }] } }'),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].invert_match: must be true or false (found 1)',
    ],
    [
      wireRule('{ http_rules: { http_rules: [{ headers: [{ name: x, regex_match: a }] }] } }'),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].headers[0].regex_match: unknown field "regex_match"; did you mean range_match? (allowed: name, exact_match, exactMatch, safe_regex_match, safeRegexMatch, range_match, rangeMatch, present_match, presentMatch, prefix_match, prefixMatch, suffix_match, suffixMatch, contains_match, containsMatch, string_match, stringMatch, invert_match, invertMatch, treat_missing_header_as_empty, treatMissingHeaderAsEmpty)',
    ],
    [
      wireRule('{ http_rules: { http_rules: [{ header_matches: [{ value: a }] }] } }'),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].header_matches[0]: name is required',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ header_matches: [{ name: x, mismatch_action: LOG }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].header_matches[0].mismatch_action: must be one of FAIL_ON_MISMATCH, CONTINUE_ON_MISMATCH, ADD_ON_MISMATCH, DELETE_ON_MISMATCH, REPLACE_ON_MISMATCH (found "LOG")',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ header_matches: [{ name: x, match_action: 3 }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].header_matches[0].match_action: must be one of CONTINUE_ON_MATCH, FAIL_ON_MATCH, DELETE_ON_MATCH (found 3)',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ header_matches: [{ name: x, mismatch: ADD_ON_MISMATCH }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].header_matches[0].mismatch: unknown field "mismatch" (allowed: name, value, match_action, matchAction, mismatch_action, mismatchAction, value_sds_secret, valueSdsSecret)',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ header_matches: [{ name: ":path", value: a }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].header_matches[0].name: no header match can be run on the pseudo-field :path (allowed: method, path, host or headers instead)',
    ],
    [
      wireRule(
        '{ http_rules: { http_rules: [{ header_matches: [{ name: transfer-encoding, match_action: DELETE_ON_MATCH }] }] } }',
      ),
      'ingress_per_port_policies[0].rules[0].http_rules.http_rules[0].header_matches[0].name: transfer-encoding frames the message or belongs to the connection and cannot be changed (allowed: LOG, or another field)',
    ],
  ];
  it.each(cases)('refuses %s', (text, ...problems) => check(text, problems));
});

describe('YAML', () => {
  const cases: readonly Case[] = [
    ['a: [1', ': Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ['a: 1\na: 2', ': Map keys must be unique'],
    ['a: !foo x', ': Unresolved tag: !foo'],
    [
      http('{ path: *nowhere }'),
      'spec.ingress[0].toPorts[0].rules.http[0].path: the alias *nowhere has no anchor',
    ],
    [
      '80: x',
      ': a key must be a text (found 80)',
      ': is no policy (found no kind; allowed: CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, CiliumCIDRGroup, CiliumEnvoyConfig, CiliumClusterwideEnvoyConfig, ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy, NetworkPolicy, or a wire policy with endpoint_ips; objects of other kinds, with kind and apiVersion, are passed over)',
    ],
    [
      http('{ ? [a] : b }'),
      'spec.ingress[0].toPorts[0].rules.http[0]: a key must be a text (found a list)',
    ],
    [
      http('{ path: {{ .Values.path }} }'),
      'spec.ingress[0].toPorts[0].rules.http[0].path: must be a string (found a map)',
      ': has "{{": a template is no policy, it must be rendered first',
    ],
    [
      '{{- if .Values.x }}\nkind: x',
      ': Block collections are not allowed within flow collections',
      ': Missing , or : between flow map items',
      ': Unexpected scalar at node end',
      ': Unexpected map-value-ind token in YAML stream: ":"',
      ': Unexpected scalar token in YAML stream: "x"',
      ': has "{{": a template is no policy, it must be rendered first',
    ],
    [
      'x: &x {a: 1}\n<<: *x\nkind: y',
      'kind: is no policy (found kind "y", and no apiVersion; allowed: CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, CiliumCIDRGroup, CiliumEnvoyConfig, CiliumClusterwideEnvoyConfig, ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy, NetworkPolicy, or a wire policy with endpoint_ips; objects of other kinds, with kind and apiVersion, are passed over)',
    ],
    [
      'kind: List\nitems: [*a,*a,*a,]',
      'items[0]: the alias *a has no anchor',
      'items[1]: the alias *a has no anchor',
      'items[2]: the alias *a has no anchor',
      'items[0]: is no policy (found nothing; allowed: an object with kind, or a wire policy with endpoint_ips)',
      'items[1]: is no policy (found nothing; allowed: an object with kind, or a wire policy with endpoint_ips)',
      'items[2]: is no policy (found nothing; allowed: an object with kind, or a wire policy with endpoint_ips)',
    ],
  ];
  it.each(cases)('refuses %s', (text, ...problems) => check(text, problems));
});
