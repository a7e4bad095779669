/** An explanation in words. Pure: data in, lines out. */

import type { ExplainedAnswer } from '../../control/ask/judge.ts';
import { DENY_REASONS, type Decision, type RuleRef } from '../../model/decision.ts';
import { DEFAULT_ALLOW_POLICY } from '../../policy/ast.ts';
import type { Explanation } from '../../policy/explanation.ts';
import type { NearRule } from '../../policy/resolve/near_rules.ts';
import { nearLines } from './explain_near.ts';
import { placeOf, stepBlocks } from './explain_steps.ts';

type Explained = Extract<ExplainedAnswer, { kind: 'answer' }>;

/** Blocks of lines that are shown without `--all`. */
const STEPS_SHOWN_MAX = 12;
const NEAR_SHOWN_MAX = 5;
const NAMES_SHOWN_MAX = 8;

export interface ExplainTextOptions {
  /** Everything, however long. */
  readonly isAll: boolean;
  /** Nobody said which port is meant. */
  readonly isPortAssumed: boolean;
}

/** The whole trace: who, which policies, every rule in order, and what came nearest. */
export function explanationLines(answer: Explained, options: ExplainTextOptions): string[] {
  const { explanation, near } = answer;
  const lines = [verdictText(explanation.decision, near), '', ...headLines(answer, options), ''];
  const blocks = stepBlocks(explanation.steps, near, { ...options, countMax: STEPS_SHOWN_MAX });
  if (blocks.length === 0) lines.push(...withoutRules(answer));
  const shown = options.isAll ? blocks : blocks.slice(0, STEPS_SHOWN_MAX);
  lines.push(...shown.flat());
  if (shown.length < blocks.length) {
    lines.push(`... and ${blocks.length - shown.length} more rules on the port (--all)`);
  }
  if (explanation.decision.verdict === 'deny') lines.push(...nearestPart(answer, options));
  return [...lines, ...headerLines(explanation)];
}

/** One line a rule that could have allowed the request, the nearest first. */
export function nearMisses(explanation: Explanation): string[] {
  const lines = nearLines(explanation, []);
  return lines.length > 0 ? lines : [reasonText(explanation)];
}

function nearestPart({ explanation, near }: Explained, options: ExplainTextOptions): string[] {
  const lines = nearLines(explanation, near);
  if (lines.length === 0) return [];
  const shown = options.isAll ? lines : lines.slice(0, NEAR_SHOWN_MAX);
  const more = lines.length - shown.length;
  return [
    '',
    'Nearest first:',
    ...shown.map((line) => `  ${line}`),
    ...(more === 0 ? [] : [`  ... and ${more} more (--all)`]),
  ];
}

function headLines(answer: Explained, options: ExplainTextOptions): string[] {
  const { endpoint, selecting, remote, remoteLabels, defaultDeny, dryRun } = answer;
  const labels = remoteLabels.length === 0 ? 'no labels known' : remoteLabels.join(', ');
  const lines = [
    `asked     ${askedText(answer.asked, options)}`,
    endpoint.isKnown
      ? `endpoint  ${endpoint.name}`
      : 'endpoint  not known: no policy applies to it, so everything is denied',
    `policies  ${policiesText(answer)}`,
  ];
  if (answer.conflict !== null) {
    lines.push(
      `conflict  its rules exclude each other, so it is denied everything: ${answer.conflict}`,
    );
  }
  if (selecting.length > 0) lines.push(`default   ${defaultText(answer, defaultDeny)}`);
  if (dryRun !== null) {
    const { policies, decision } = dryRun;
    const isSame = decision.verdict === answer.explanation.decision.verdict;
    const then = isSame ? 'the verdict would be the same' : verdictText(decision, []);
    lines.push(`dry-run   ${namesText(policies)}: not enforced; with it: ${then}`);
  }
  if (answer.dialled !== null) {
    lines.push(`service   ${dialledText(answer.dialled)}`);
    if (!answer.dialled.isTranslated) lines.push(`          ${untranslatedText(answer.asked)}`);
  }
  lines.push(`remote    identity ${remote} (${labels})`);
  return lines;
}

