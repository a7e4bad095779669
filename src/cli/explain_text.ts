/** An explanation in words. Pure: data in, lines out. */

import type { ExplainedAnswer } from '../control/judge.ts';
import { DENY_REASONS, type RuleRef } from '../model/decision.ts';
import type { Explanation, HttpStep, Mismatch, RuleOutcome, RuleStep } from '../policy/explain.ts';

type Explained = Extract<ExplainedAnswer, { kind: 'answer' }>;

const OUTCOME_WORDS = {
  applied: 'gives the verdict',
  'no-l7-rule-matched': 'is for this remote, but none of its rules matched',
  'other-remote': 'is for other remotes',
  'other-listener': 'is for another listener',
  'wider-ports':
    'names more ports: where a port has DNS rules for the remote, they alone judge names',
  'server-name': 'is for other server names',
  'not-reached': 'was not asked: a rule before it gave the verdict',
  'passed-over': 'was passed over',
} as const satisfies Record<RuleOutcome, string>;

/** The whole trace: who, which policies, every rule in order. */
export function explanationLines(answer: Explained): string[] {
  const { explanation, endpoint, selecting, remote, remoteLabels } = answer;
  const labels = remoteLabels.length === 0 ? 'no labels known' : remoteLabels.join(', ');
  const lines = [
    verdictText(explanation),
    '',
    endpoint.isKnown
      ? `endpoint  ${endpoint.name}`
      : 'endpoint  not known: no policy applies to it, so everything is denied',
    `policies  ${selecting.length === 0 ? 'none selects the endpoint' : selecting.join(', ')}`,
    `remote    identity ${remote} (${labels})`,
    '',
  ];
  if (explanation.steps.length === 0) lines.push('No rule covers the port.');
  explanation.steps.forEach((step, index) => {
    lines.push(...stepLines(step, index + 1));
  });
  const near = nearMisses(explanation);
  if (explanation.decision.verdict === 'deny' && near.length > 0) {
    lines.push('', 'Nearest first:', ...near.map((line) => `  ${line}`));
  }
  return [...lines, ...headerLines(explanation)];
}

/** One line a rule that could have allowed the request, the nearest first. */
export function nearMisses(explanation: Explanation): string[] {
  const steps = explanation.steps.flatMap(({ http, verdict }) => (verdict === 'deny' ? [] : http));
  const missed = steps.filter(({ isMatch }) => !isMatch);
  const lines = missed.toSorted((a, b) => b.nearness - a.nearness).map(httpText);
  return lines.length > 0 ? lines : [reasonText(explanation)];
}

/** "ingress[0].toPorts[0] of shop/api"; a whole policy has no place in it. */
function placeOf({ policy, rule }: RuleRef): string {
  return rule === '' ? policy : `${rule} of ${policy}`;
}

function verdictText({ decision }: Explanation): string {
  const by = decision.rule === null ? '' : ` by ${placeOf(decision.rule)}`;
  if (decision.verdict === 'allow') return `ALLOWED${by}`;
  return `DENIED${by} (${decision.layer}): ${DENY_REASONS[decision.reason]}`;
}

function reasonText({ decision }: Explanation): string {
  if (decision.verdict === 'allow') return 'allowed';
  const by = decision.rule === null ? '' : `: ${placeOf(decision.rule)}`;
  return `${DENY_REASONS[decision.reason]}${by}`;
}

function stepLines(step: RuleStep, number: number): string[] {
  const { rule } = step;
  const lines = [`${number}. ${step.verdict} ${placeOf(rule)}: ${OUTCOME_WORDS[step.outcome]}`];
  lines.push(...step.http.map((http) => `     ${httpText(http)}`));
  if (step.dns.length > 0) lines.push(`     names: ${step.dns.join(', ')}`);
  return lines;
}

function httpText({ rule, matched, mismatch }: HttpStep): string {
  const place = placeOf(rule);
  if (mismatch === null) {
    return `${place}: ${matched.length === 0 ? 'any request' : matched.join(', ')} matched`;
  }
  const before = matched.length === 0 ? '' : `${matched.join(', ')} matched, `;
  return `${place}: ${before}${mismatchText(mismatch)}`;
}

/** `method GET is not POST`, in the terms of what was expected. */
function mismatchText({ what, expected, found }: Mismatch): string {
  if (found === null) return `${what} is absent (expected: ${expected})`;
  const text = found.length > 80 ? `${found.slice(0, 77)}...` : found;
  const exact = /^is "(.*)"$/.exec(expected)?.[1];
  if (exact !== undefined) return `${what} ${text} is not ${exact}`;
  const pattern = /^matches "(.*)"$/.exec(expected)?.[1];
  if (pattern !== undefined) return `${what} ${text} does not match ${pattern}`;
  return `${what} ${text} (expected: ${expected})`;
}

function headerLines({ decision }: Explanation): string[] {
  const lines: string[] = [];
  for (const { kind, name, value } of decision.verdict === 'allow' ? decision.mutations : []) {
    lines.push(`header ${kind}: ${name}${kind === 'delete' ? '' : `: ${value}`}`);
  }
  for (const [name, value] of decision.missing) lines.push(`missing header: ${name}: ${value}`);
  for (const [name, value] of decision.rejected) lines.push(`rejected header: ${name}: ${value}`);
  return lines.length === 0 ? [] : ['', ...lines];
}
