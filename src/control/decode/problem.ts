/**
 * What is wrong with something that a user gave, and where, so that it can be found and mended without reading our
 * code.
 */
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import { formatHolder, type Place } from './place.ts';

export interface Problem {
  readonly place: Place;
  /** "spec.ingress[0].toPorts[0].rules.http[1].path"; "" for the whole document. */
  readonly field: string;
  /** What is wrong, what was found and what is allowed. */
  readonly message: string;
  /** Of a warning: the kind of finding that it is; absent: `advice`. Nothing for what rejects the set. */
  readonly id?: FindingId;
  /** Whose it is, as in `RuleOrigin.policy`: a policy can say which warnings about it are to be ignored. */
  readonly policy?: string;
}

/** "FILE:LINE:COLUMN: FIELD: MESSAGE". */
export function formatProblem({ place, field, message }: Problem): string {
  const holder = formatHolder(place);
  return field === '' ? `${holder}: ${message}` : `${holder}: ${field}: ${message}`;
}

/** Nothing of what was offered is taken. */
export interface Rejected {
  readonly kind: 'rejected';
  readonly problems: readonly Problem[];
}

export function rejected(problems: readonly Problem[]): Rejected {
  return { kind: 'rejected', problems };
}
