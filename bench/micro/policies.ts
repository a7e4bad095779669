/** Policies of one endpoint, as large as one wants, and the view that its connections ask. */
import type { Identity, Port, ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { EndpointPolicy, HeaderMatch, HeaderMatcher, HttpRule } from '../../src/policy/ast.ts';
import { type CompileOptions, compilePolicies } from '../../src/policy/compile/compile.ts';
import type { View } from '../../src/policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import type { RegexEngine } from '../../src/policy/match/regex.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';

export const ENDPOINT_IP = '10.0.0.1';
export const ENDPOINT_PORT = 8080 as Port;
export const CLIENT = 300 as Identity;

/** What tells rules apart: a literal path, a path pattern with a beginning or without, or the host under one path. */
export type RuleKind = 'literal path' | 'path pattern' | 'open pattern' | 'host';

export function rulesOf(kind: RuleKind, count: number): readonly HttpRule[] {
  return Array.from({ length: count }, (_, i) => httpRule(i, matchersOf(kind, i)));
}

export function httpRule(
  number: number,
  matchers: readonly HeaderMatcher[],
  headerMatches: readonly HeaderMatch[] = [],
): HttpRule {
  return {
    origin: { policy: 'default/api', rule: `ingress[0].toPorts[0].rules.http[${number}]` },
    matchers,
    headerMatches,
  };
}

function matchersOf(kind: RuleKind, i: number): readonly HeaderMatcher[] {
  switch (kind) {
    case 'literal path':
      return [matcher(':path', `/service/${i}/items`), matcher(':method', 'GET')];
    case 'path pattern':
      return [matcher(':path', `/service/${i}/items/[0-9]+`), matcher(':method', 'GET')];
    case 'open pattern':
      return [matcher(':path', `.*/service/${i}/items/[0-9]+`), matcher(':method', 'GET')];
    case 'host':
      return [matcher(':path', '/items'), matcher(':authority', `service-${i}.test`)];
  }
}

export function matcher(name: string, pattern: string): HeaderMatcher {
  return { name, value: { kind: 'regex', pattern }, isInverted: false, treatMissingAsEmpty: false };
}

export function policyOf(rules: readonly HttpRule[]): EndpointPolicy {
  const port = ENDPOINT_PORT;
  return {
    name: 'default/api',
    endpointIps: [ENDPOINT_IP],
    endpointId: 1,
    egress: [],
    ingress: [
      {
        port,
        endPort: port,
        protocol: 'TCP',
        rules: [
          {
            precedence: 0,
            verdict: { kind: 'allow' },
            proxyId: 0,
            origin: { policy: 'default/api', rule: 'ingress[0].toPorts[0]' },
            remotes: null,
            serverNames: [],
            l7: { kind: 'http', rules },
          },
        ],
      },
    ],
  };
}

export function newEngine(): RegexEngine {
  return createRe2Engine(DEFAULT_LIMITS);
}

export function compiled(
  policies: readonly EndpointPolicy[],
  options: Partial<CompileOptions> = {},
): PolicySnapshot {
  const result = compilePolicies(policies, {
    revision: 1,
    regexEngine: options.regexEngine ?? newEngine(),
    limits: DEFAULT_LIMITS,
    secrets: new Map<string, string>(),
    ipcache: { lookup: (ip) => (ip === ENDPOINT_IP ? (200 as Identity) : null) },
    labels: {
      labelsOf: (identity) =>
        identity === CLIENT
          ? ['k8s:app=client', 'k8s:io.kubernetes.pod.namespace=default']
          : ['k8s:app=api', 'k8s:io.kubernetes.pod.namespace=default'],
    },
    shadow: null,
    ...options,
  });
  if (result.kind === 'error') throw new Error(result.problems[0]?.message);
  return result.snapshot;
}

export function viewOf(snapshot: PolicySnapshot): View {
  return snapshot
    .endpoint(ENDPOINT_IP)
    .port('ingress', 'TCP', ENDPOINT_PORT)
    .view(0 as ProxyId, CLIENT);
}