function dialledText({ service, address, behind }: NonNullable<Explained['dialled']>): string {
  const each = behind.map(
    ({ identity, port, verdict }) => `identity ${identity} port ${port}: ${verdict}`,
  );
  const more = each.length > NAMES_SHOWN_MAX ? `, and ${each.length - NAMES_SHOWN_MAX} more` : '';
  return `${service} at ${address}, judged by what is behind it (${each.slice(0, NAMES_SHOWN_MAX).join(', ')}${more})`;
}

/** Of an answer about the address of a Service. */
export const HOLDS_WHERE_TRANSLATED =
  "holds with L7 rules where the address is translated at the socket (redirect.services: socket) or all backends are of the sender's node; else it is refused";

function untranslatedText({ protocol }: Explained['asked']): string {
  return protocol === 'SCTP'
    ? 'judged by its packets, as SCTP is not translated at the socket'
    : HOLDS_WHERE_TRANSLATED;
}

function askedText(asked: Explained['asked'], { isPortAssumed }: ExplainTextOptions): string {
  const { direction, protocol } = asked;
  if ('icmpType' in asked) return `${direction}, ${protocol} type ${asked.icmpType}`;
  const text = `${direction}, ${protocol} ${asked.port}`;
  return isPortAssumed ? `${text}, as no port is named (--port)` : text;
}

function policiesText({ selecting, isClosedAsEmpty }: Explained): string {
  if (isClosedAsEmpty) {
    return 'there is none at all, so everything is denied (allowEmptyPolicySet: true would allow it)';
  }
  return selecting.length === 0 ? 'none selects the endpoint' : namesText(selecting);
}

function defaultText(
  { asked: { direction } }: Explained,
  causes: Explained['defaultDeny'],
): string {
  if (causes.length === 0) return `no policy asks for default deny of ${direction}: allowed`;
  const names = [...new Set(causes.map(({ policy }) => policy))];
  const denyOnly = causes.filter(({ isDenyOnly }) => isDenyOnly).map(({ policy }) => policy);
  const text = `deny of ${direction}, switched on by ${namesText(names)}`;
  if (denyOnly.length === 0) return text;
  const whose =
    denyOnly.length === names.length
      ? 'only deny rules'
      : `${namesText(denyOnly)} has only deny rules`;
  return `${text} (${whose}: they switch it on, too, unless enableDefaultDeny says false)`;
}

function namesText(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX;
  const shown = names.slice(0, NAMES_SHOWN_MAX).join(', ');
  return more <= 0 ? shown : `${shown} and ${more} more`;
}

function withoutRules({ near, asked: { direction } }: Explained): string[] {
  if (near.length === 0) return [`No rule is about ${direction}.`];
  return near.some(({ isPortCovered }) => isPortCovered)
    ? ['The rules that name the port select no remote that is known.']
    : ['No rule covers the port.'];
}

function verdictText(decision: Decision, near: readonly NearRule[]): string {
  if (decision.verdict === 'allow') {
    return `ALLOWED${decision.rule === null ? '' : ` ${byText(decision.rule)}`}`;
  }
  const by = decision.rule === null ? '' : ` ${byText(decision.rule)}`;
  const isNamed = near.some(({ isPortCovered, verdict }) => isPortCovered && verdict === 'allow');
  const reason =
    decision.reason === 'no-port-rule' && isNamed
      ? 'the rules that name the port do not allow the remote'
      : DENY_REASONS[decision.reason];
  return `DENIED${by} (${decision.layer}): ${reason}`;
}

function byText(rule: RuleRef): string {
  return rule.policy === DEFAULT_ALLOW_POLICY
    ? 'by default: no policy that selects the endpoint asks for default deny'
    : `by ${placeOf(rule)}`;
}

function reasonText({ decision }: Explanation): string {
  if (decision.verdict === 'allow') return 'allowed';
  const by = decision.rule === null ? '' : `: ${placeOf(decision.rule)}`;
  return `${DENY_REASONS[decision.reason]}${by}`;
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
