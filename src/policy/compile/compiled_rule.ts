/**
 * Port rules and HTTP rules after compilation: patterns compiled, secrets looked up, decisions made
 * beforehand. One shape each; shared by every range and view that they stand in.
 */
import {
  type AllowDecision,
  type DenyDecision,
  type DenyReason,
  type Layer,
  NO_FIELDS,
  NO_HEADERS,
  NO_MUTATIONS,
  type RuleRef,
} from '../../model/decision.ts';
import type { Identity } from '../../model/identity.ts';
import type { DnsRule, PortRule } from '../ast.ts';
import type { DnsIndex } from '../match/dns_index.ts';
import type { CompiledHeaderMatch } from '../match/header_match.ts';
import type { SniPattern } from '../match/sni_pattern.ts';
import type { CompiledMatcher } from '../match/value_match.ts';
import { ALLOW_PERMIT } from '../permit.ts';

/** In sorting order within one precedence. */
export const VERDICT_DENY = 0;
export const VERDICT_ALLOW = 1;
export const VERDICT_PASS = 2;

export type VerdictKind = typeof VERDICT_DENY | typeof VERDICT_ALLOW | typeof VERDICT_PASS;

export interface CompiledRule {
  readonly source: PortRule;
  readonly ref: RuleRef;
  readonly precedence: number;
  readonly kind: VerdictKind;
  /** 0 when the rule is no pass rule. */
  readonly passPrecedence: number;
  readonly proxyId: number;
  readonly remotes: ReadonlySet<Identity> | null;
  readonly serverNames: readonly SniPattern[];
  /** Null when the rule has no HTTP rules. */
  readonly http: readonly CompiledHttpRule[] | null;
  readonly dns: CompiledDnsRules | null;
  /** Which ports it names, as one number: equal for rules of one entry of the policy. */
  readonly ports: number;
  readonly hasHeaderMatches: boolean;
  readonly networkAllow: AllowDecision;
  readonly networkDeny: DenyDecision;
  readonly httpAllow: AllowDecision;
  readonly httpDeny: DenyDecision;
  readonly dnsAllow: AllowDecision;
  readonly dnsDeny: DenyDecision;
}

export interface CompiledHttpRule {
  readonly ref: RuleRef;
  /** The condition on the path that `HttpIndex` finds the rule by; null when it has none. */
  readonly path: CompiledMatcher | null;
  /** One of `others`, on the host, that `HttpIndex` can find the rule by; null when none can. */
  readonly host: CompiledMatcher | null;
  /** The conditions beside the path. All must match; none of either = any request. */
  readonly others: readonly CompiledMatcher[];
  readonly headerMatches: readonly CompiledHeaderMatch[];
  readonly allow: AllowDecision;
}

export interface CompiledDnsRules {
  readonly rules: readonly CompiledDnsRule[];
  readonly index: DnsIndex;
}

export interface CompiledDnsRule {
  readonly source: DnsRule;
  readonly allow: AllowDecision;
}

export function allowDecision(
  layer: Layer,
  rule: RuleRef | null,
  judgedFields: readonly string[] = NO_FIELDS,
): AllowDecision {
  return Object.freeze({
    verdict: 'allow',
    layer,
    reason: null,
    rule,
    permit: ALLOW_PERMIT,
    mutations: NO_MUTATIONS,
    judgedFields,
    missing: NO_HEADERS,
    rejected: NO_HEADERS,
  });
}

export function denyDecision(layer: Layer, reason: DenyReason, rule: RuleRef | null): DenyDecision {
  return Object.freeze({
    verdict: 'deny',
    layer,
    reason,
    rule,
    permit: null,
    mutations: NO_MUTATIONS,
    missing: NO_HEADERS,
    rejected: NO_HEADERS,
  });
}
