/**
 * One thing that lint has to say about a rule. What kinds of findings there are stands in
 * `finding_kinds.ts`; docs/findings.md lists them for users.
 */
import type { RuleOrigin } from '../ast.ts';
import { FINDING_KINDS, type FindingId, type FindingSeverity } from './finding_kinds.ts';

export interface Finding {
  readonly id: FindingId;
  readonly severity: FindingSeverity;
  readonly origin: RuleOrigin;
  /** Plain sentences for a person. */
  readonly message: string;
  /** What to write in place of what stands there; null when there is no one answer. */
  readonly instead: string | null;
}

/** `instead` never means more than what stands there was meant to. */
export function finding(
  id: FindingId,
  origin: RuleOrigin,
  text: { readonly message: string; readonly instead?: string | null },
): Finding {
  const { severity } = FINDING_KINDS[id];
  return { id, severity, origin, message: text.message, instead: text.instead ?? null };
}

/** What is wrong with one pattern, before it is known whose it is. */
export interface PatternFinding {
  readonly id: FindingId;
  readonly message: string;
  readonly instead: string | null;
}
