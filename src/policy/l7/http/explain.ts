/**
 * The trace of an HTTP request: of each HTTP rule the first condition that did not match, and how near it came.
 */
import type { RequestHead } from '../../../model/request_head.ts';
import type { HeaderMatch, ValueMatcher } from '../../ast.ts';
import { type CompiledRule, VERDICT_DENY } from '../../compiled/compiled_rule.ts';
import {
  type CompiledHttpRule,
  type CompiledHttpRules,
  conditionsOf,
} from '../../compiled/http_rules.ts';
import type { View } from '../../compiled/port_rules.ts';
import type { HttpStep, Mismatch, RuleStep } from '../../explanation.ts';
import { type CompiledHeaderMatch, HeaderEdits, runHeaderMatch } from '../../match/header_match.ts';
import { MATCH_FAILED, MATCH_YES, type MatchOutcome } from '../../match/regex.ts';
import { valueHint } from '../../match/value_hint.ts';
import { type CompiledMatcher, evaluateMatcher } from '../../match/value_match.ts';
import { isSpent } from '../../match/verdict_work.ts';
import type { L7Answer, L7Trace } from '../protocol.ts';

export class HttpTrace implements L7Trace {
  /** As in Cilium. */
  readonly looksAtServerName = false;
  /** All header actions of the winning precedence are run. */
  readonly isSettledByAllow: boolean;
  readonly #head: RequestHead;
  readonly #edits: HeaderEdits;
  /** The condition that did not match first, where hints can be found for it. */
  readonly #mismatched = new Map<HttpStep, MismatchedCondition>();

  constructor(view: View, head: RequestHead) {
    this.isSettledByAllow = !view.port.hasHeaderMatches;
    this.#head = head;
    this.#edits = new HeaderEdits(head);
  }

  skipped(): null {
    return null;
  }

  ask({ kind, l7 }: CompiledRule): L7Answer {
    if (kind === VERDICT_DENY || l7.kind === 'none') return { isMatch: true, steps: {} };
    if (l7.kind !== 'http') return { isMatch: false, steps: {} };
    const http = this.#stepsOf(l7);
    return { isMatch: http.some(({ isMatch }) => isMatch), steps: { http } };
  }

  withHints(steps: readonly RuleStep[]): readonly RuleStep[] {
    if (this.#mismatched.size === 0) return steps;
    return steps.map((step) => ({
      ...step,
      http: step.http.map((one) => withHint(one, this.#head, this.#mismatched.get(one))),
    }));
  }

  #stepsOf({ rules, hasHeaderMatches }: CompiledHttpRules): readonly HttpStep[] {
    const steps: HttpStep[] = [];
    for (const rule of rules) {
      const { step, mismatched } = httpStep(rule, this.#edits);
      if (mismatched !== null) this.#mismatched.set(step, mismatched);
      steps.push(step);
      if (step.isMatch && !hasHeaderMatches) break;
    }
    return steps;
  }
}

/** Nearly matched counts nearly, so that such a rule comes before one that is further off. */
const NEARLY = 0.9;

function withHint(
  step: HttpStep,
  head: RequestHead,
  mismatched: MismatchedCondition | undefined,
): HttpStep {
  const { mismatch, nearness } = step;
  if (mismatch === null || mismatched === undefined || isSpent()) return step;
  const hint = valueHint(mismatched.matcher, head);
  if (hint === null) return step;
  const nearer = nearness + NEARLY / mismatched.conditionCount;
  return { ...step, mismatch: { ...mismatch, hint }, nearness: nearer };
}

interface MismatchedCondition {
  readonly matcher: CompiledMatcher;
  /** Of its rule, itself included. */
  readonly conditionCount: number;
}

interface ComparedRule {
  readonly step: HttpStep;
  readonly mismatched: MismatchedCondition | null;
}

function httpStep(rule: CompiledHttpRule, edits: HeaderEdits): ComparedRule {
  const conditions = conditionsOf(rule);
  const matched: string[] = [];
  let mismatch: Mismatch | null = null;
  let mismatchedMatcher: CompiledMatcher | null = null;
  for (const matcher of conditions) {
    const outcome = evaluateMatcher(matcher, edits);
    if (outcome === MATCH_YES) {
      matched.push(labelOf(matcher.source.name));
      continue;
    }
    mismatch ??= mismatchOf(matcher, { edits, outcome });
    mismatchedMatcher ??= matcher;
  }
  if (mismatch === null) {
    for (const match of rule.headerMatches) {
      const found = edits.field(match.source.name);
      if (runHeaderMatch(match, edits)) matched.push(match.source.name);
      else mismatch ??= headerMismatch(match, found);
    }
  }
  const count = conditions.length + rule.headerMatches.length;
  const step = {
    rule: rule.ref,
    isMatch: mismatch === null,
    matched,
    mismatch,
    nearness: count === 0 ? 1 : matched.length / count,
  };
  return {
    step,
    mismatched:
      mismatchedMatcher === null ? null : { matcher: mismatchedMatcher, conditionCount: count },
  };
}

function mismatchOf(
  matcher: CompiledMatcher,
  { edits, outcome }: { readonly edits: HeaderEdits; readonly outcome: MatchOutcome },
): Mismatch {
  const { source } = matcher;
  const words = matcher.literal === null ? wordsOf(source.value) : `is "${matcher.literal}"`;
  const because = isSpent() ? 'it would cost more than a verdict may' : 'it gave no answer';
  const asked = outcome === MATCH_FAILED ? `${words} (could not be asked: ${because})` : words;
  return {
    what: labelOf(source.name),
    expected: source.isInverted ? `not: ${asked}` : asked,
    found: foundValue(source.name, edits),
  };
}

function headerMismatch(match: CompiledHeaderMatch, found: string | null): Mismatch {
  const { source, expected } = match;
  return {
    what: source.name,
    expected: headerWords(source, expected),
    found: hidden(source, found),
  };
}

function headerWords(source: HeaderMatch, expected: string | null): string {
  if (expected === null) return `is the secret ${source.secret}, which is not known`;
  if (source.matchAction === 'fail') return 'is something else';
  if (expected === '') return 'is present';
  return source.secret === null ? `is "${expected}"` : `is the secret ${source.secret}`;
}

function hidden(source: HeaderMatch, found: string | null): string | null {
  return found !== null && source.secret !== null ? '[redacted]' : found;
}

function wordsOf(value: ValueMatcher): string {
  switch (value.kind) {
    case 'present':
      return value.isPresent ? 'is present' : 'is absent';
    case 'exact':
      return `is "${value.text}"`;
    case 'prefix':
      return `begins with "${value.text}"`;
    case 'suffix':
      return `ends with "${value.text}"`;
    case 'contains':
      return `contains "${value.text}"`;
    case 'regex':
      return `matches "${value.pattern}"`;
    case 'range':
      return `is a number from ${value.start} to below ${value.end}`;
    case 'never':
      return `can never match: ${value.because}`;
  }
}

function foundValue(name: string, edits: HeaderEdits): string | null {
  switch (name) {
    case ':path':
      return edits.head.path;
    case ':method':
      return edits.head.method;
    case ':authority':
      return edits.head.authority;
    case ':scheme':
      return edits.head.scheme;
    default:
      return edits.field(name);
  }
}

function labelOf(name: string): string {
  if (name === ':authority') return 'host';
  return name.startsWith(':') ? name.slice(1) : name;
}
