/**
 * What the rules of a port mean for one remote, in a form in which two sets can be compared: allowed whatever is asked,
 * denied whatever is asked, or judged by rules that look into the connection.
 */

import {
  type CompiledRule,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_PASS,
} from '../../policy/compiled/compiled_rule.ts';
import { passTargets } from '../../policy/compiled/rule_order.ts';
import type { Remote } from '../../policy/identity/remotes.ts';
import { verdictOf } from '../../policy/kernel/kernel_verdict.ts';
import { compareText } from '../../policy/labels.ts';
import { conditionsOf } from './conditions.ts';

/** `rules`: of HTTP, DNS, server names or a listener. */
export type OutcomeKind = 'allow' | 'deny' | 'rules';

export interface Outcome {
  readonly kind: OutcomeKind;
  /** Equal for outcomes that are the same whatever is asked. */
  readonly key: string;
  /** Of `rules`: what is asked for, one text each, sorted. No secrets. */
  readonly conditions: readonly string[];
}

export const DENIED: Outcome = Object.freeze({ kind: 'deny', key: 'deny', conditions: [] });
const ALLOWED: Outcome = Object.freeze({ kind: 'allow', key: 'allow', conditions: [] });

/** `rules`: those that can apply to the remote, in asking order. */
export function outcomeOf(rules: readonly CompiledRule[], remote: Remote): Outcome {
  // DNS is looked at by a listener that somebody may have, so its rules are rules.
  switch (verdictOf(rules, remote, { isDnsPlain: false, remotes: null })) {
    case 'deny':
      return DENIED;
    case 'allow':
      return ALLOWED;
    case 'redirect': {
      const asked = reachedOf(rules);
      if (isAlwaysAllowed(asked)) return ALLOWED;
      return { kind: 'rules', key: keyOf(asked), conditions: allConditions(asked) };
    }
  }
}

/** Without those behind a rule that settles everything. A pass may jump over that one, so then all may be reached. */
function reachedOf(rules: readonly CompiledRule[]): readonly CompiledRule[] {
  const settling = rules.find(isSettling);
  if (settling === undefined || rules.some(({ kind }) => kind === VERDICT_PASS)) return rules;
  // Those of its precedence may still change fields.
  return rules.filter(({ precedence }) => precedence >= settling.precedence);
}

/** Server names that only some rules look at, while another one allows the rest. */
function isAlwaysAllowed(rules: readonly CompiledRule[]): boolean {
  const isAllow = ({ kind, proxyId, l7 }: CompiledRule): boolean =>
    kind === VERDICT_ALLOW && proxyId === 0 && l7.kind === 'none';
  return rules.every(isAllow) && rules.some(isSettling);
}

function isSettling({ kind, serverNames, proxyId, l7 }: CompiledRule): boolean {
  if (serverNames.length > 0 || proxyId !== 0) return false;
  return kind === VERDICT_DENY || (kind === VERDICT_ALLOW && l7.kind === 'none');
}

function allConditions(rules: readonly CompiledRule[]): readonly string[] {
  const conditions = rules
    .filter(({ kind }) => kind === VERDICT_ALLOW)
    .flatMap((rule) => conditionsOf(rule).map(({ text }) => text));
  return [...new Set(conditions)].sort(compareText);
}

/**
 * Rules of one precedence and kind in any order, and none twice; precedences by their order, as their numbers depend on
 * what else is in a set.
 */
function keyOf(rules: readonly CompiledRule[]): string {
  const targets = passTargets(rules);
  const levels = new Map<string, Set<string>>();
  for (const [index, rule] of rules.entries()) {
    const level = `${rule.precedence} ${rule.kind}`;
    const target = rule.kind === VERDICT_PASS ? rules[targets[index] as number] : undefined;
    const passes = rule.kind === VERDICT_PASS ? ` to ${rankOf(target, rules)}` : '';
    const keys = levels.get(level) ?? new Set();
    levels.set(level, keys);
    for (const { key } of conditionsOf(rule)) keys.add(`${rule.kind}${passes} ${key}`);
  }
  return [...levels.values()].map((keys) => [...keys].sort(compareText).join('\n')).join('\n\n');
}

/** Which precedence it has, counted from the highest; all of them for none. */
function rankOf(rule: CompiledRule | undefined, rules: readonly CompiledRule[]): number {
  const precedences = [...new Set(rules.map(({ precedence }) => precedence))];
  return rule === undefined ? precedences.length : precedences.indexOf(rule.precedence);
}
