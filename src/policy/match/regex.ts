/**
 * What the engine needs of a regular expression library; `regex/` implements it with RE2 and is
 * its only importer. Patterns match the whole subject (Envoy's safe_regex), subjects are bytes.
 * Running out of memory is a value, not an exception: the caller denies and counts.
 */
export const MATCH_NO = 0;
export const MATCH_YES = 1;
export const MATCH_FAILED = -1;

export type MatchOutcome = typeof MATCH_NO | typeof MATCH_YES | typeof MATCH_FAILED;

/** What asking a pattern can cost, whatever it is asked about; `verdict_work.ts` counts with it. */
export interface PatternCost {
  /** Instructions of its program, not fewer than it has. */
  readonly programSize: number;
  /** Of the pattern, counted repetition written out: each takes one character. */
  readonly placeCount: number;
  /** Places of the pattern in which one can be at once. */
  readonly width: number;
  /** To make all states of its automaton; infinite where they are too many to be kept. */
  readonly buildWork: number;
}

export interface Regex {
  readonly pattern: string;
  readonly cost: PatternCost;
  /** Of ASCII: each of them stands in whatever the pattern matches. */
  readonly neededTexts: readonly string[];
  test(subject: Uint8Array): MatchOutcome;
  /**
   * Bytes of the match that begins where the subject does, of several the one that Perl would find; null: none begins
   * there. Not for requests: it has no budget.
   */
  beginning(subject: Uint8Array): number | null;
  /** Makes what the first question would make, before a request waits for it. */
  prepare(): void;
}

/** Many patterns in one automaton: the cost of a match does not grow with their number. */
export interface RegexSet {
  readonly patterns: readonly string[];
  /** Whether any matches: a third of the cost of telling which. */
  test(subject: Uint8Array): MatchOutcome;
  /** Ascending indexes into `patterns` of all that match, or null when the set failed. */
  match(subject: Uint8Array): readonly number[] | null;
}

/** `message` is RE2's own, fit for a person; the caller adds where the pattern stands. */
export type RegexResult<Compiled> =
  | { readonly kind: 'ok'; readonly regex: Compiled }
  | { readonly kind: 'error'; readonly message: string };

export interface RegexEngine {
  compile(pattern: string): RegexResult<Regex>;
  /**
   * Every pattern must have compiled alone before. `memoryShare`: how much of what a set may have this one
   * gets, above 0 and at most 1, for patterns that are spread over several.
   */
  compileSet(patterns: readonly string[], memoryShare: number): RegexResult<RegexSet>;
}
