/** Which rules came nearest to an allow, and what little or much each of them lacked. */

import type { Explanation, HttpStep, RuleStep } from '../../policy/explanation.ts';
import { dnsNearness } from '../../policy/match/dns_nearness.ts';
import { closenessOf, type NearRule } from '../../policy/resolve/near_rules.ts';
import { httpText, placeOf } from './explain_steps.ts';

/** One line a rule, the nearest first; none when nothing was near. */
export function nearLines(explanation: Explanation, near: readonly NearRule[]): string[] {
  const { decision, steps } = explanation;
  const allows = steps.filter(({ verdict }) => verdict !== 'deny');
  if (decision.verdict === 'deny' && decision.reason === 'denied-by-rule') return [];
  switch (decision.layer) {
    case 'http':
      return httpLines(allows);
    case 'dns':
      return [...dnsLines(allows), ...connectionLines(near)];
    case 'network':
      return [...serverNameLines(allows), ...connectionLines(near)];
  }
}

function httpLines(steps: readonly RuleStep[]): string[] {
  return steps
    .flatMap(({ http }) => http.filter(({ isMatch }) => !isMatch))
    .map((step) => ({ step, common: commonBeginning(step) }))
    .sort((a, b) => b.step.nearness - a.step.nearness || b.common - a.common)
    .map(({ step }) => httpText(step));
}

/** Of rules that are as near as each other the one whose pattern begins as the value does. */
function commonBeginning({ mismatch }: HttpStep): number {
  if (mismatch === null || mismatch.found === null) return 0;
  const wanted = /"(.*)"$/.exec(mismatch.expected)?.[1] ?? '';
  let count = 0;
  while (count < wanted.length && wanted[count] === mismatch.found[count]) count++;
  return count;
}

function dnsLines(steps: readonly RuleStep[]): string[] {
  return steps
    .flatMap(({ rule, dns, asked, outcome }) =>
      outcome === 'no-l7-rule-matched' && asked !== undefined
        ? dns.map((name) => ({ rule, name, ...dnsNearness(name, asked) }))
        : [],
    )
    .sort((a, b) => b.nearness - a.nearness)
    .map(
      ({ rule, name, hint }) =>
        `${placeOf(rule)}: the name is not ${name}${hint === null ? '' : ` (${hint})`}`,
    );
}

function serverNameLines(steps: readonly RuleStep[]): string[] {
  return steps.flatMap(({ rule, outcome, serverNames, asked }) =>
    outcome === 'server-name'
      ? [
          `${placeOf(rule)}: allows this remote with the server name ${(serverNames ?? []).join(', ')}; ${asked === undefined || asked === '' ? 'the connection has none' : `found ${asked}`}`,
        ]
      : [],
  );
}

/** Rules that lack the port, the remote or both. */
function connectionLines(near: readonly NearRule[]): string[] {
  return near
    .filter(({ verdict, isPortCovered, isRemoteSelected }) => {
      return verdict === 'allow' && !(isPortCovered && isRemoteSelected);
    })
    .map((rule) => ({ rule, closeness: closenessOf(rule) }))
    .sort((a, b) => b.closeness - a.closeness)
    .map(({ rule }) => connectionText(rule));
}

function connectionText(rule: NearRule): string {
  const { origin, ports, isPortCovered, isRemoteSelected } = rule;
  const place = placeOf(origin);
  if (isRemoteSelected) return `${place}: is for this remote, but on ${ports}`;
  const wanted = wantedText(rule);
  return isPortCovered
    ? `${place}: covers the port (${ports}), but ${wanted}`
    : `${place}: is for ${ports}, and ${wanted}`;
}

function wantedText({ peers }: NearRule): string {
  const [first] = peers;
  if (first === undefined) return 'its list of peers is empty and selects nobody';
  const more = peers.length - 1;
  return `wants ${first.because}${more > 0 ? ` (and ${more} peers that are further off)` : ''}`;
}
