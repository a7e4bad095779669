/** `rules.http` of one port rule after compilation. One shape each. */
import type { AllowDecision, RuleRef } from '../../model/decision.ts';
import type { CompiledHeaderMatch } from '../match/header_match.ts';
import type { CompiledMatcher } from '../match/value_match.ts';

export interface CompiledHttpRules {
  readonly kind: 'http';
  readonly rules: readonly CompiledHttpRule[];
  readonly hasHeaderMatches: boolean;
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

/** All of them, the one on the path first. */
export function conditionsOf({ path, others }: CompiledHttpRule): readonly CompiledMatcher[] {
  return path === null ? others : [path, ...others];
}
