/** What `check` finds, from every source of findings, in one form and with its place. */

import type { JudgeResult } from '../../control/ask/judge.ts';
import { comparePlaces } from '../../control/decode/place.ts';
import type { Problem } from '../../control/decode/problem.ts';
import type { PolicySet } from '../../control/set/policy_set.ts';
import type { CostContext } from '../../policy/lint/cost_lint.ts';
import type { Finding } from '../../policy/lint/finding.ts';
import {
  FINDING_KINDS,
  type FindingId,
  type FindingSeverity,
} from '../../policy/lint/finding_kinds.ts';
import { type LintContext, lintSpecs } from '../../policy/lint/lint.ts';

/** In the order of the fields in JSON, where the place is several (`placeFields`). */
export interface CheckFinding extends Omit<Problem, 'policy'> {
  readonly severity: FindingSeverity;
  readonly id: FindingId;
  /** The name that `id` had before; it goes with the next release. */
  readonly code: FindingId;
  /** What to write in place of what stands there; absent when there is no one answer. */
  readonly instead?: string;
  /** The policy's annotation says so. */
  readonly isIgnored: boolean;
}

export function errorsOf(problems: readonly Problem[]): readonly CheckFinding[] {
  return problems.map((problem) => findingOf(problem, { id: 'invalid', isIgnored: false }));
}

/** Of what is no policy. */
export function warningsOf(problems: readonly Problem[]): readonly CheckFinding[] {
  return problems.map((problem) => findingOf(problem, { id: 'advice', isIgnored: false }));
}

/** Of a set that is accepted. */
export function findingsOf(
  accepted: Extract<JudgeResult, { kind: 'judge' }>,
  cost: CostContext,
): readonly CheckFinding[] {
  const { set, warnings } = accepted;
  const isIgnored = (policy: string | undefined, id: FindingId): boolean =>
    policy !== undefined && set.isIgnored(policy, id);
  return [
    ...warnings.map((problem) => {
      const { policy, id = 'advice' } = problem;
      return findingOf(problem, { id, isIgnored: isIgnored(policy, id) });
    }),
    ...lintSpecs(set.specs, contextOf(accepted, cost)).map((found) => {
      const { id, origin, instead } = found;
      return findingOf(placed(found, set), {
        id,
        isIgnored: isIgnored(origin.policy, id),
        instead,
      });
    }),
  ];
}

/** By place; what is on one place in the order in which it was found. */
export function inOrder(findings: readonly CheckFinding[]): readonly CheckFinding[] {
  return findings.toSorted((a, b) => comparePlaces(a.place, b.place));
}

function contextOf(
  { set, judge }: Extract<JudgeResult, { kind: 'judge' }>,
  cost: CostContext,
): LintContext {
  const { inventory, cidrGroups } = set;
  const { endpoints } = inventory;
  if (endpoints.length === 0) return { namedPorts: null, known: null, cost };
  const names = endpoints.flatMap(({ namedPorts }) => namedPorts.map(({ name }) => name));
  const known = { inventory, cidrGroups, table: judge.table };
  return { namedPorts: new Set(names), known, cost };
}

function placed({ origin, message }: Finding, set: PolicySet): Problem {
  return { place: set.placeOf(origin), field: origin.rule, message };
}

function findingOf(
  { place, field, message }: Problem,
  about: {
    readonly id: FindingId;
    readonly isIgnored: boolean;
    readonly instead?: string | null;
  },
): CheckFinding {
  const { id, isIgnored, instead = null } = about;
  const { severity } = FINDING_KINDS[id];
  const text = instead === null ? { message } : { message, instead };
  return { place, field, ...text, severity, id, code: id, isIgnored };
}
