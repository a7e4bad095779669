/**
 * hot path
 *
 * The verdict on an HTTP request.
 */
import type { AllowDecision, Decision, DenyDecision } from '../../../model/decision.ts';
import type { RequestHead } from '../../../model/request_head.ts';
import type { ApplicableRules } from '../../compiled/applicable_rules.ts';
import { type CompiledRule, VERDICT_DENY, VERDICT_PASS } from '../../compiled/compiled_rule.ts';
import { CandidateLists } from '../../compiled/http_index.ts';
import type { CompiledHttpRule } from '../../compiled/http_rules.ts';
import type { View } from '../../compiled/port_rules.ts';
import { allowDecision, denyDecision } from '../../compiled/ready_decisions.ts';
import { HeaderEdits, runHeaderMatch } from '../../match/header_match.ts';
import { MATCH_FAILED, MATCH_YES } from '../../match/regex.ts';
import { evaluateMatcher, FieldMemo, type HeadView } from '../../match/value_match.ts';
import { isSpent, spend } from '../../match/verdict_work.ts';

const DENY_NO_HTTP_RULE = denyDecision('http', 'no-http-rule-matched', null);
const DENY_OUT_OF_MEMORY = denyDecision('http', 'regex-out-of-memory', null);
const DENY_BUDGET = denyDecision('http', 'regex-budget', null);
const ALLOW_UNCONDITIONAL = allowDecision('http', null);

/** The port has no L7 rules: what the network check allowed, said of the request. */
export function httpAllowOf(view: View, network: AllowDecision): AllowDecision {
  const { rules } = view.applicable;
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i] as CompiledRule;
    if (rule.decisions.network.allow === network) return rule.decisions.http.allow;
  }
  return ALLOW_UNCONDITIONAL;
}

/** The HTTP form of the walk. It does not look at server names: copied from Cilium. */
export function httpVerdict(view: View, head: RequestHead): Decision {
  const { applicable, port } = view;
  if (!applicable.index.candidates(head, candidates)) return failure();
  if (applicable.hasPasses || port.hasHeaderMatches) return walk(view, head);
  return shortVerdict(applicable, head);
}

/** What could not be judged is denied, for an allow, a pass and a deny rule alike. */
function failure(): DenyDecision {
  return isSpent() ? DENY_BUDGET : DENY_OUT_OF_MEMORY;
}

/** One verdict is computed at a time and nothing in it waits, so one scratch list serves all. */
const candidates = new CandidateLists();

/**
 * No passes and no header matches in the range: the first rule that allows or denies settles it. So
 * the lowest-numbered HTTP rule that matches wins, unless a rule without conditions stands before.
 */
function shortVerdict(applicable: ApplicableRules, head: RequestHead): Decision {
  const limit = applicable.httpStarts[applicable.firstUnconditional] as number;
  let best = limit;
  plainView.look(head);
  for (let i = 0; i < candidates.count; i++) {
    const list = candidates.list(i);
    for (let j = 0; j < list.length; j++) {
      const number = list[j] as number;
      if (number >= best) break;
      const outcome = matchOthers(applicable.httpRules[number] as CompiledHttpRule, plainView);
      if (outcome === MATCH_FAILED) return failure();
      if (outcome === MATCH_YES) {
        best = number;
        break;
      }
    }
  }
  if (best < limit) return (applicable.httpRules[best] as CompiledHttpRule).allow;
  const last = applicable.rules[applicable.firstUnconditional];
  if (last === undefined) return DENY_NO_HTTP_RULE;
  return last.kind === VERDICT_DENY ? last.decisions.http.deny : last.decisions.http.allow;
}

class PlainView implements HeadView {
  head = null as unknown as RequestHead;
  readonly #memo = new FieldMemo();

  look(head: RequestHead): void {
    this.head = head;
    this.#memo.forget();
  }

  field(name: string): string | null {
    return this.#memo.value(name, this.head, null);
  }

  fieldBytes(name: string): Uint8Array {
    this.field(name);
    return this.#memo.bytes();
  }
}

const plainView = new PlainView();

/** Of a candidate that is put in order. */
const SORT_WORK = 50;

