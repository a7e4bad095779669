/** One thing that lint has to say about a rule. */
import type { RuleOrigin } from '../ast.ts';

/** `warning`: most likely not what was meant. `note`: true, and often forgotten. */
export type FindingSeverity = 'warning' | 'note';

export const FINDING_CODES = {
  'l4-voids-l7': 'a rule without L7 allows everything that L7 rules on the same port restrict',
  'never-matches': 'a rule that no request can match',
  shadowed: 'a rule that adds nothing to another one',
  'implied-anchor': 'patterns match the whole value, so ^ and $ at the ends say nothing',
  'glob-not-regex': 'a pattern that reads like a glob',
  'query-forgotten': 'the query is part of the path that is matched',
  'header-misread': 'a header string that is read otherwise than it looks',
  'header-match-unused': 'a header match that can have no effect',
  'never-redirected': 'L7 rules where no connection is ever handed to the proxy',
  'never-denies': 'L7 rules that observe but never deny',
  'not-enforced-here': 'something that this version can only answer with a denial',
} as const satisfies Record<string, string>;

export type FindingCode = keyof typeof FINDING_CODES;

export interface Finding {
  readonly code: FindingCode;
  readonly severity: FindingSeverity;
  readonly origin: RuleOrigin;
  readonly message: string;
}

export function warning(code: FindingCode, origin: RuleOrigin, message: string): Finding {
  return { code, severity: 'warning', origin, message };
}

export function note(code: FindingCode, origin: RuleOrigin, message: string): Finding {
  return { code, severity: 'note', origin, message };
}
