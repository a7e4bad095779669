/**
 * What is wrong with a text that a user gave, and where: file, line, column and field, so that it
 * can be found and mended without reading our code.
 */
import type { FindingId } from '../../policy/lint/finding_kinds.ts';

export interface Problem {
  /** The file, as the user named it. */
  readonly path: string;
  /** From 1; 0 when the place is not known. */
  readonly line: number;
  readonly column: number;
  /** "spec.ingress[0].toPorts[0].rules.http[1].path"; "" for the whole document. */
  readonly field: string;
  /** What is wrong, what was found and what is allowed. */
  readonly message: string;
  /** Of a warning: the kind of finding that it is; absent: `advice`. Nothing for what rejects the set. */
  readonly id?: FindingId;
  /** Of a warning: whose it is, as in `RuleOrigin.policy`, so that the policy can say it is to be ignored. */
  readonly policy?: string;
}

/** "FILE:LINE:COLUMN: FIELD: MESSAGE". */
export function formatProblem(problem: Problem): string {
  const place =
    problem.line === 0 ? problem.path : `${problem.path}:${problem.line}:${problem.column}`;
  return problem.field === ''
    ? `${place}: ${problem.message}`
    : `${place}: ${problem.field}: ${problem.message}`;
}
