/**
 * Port rules after compilation: patterns compiled, secrets looked up, decisions made beforehand. One shape; shared by
 * every range and view that they stand in.
 */
import type { L7Protocol, RuleRef } from '../../model/decision.ts';
import type { Identity } from '../../model/identity.ts';
import type { PortRule } from '../ast.ts';
import type { SniPattern } from '../match/sni_pattern.ts';
import type { CompiledDnsRules } from './dns_rules.ts';
import type { CompiledHttpRules } from './http_rules.ts';
import type { ReadyDecisions } from './ready_decisions.ts';

/** In sorting order within one precedence. */
export const VERDICT_DENY = 0;
export const VERDICT_ALLOW = 1;
export const VERDICT_PASS = 2;

export type VerdictKind = typeof VERDICT_DENY | typeof VERDICT_ALLOW | typeof VERDICT_PASS;

export const NO_SELECTOR = -1;

export interface CompiledRule {
  readonly source: PortRule;
  readonly ref: RuleRef;
  readonly precedence: number;
  readonly kind: VerdictKind;
  /** 0 when the rule is no pass rule. */
  readonly passPrecedence: number;
  readonly proxyId: number;
  /** Null: any. Nobody when `selector` says who they are. */
  readonly remotes: ReadonlySet<Identity> | null;
  /** Number of the selector that selects its remotes (`Remotes`), or NO_SELECTOR. */
  readonly selector: number;
  readonly serverNames: readonly SniPattern[];
  readonly l7: CompiledL7;
  /** Which ports it names, as one number: equal for rules of one entry of the policy. */
  readonly ports: number;
  readonly decisions: ReadyDecisions;
}

/** As `L7Rules` of the AST. */
export type CompiledL7 = { readonly kind: 'none' } | CompiledL7Of<L7Protocol>;

export type CompiledL7Of<P extends L7Protocol> = {
  [One in P]: { readonly kind: One } & CompiledL7Types[One];
}[P];

/** What the rules of one port rule become, by protocol. */
export interface CompiledL7Types {
  readonly http: CompiledHttpRules;
  readonly dns: CompiledDnsRules;
}

export const NO_COMPILED_L7: CompiledL7 = Object.freeze({ kind: 'none' });

/** Then all rules of the winning precedence are run, so that every header action is. */
export function hasHeaderMatches({ l7 }: CompiledRule): boolean {
  return l7.kind === 'http' && l7.hasHeaderMatches;
}
