/** What became of the rules of the port, as blocks of lines: one for each rule that somebody wrote. */
import type { L7Protocol, RuleRef } from '../../model/decision.ts';
import { DEFAULT_ALLOW_POLICY } from '../../policy/ast.ts';
import type {
  HttpStep,
  L7Steps,
  Mismatch,
  RuleOutcome,
  RuleStep,
} from '../../policy/explanation.ts';
import { closenessOf, type NearRule } from '../../policy/resolve/near_rules.ts';

const OUTCOME_WORDS = {
  applied: 'gives the verdict',
  'no-l7-rule-matched': 'is for this remote, but none of its rules matched',
  'wider-ports':
    'names more ports: where a port has DNS rules for the remote, they alone judge names',
  'server-name': 'is for other server names',
  'passed-over': 'was passed over',
  'not-reached': 'was not asked: a rule before it gave the verdict',
  'other-listener': 'is for another listener',
  'other-remote': 'is for other remotes',
} as const satisfies Record<RuleOutcome, string>;

/** Of several steps of one rule (an entity is several selectors) the first of these is told. */
const OUTCOME_ORDER = Object.keys(OUTCOME_WORDS) as readonly RuleOutcome[];

/** As the agent calls the rule by which a host reaches its endpoints (kubelet's probes). */
const ALLOW_LOCALHOST = 'reserved:allow-localhost';

const HTTP_SHOWN_MAX = 3;
const NAMES_SHOWN_MAX = 8;

/**
 * In asking order. Where there are too many to be told, those that had a say in it come first, then those
 * that are for other remotes, the nearest first.
 */
export function stepBlocks(
  steps: readonly RuleStep[],
  near: readonly NearRule[],
  options: { readonly isAll: boolean; readonly countMax: number },
): readonly (readonly string[])[] {
  const mismatchByPlace = new Map(near.map((rule) => [keyOf(rule.origin), rule]));
  const rules = rulesOf(steps);
  const numbered = rules.map((rule, index) => ({ rule, number: index + 1 }));
  const nearOf = ({ rule }: (typeof numbered)[number]): number => {
    const near = mismatchByPlace.get(keyOf(rule.rule));
    return hadASay(rule) ? 3 : near === undefined ? 0 : closenessOf(near);
  };
  const isLong = !options.isAll && numbered.length > options.countMax;
  const inOrder = isLong ? numbered.toSorted((a, b) => nearOf(b) - nearOf(a)) : numbered;
  return inOrder.map(({ rule, number }) =>
    blockOf(rule, { number, isAll: options.isAll, near: mismatchByPlace.get(keyOf(rule.rule)) }),
  );
}

/** "ingress[0].toPorts[0] of shop/api"; a whole policy has no place in it. */
export function placeOf({ policy, rule }: Pick<RuleRef, 'policy' | 'rule'>): string {
  if (policy === DEFAULT_ALLOW_POLICY) return 'what is allowed by default';
  return rule === '' ? policy : `${rule} of ${policy}`;
}

export function httpText({ rule, matched, mismatch }: HttpStep): string {
  const place = placeOf(rule);
  if (mismatch === null) {
    return `${place}: ${matched.length === 0 ? 'any request' : matched.join(', ')} matched`;
  }
  const before = matched.length === 0 ? '' : `${matched.join(', ')} matched, `;
  return `${place}: ${before}${mismatchText(mismatch)}`;
}

/** Steps of one rule and verdict as one, where the first of them stands. */
function rulesOf(steps: readonly RuleStep[]): readonly RuleStep[] {
  const byKey = new Map<string, RuleStep>();
  for (const step of steps) {
    const key = `${step.verdict} ${keyOf(step.rule)}`;
    const known = byKey.get(key);
    if (known === undefined || rank(step) < rank(known)) byKey.set(key, step);
  }
  return [...byKey.values()];
}

function rank({ outcome }: RuleStep): number {
  return OUTCOME_ORDER.indexOf(outcome);
}

function hadASay({ outcome }: RuleStep): boolean {
  return outcome !== 'other-remote' && outcome !== 'not-reached' && outcome !== 'other-listener';
}

interface BlockOptions {
  readonly number: number;
  readonly isAll: boolean;
  readonly near: NearRule | undefined;
}

function blockOf(step: RuleStep, { number, isAll, near }: BlockOptions): string[] {
  const lines = [
    `${number}. ${step.verdict} ${placeOf(step.rule)}: ${OUTCOME_WORDS[step.outcome]}${remoteText(step, near)}`,
  ];
  for (const protocol of PROTOCOLS) {
    lines.push(...l7Lines(protocol, step, isAll).map((line) => `     ${line}`));
  }
  if (step.serverNames !== undefined)
    lines.push(`     server names: ${step.serverNames.join(', ')}`);
  return lines;
}

/** The L7 rules that were looked at, by protocol. */
const L7_LINES: {
  readonly [P in L7Protocol]: (steps: L7Steps[P], isAll: boolean) => string[];
} = { http: httpLines, dns: dnsLines };

const PROTOCOLS = Object.keys(L7_LINES) as readonly L7Protocol[];

function l7Lines<P extends L7Protocol>(protocol: P, steps: L7Steps, isAll: boolean): string[] {
  return L7_LINES[protocol](steps[protocol], isAll);
}

function httpLines(steps: readonly HttpStep[], isAll: boolean): string[] {
  const shown = isAll ? steps : nearest(steps).slice(0, HTTP_SHOWN_MAX);
  const more = steps.length - shown.length;
  const lines = shown.map(httpText);
  return more === 0
    ? lines
    : [...lines, `... and ${more} more HTTP rules that did not match (--all)`];
}

function dnsLines(names: readonly string[], isAll: boolean): string[] {
  if (names.length === 0) return [];
  const shown = isAll ? names : names.slice(0, NAMES_SHOWN_MAX);
  const more = names.length - shown.length;
  return [`names: ${shown.join(', ')}${more > 0 ? ` and ${more} more (--all)` : ''}`];
}

function remoteText(step: RuleStep, near: NearRule | undefined): string {
  const { outcome } = step;
  if (outcome === 'other-remote' && step.rule.policy === ALLOW_LOCALHOST) {
    return ': it is for the host alone';
  }
  const first = near?.peers[0];
  if (outcome !== 'other-remote' || first === undefined) return '';
  const more = (near?.peers.length ?? 1) - 1;
  return `: ${first.because}${more > 0 ? `; or ${more} others` : ''}`;
}

/** What matched, and then what came nearest. */
function nearest(http: readonly HttpStep[]): readonly HttpStep[] {
  return http.toSorted((a, b) => b.nearness - a.nearness);
}

/** `method GET is not POST`, in the terms of what was expected. */
function mismatchText({ what, expected, found, hint }: Mismatch): string {
  if (found === null) return `${what} is absent (expected: ${expected})`;
  const text = found.length > 80 ? `${found.slice(0, 77)}...` : found;
  const but = hint === undefined ? '' : ` (${hint})`;
  const exact = /^is "(.*)"$/.exec(expected)?.[1];
  if (exact !== undefined) return `${what} ${text} is not ${exact}${but}`;
  const pattern = /^matches "(.*)"$/.exec(expected)?.[1];
  if (pattern !== undefined) return `${what} ${text} does not match ${pattern}${but}`;
  return `${what} ${text} (expected: ${expected})${but}`;
}

function keyOf({ policy, rule }: Pick<RuleRef, 'policy' | 'rule'>): string {
  return `${policy}\n${rule}`;
}
