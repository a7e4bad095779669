/** What `explain` tells: data only, so that tools and the admin server show one thing. */
import type { Decision, L7Protocol, RuleRef } from '../model/decision.ts';
import type { RuleVerdict } from './ast.ts';

export interface Explanation {
  readonly decision: Decision;
  /** Rules of the port in asking order; empty when no rule covers the port. */
  readonly steps: readonly RuleStep[];
}

/** What became of a port rule. */
export type RuleOutcome =
  /** Gave the verdict (or, for a pass, jumped). */
  | 'applied'
  | 'no-l7-rule-matched'
  | 'other-remote'
  | 'other-listener'
  | 'server-name'
  /** Names more ports than one with DNS rules for the remote, whose own rules alone judge names. */
  | 'wider-ports'
  /** A verdict was there before it was its turn. */
  | 'not-reached'
  /** A pass jumped over it. */
  | 'passed-over';

export interface RuleStep extends L7Steps {
  readonly rule: RuleRef;
  readonly verdict: RuleVerdict['kind'];
  readonly precedence: number;
  readonly outcome: RuleOutcome;
  /** What the rule would have taken, where the outcome is `server-name`. */
  readonly serverNames?: readonly string[];
  /** The server name or DNS name that was compared with those. */
  readonly asked?: string;
}

/** The rule's L7 rules that were looked at, by protocol. */
export type L7Steps = { readonly [P in L7Protocol]: readonly L7StepTypes[P][] };

export interface L7StepTypes {
  readonly http: HttpStep;
  /** The name or pattern that was compared. */
  readonly dns: string;
}

export const NO_L7_STEPS: L7Steps = Object.freeze({ http: [], dns: [] });

export interface HttpStep {
  readonly rule: RuleRef;
  readonly isMatch: boolean;
  /** Conditions that matched, in the rule's order: "path", "method", "host", or a field's name. */
  readonly matched: readonly string[];
  /** The first condition that did not; null when all did. */
  readonly mismatch: Mismatch | null;
  /** Matched conditions of all conditions: 1 is a match. One that nearly matched counts nearly. */
  readonly nearness: number;
}

export interface Mismatch {
  readonly what: string;
  /** In words: `is "GET"`, `matches "/x.*"`, `is present`. */
  readonly expected: string;
  /** Null: the request has no such field. A value compared with a secret is not shown. */
  readonly found: string | null;
  /** What little is in the way, such as the query; absent when it is more. */
  readonly hint?: string;
}