/** Every rule in order, with passes, and with all header actions of the winning precedence. */
function walk(view: View, head: RequestHead): Decision {
  const edits = new HeaderEdits(head);
  const numbers = candidates.sorted();
  if (!spend(SORT_WORK * numbers.length)) return failure();
  const { applicable, port } = view;
  const { rules } = applicable;
  let allowed: AllowDecision | null = null;
  let allowedPrecedence = 0;
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i] as CompiledRule;
    if (allowed !== null && rule.precedence < allowedPrecedence) break;
    const found = ruleVerdict(applicable, i, { numbers, edits });
    if (found === 'failed') return failure();
    if (found === null) {
      i++;
    } else if (rule.kind === VERDICT_DENY) {
      return withEdits(rule.decisions.http.deny, edits);
    } else if (rule.kind === VERDICT_PASS) {
      if (allowed === null || allowedPrecedence < rule.precedence)
        i = applicable.passTargets[i] as number;
      else i++;
    } else {
      allowed ??= found;
      allowedPrecedence = rule.precedence;
      if (!port.hasHeaderMatches) break;
      i++;
    }
  }
  return withEdits(allowed ?? DENY_NO_HTTP_RULE, edits);
}

interface Evaluation {
  /** Numbers of the HTTP rules whose path can match, ascending. */
  readonly numbers: readonly number[];
  readonly edits: HeaderEdits;
}

/** Null when the rule yields nothing; else the decision that it would make as an allow rule. */
function ruleVerdict(
  applicable: ApplicableRules,
  index: number,
  evaluation: Evaluation,
): AllowDecision | 'failed' | null {
  const rule = applicable.rules[index] as CompiledRule;
  // A deny rule denies without looking at its HTTP rules: copied from Cilium.
  if (rule.kind === VERDICT_DENY) return rule.decisions.http.allow;
  const { l7 } = rule;
  if (l7.kind === 'none') return rule.decisions.http.allow;
  // Rules of another protocol say nothing of HTTP, so such a rule lets none of it through.
  if (l7.kind !== 'http') return null;
  const first = applicable.httpStarts[index] as number;
  const end = applicable.httpStarts[index + 1] as number;
  let matched: AllowDecision | null = null;
  const { numbers } = evaluation;
  for (let i = lowerBound(numbers, first); i < numbers.length; i++) {
    const number = numbers[i] as number;
    if (number >= end) break;
    const httpRule = applicable.httpRules[number] as CompiledHttpRule;
    const outcome = matchOthers(httpRule, evaluation.edits);
    if (outcome === MATCH_FAILED) return 'failed';
    if (outcome !== MATCH_YES) continue;
    if (runHeaderMatches(httpRule, evaluation.edits)) matched ??= httpRule.allow;
    if (isSpent()) return 'failed';
    // Without header matches the first one settles it; with them every rule's actions are run.
    if (matched !== null && !l7.hasHeaderMatches) break;
  }
  return matched;
}

/** Index of the first number that is not below `least`. */
function lowerBound(numbers: readonly number[], least: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Every entry is run even after one failed; what a failed rule changed stays changed. */
function runHeaderMatches(rule: CompiledHttpRule, edits: HeaderEdits): boolean {
  let isAccepted = true;
  for (const match of rule.headerMatches) {
    if (!runHeaderMatch(match, edits)) isAccepted = false;
  }
  return isAccepted;
}

/** The conditions beside the path; the index has already found the path to match. */
function matchOthers(rule: CompiledHttpRule, view: HeadView): number {
  const { others } = rule;
  for (let i = 0; i < others.length; i++) {
    const outcome = evaluateMatcher(others[i] as (typeof others)[number], view);
    if (outcome !== MATCH_YES) return outcome;
  }
  return MATCH_YES;
}

function withEdits(decision: AllowDecision | DenyDecision, edits: HeaderEdits): Decision {
  const mutations = edits.mutations();
  const missing = edits.missing();
  const rejected = edits.rejected();
  const isEdited = mutations.length + missing.length + rejected.length > 0;
  if (decision.verdict === 'deny') {
    return isEdited ? { ...decision, mutations, missing, rejected } : decision;
  }
  const judgedFields = edits.judgedFields(decision.judgedFields);
  if (!isEdited && judgedFields === decision.judgedFields) return decision;
  return { ...decision, mutations, judgedFields, missing, rejected };
}
