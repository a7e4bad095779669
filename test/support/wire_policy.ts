/** Endpoint policies written down shortly, and what they compile to, for tests of the engine. */
import type { Decision } from '../../src/model/decision.ts';
import type { Direction, Identity, Port, Protocol, ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import { plainHead, type RequestHead } from '../../src/model/request_head.ts';
import type {
  EndpointPolicy,
  HeaderMatcher,
  HttpRule,
  L7Rules,
  PortPolicy,
  PortRule,
  RuleVerdict,
  ValueMatcher,
} from '../../src/policy/ast.ts';
import { NO_L7 } from '../../src/policy/ast.ts';
import {
  type CompileOptions,
  type CompileResult,
  compilePolicies,
} from '../../src/policy/compile/compile.ts';
import type { View } from '../../src/policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { MATCH_NO, type Regex, type RegexEngine } from '../../src/policy/match/regex.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';

export const ADDRESS = '10.0.0.1';
export const PASS_TO = (passPrecedence: number): RuleVerdict => ({ kind: 'pass', passPrecedence });
export const ALLOW: RuleVerdict = { kind: 'allow' };
export const DENY: RuleVerdict = { kind: 'deny' };

/** What stands in for a pattern in a test. */
export const NO_REGEX: Regex = {
  pattern: '',
  cost: { programSize: 1, placeCount: 1, width: 1, buildWork: 0 },
  neededTexts: [],
  test: () => MATCH_NO,
  beginning: () => null,
  prepare: () => {},
};

const sharedEngine = createRe2Engine(DEFAULT_LIMITS);

/** `name` is what decisions name. Everything else is what the wire's defaults are. */
export function rule(
  name: string,
  given: Partial<Omit<PortRule, 'origin' | 'remotes'>> & { remotes?: readonly number[] } = {},
): PortRule {
  return {
    precedence: 0,
    verdict: ALLOW,
    proxyId: 0,
    serverNames: [],
    l7: NO_L7,
    ...given,
    origin: { policy: 'p', rule: name },
    remotes: given.remotes === undefined ? null : new Set(given.remotes as Identity[]),
  };
}

/** "80", "80-90" or "0", TCP unless said otherwise. */
export function port(
  range: string,
  rules: readonly PortRule[],
  protocol: Protocol = 'TCP',
): PortPolicy {
  const [first = 0, last = first] = range.split('-').map(Number);
  return { port: first, endPort: last, protocol, rules };
}

export function endpoint(
  ingress: readonly PortPolicy[],
  egress: readonly PortPolicy[] = [],
): EndpointPolicy {
  return { name: 'ns/subject', endpointIps: [ADDRESS], endpointId: 1, ingress, egress };
}

/** One HTTP rule for each list of conditions: [":path", pattern, ":method", pattern, ...]. */
export function http(...rules: readonly (readonly string[])[]): L7Rules {
  return { kind: 'http', rules: rules.map((pairs, i) => httpRule(`http[${i}]`, pairs)) };
}

export function httpRule(name: string, pairs: readonly string[]): HttpRule {
  const matchers: HeaderMatcher[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    matchers.push(condition(pairs[i] ?? '', { kind: 'regex', pattern: pairs[i + 1] ?? '' }));
  }
  return { origin: { policy: 'p', rule: name }, matchers, headerMatches: [] };
}

export function condition(
  name: string,
  value: ValueMatcher,
  given: { isInverted?: boolean; treatMissingAsEmpty?: boolean } = {},
): HeaderMatcher {
  return { name, value, isInverted: false, treatMissingAsEmpty: false, ...given };
}

export function dns(...patterns: readonly string[]): L7Rules {
  return {
    kind: 'dns',
    rules: patterns.map((matchPattern, i) => ({
      origin: { policy: 'p', rule: `dns[${i}]` },
      matchName: null,
      matchPattern,
    })),
  };
}

export interface CompileGiven {
  readonly regexEngine?: RegexEngine;
  readonly limits?: Partial<Limits>;
  readonly secrets?: ReadonlyMap<string, string>;
  readonly node?: CompileOptions['node'];
}

export function compile(
  policies: readonly EndpointPolicy[],
  given: CompileGiven = {},
): CompileResult {
  return compilePolicies(policies, {
    revision: 1,
    regexEngine: given.regexEngine ?? sharedEngine,
    limits: { ...DEFAULT_LIMITS, ...given.limits },
    secrets: given.secrets ?? new Map(),
    ipcache: { lookup: () => null },
    labels: { labelsOf: () => [] },
    shadow: null,
    ...(given.node === undefined ? {} : { node: given.node }),
  });
}

export function compiled(policy: EndpointPolicy, given: CompileGiven = {}): PolicySnapshot {
  const result = compile([policy], given);
  if (result.kind === 'error') throw new Error(JSON.stringify(result.problems));
  return result.snapshot;
}

export interface Place {
  readonly direction?: Direction;
  readonly protocol?: Protocol;
  readonly port?: number;
  readonly proxyId?: number;
  readonly remote?: number;
}

export function viewOf(snapshot: PolicySnapshot, place: Place = {}): View {
  const { direction = 'ingress', protocol = 'TCP' } = place;
  return snapshot
    .endpoint(ADDRESS)
    .port(direction, protocol, (place.port ?? 80) as Port)
    .view((place.proxyId ?? 0) as ProxyId, (place.remote ?? 300) as Identity);
}

export function get(path: string, fields: readonly string[] = []): RequestHead {
  return plainHead({ method: 'GET', path, authority: 'a.test', fields });
}

/** "allow RULE", "deny RULE" or "deny REASON". */
export function shown(decision: Decision): string {
  return `${decision.verdict} ${decision.rule?.rule ?? decision.reason ?? 'without rule'}`;
}
