/**
 * HTTP rules of one list that add nothing: a rule whose conditions are a superset of another's allows
 * only what the other one does. Each rule looks itself up under what could shadow it, so that a list
 * of thousands costs what its length says.
 */
import type { HttpRule } from '../ast.ts';
import { matcherKey } from '../match/matcher_key.ts';
import { type Finding, finding } from './finding.ts';
import { subsets } from './subsets.ts';

export function shadowedRules(rules: readonly HttpRule[]): Finding[] {
  const keyed = rules.map((rule) => ({ rule, conditions: conditionsOf(rule) }));
  const firstByKey = new Map<string, HttpRule>();
  for (const { rule, conditions } of keyed) {
    const key = conditions.join('\n');
    if (rule.headerMatches.length === 0 && !firstByKey.has(key)) firstByKey.set(key, rule);
  }
  return keyed.flatMap(({ rule, conditions }) => {
    if (rule.headerMatches.length > 0) return [];
    const by = subsets(conditions)
      .map((subset) => firstByKey.get(subset.join('\n')))
      .find((one) => one !== undefined && one !== rule);
    if (by === undefined) return [];
    const message = `adds nothing: ${by.origin.rule} already allows all that it allows`;
    return [finding('shadowed', rule.origin, { message })];
  });
}

/** Sorted, without repetition. A pattern that matches everything is no condition. */
function conditionsOf(rule: HttpRule): readonly string[] {
  const conditions = rule.matchers
    .filter(({ value }) => value.kind !== 'regex' || !isEverything(value.pattern))
    .map(matcherKey);
  return [...new Set(conditions)].sort();
}

function isEverything(pattern: string): boolean {
  return /^\^?\/?\.\*\$?$/.test(pattern);
}
