/**
 * Which rules cost what: the requests by what decided them, and what one such verdict takes in this
 * process, by the engine of the proxy: medians of batches, so that neither the clock nor what else the
 * machine does is what is measured.
 */
import { decide } from '../../control/ask/judge.ts';
import type { Decision, DenyReason, Layer, RuleRef } from '../../model/decision.ts';
import { plainHead } from '../../model/request_head.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import {
  MICRO_BATCH_COUNT,
  MICRO_BATCH_MS,
  MICRO_REQUEST_COUNT_MAX,
  MICRO_TIME_MAX_MS,
  MICRO_WARM_UP_MS,
} from './bounds.ts';
import { type RuleMatch, type WrittenRule, writtenRules } from './rules.ts';
import type { JudgedRequest } from './set.ts';

/** Requests that one rule, or the lack of one, decided. */
export interface DecidedCost {
  readonly policy: string | null;
  readonly rule: string | null;
  /** Of a denial. */
  readonly reason: DenyReason | null;
  readonly verdict: 'allow' | 'deny';
  readonly layer: Layer;
  /** Requests of the file. */
  readonly hits: number;
  /** Null when there was no time left to measure it. */
  readonly verdictNs: number | null;
  /** Null when no rule that somebody wrote decided. */
  readonly match: RuleMatch | null;
}

export interface UnreachedRule {
  readonly policy: string;
  readonly rule: string;
  readonly verdict: 'allow' | 'deny' | 'pass';
  readonly match: RuleMatch;
}

export interface RuleCosts {
  /** Most hits first, of equal ones the dearest. */
  readonly decided: readonly DecidedCost[];
  readonly unreached: readonly UnreachedRule[];
  /** A request that no HTTP rule matches; null when the requests' ports have none. */
  readonly noMatchNs: number | null;
  /** Over all requests that were measured. */
  readonly meanVerdictNs: number | null;
}

export function ruleCosts(snapshot: PolicySnapshot, requests: readonly JudgedRequest[]): RuleCosts {
  const rules = writtenRules(snapshot);
  const matches = new Map(rules.map(({ ref, match }) => [ref.index, match]));
  const endMs = performance.now() + MICRO_TIME_MAX_MS;
  const groups = [...groupsOf(requests).values()].sort((a, b) => b.length - a.length);
  warmUp(requests);
  const decided = groups.map((group): DecidedCost => {
    const { decision } = group[0] as JudgedRequest;
    const { rule, reason, verdict, layer } = decision;
    return {
      policy: rule?.policy ?? null,
      rule: rule?.rule ?? null,
      reason,
      verdict,
      layer,
      hits: group.length,
      verdictNs: performance.now() < endMs ? verdictNs(group) : null,
      match: rule === null ? null : (matches.get(rule.index) ?? null),
    };
  });
  return {
    decided: decided.toSorted((a, b) => b.hits - a.hits || (b.verdictNs ?? 0) - (a.verdictNs ?? 0)),
    unreached: unreachedRules(rules, requests),
    noMatchNs: noMatchCost(decided, requests),
    meanVerdictNs: weightedMean(decided),
  };
}

function groupsOf(requests: readonly JudgedRequest[]): ReadonlyMap<string, JudgedRequest[]> {
  const groups = new Map<string, JudgedRequest[]>();
  for (const request of requests) {
    const { rule, reason } = request.decision;
    const key = `${rule?.index ?? ''} ${reason ?? ''}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [request]);
    else group.push(request);
  }
  return groups;
}

/** http[2] before http[10]. */
const byPlace = new Intl.Collator('en', { numeric: true });

function unreachedRules(
  rules: readonly WrittenRule[],
  requests: readonly JudgedRequest[],
): UnreachedRule[] {
  const reached = new Set(requests.map(({ decision }) => decision.rule?.index));
  return rules
    .filter(({ ref }: { readonly ref: RuleRef }) => !reached.has(ref.index))
    .map(({ ref, verdict, match }) => ({ policy: ref.policy, rule: ref.rule, verdict, match }))
    .sort((a, b) => byPlace.compare(a.policy, b.policy) || byPlace.compare(a.rule, b.rule));
}

/** No pattern that anybody wrote for a path of his own is meant for this one. */
const UNMATCHED_PATH = '/sallyport-bench/7f3d0c/no-rule-is-for-this';

/** Of the requests' own, or of one that is made up where they ask. */
function noMatchCost(
  decided: readonly DecidedCost[],
  requests: readonly JudgedRequest[],
): number | null {
  const own = decided.find(({ reason }) => reason === 'no-http-rule-matched');
  if (own !== undefined) return own.verdictNs;
  for (const request of requests.filter(hasHttpRules)) {
    const head = plainHead({ method: 'GET', path: UNMATCHED_PATH, authority: 'nobody.invalid' });
    const made = { ...request, asked: { ...request.asked, head } };
    const decision = decideAgain(made);
    if (decision.reason === 'no-http-rule-matched') return verdictNs([{ ...made, decision }]);
  }
  return null;
}

function hasHttpRules({ asked }: JudgedRequest): boolean {
  return asked.view.port.rules.some(({ l7 }) => l7.kind === 'http');
}

function weightedMean(decided: readonly DecidedCost[]): number | null {
  let sum = 0;
  let count = 0;
  for (const { verdictNs: ns, hits } of decided) {
    if (ns === null) continue;
    sum += ns * hits;
    count += hits;
  }
  return count === 0 ? null : sum / count;
}

/** So that the first one that is measured is not the only one that the compiler had not seen. */
function warmUp(requests: readonly JudgedRequest[]): void {
  const asked = requests.slice(0, MICRO_REQUEST_COUNT_MAX);
  const endMs = performance.now() + MICRO_WARM_UP_MS;
  while (performance.now() < endMs) batchMs(asked, 1);
}

/** The median of batches that are long enough for the clock. */
function verdictNs(requests: readonly JudgedRequest[]): number {
  const asked = requests.slice(0, MICRO_REQUEST_COUNT_MAX);
  let repeats = 1;
  // Warms up, and finds how often a batch has to ask.
  for (let ms = batchMs(asked, repeats); ms < MICRO_BATCH_MS; ms = batchMs(asked, repeats)) {
    repeats *= 2;
  }
  const batches: number[] = [];
  for (let i = 0; i < MICRO_BATCH_COUNT; i++) batches.push(batchMs(asked, repeats));
  batches.sort((a, b) => a - b);
  const median = batches[MICRO_BATCH_COUNT >> 1] as number;
  return (median * 1e6) / (repeats * asked.length);
}

function batchMs(asked: readonly JudgedRequest[], repeats: number): number {
  const startedMs = performance.now();
  for (let i = 0; i < repeats; i++) {
    for (let j = 0; j < asked.length; j++) decideAgain(asked[j] as JudgedRequest);
  }
  return performance.now() - startedMs;
}

function decideAgain({ asked, question }: JudgedRequest): Decision {
  return decide(asked.view, question, asked.head);
}
