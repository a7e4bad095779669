/**
 * The order in which the rules of one range are asked: precedence descending, and within one
 * precedence deny, allow, pass, so that a pass can jump at once (network_policy.cc sort).
 */
import { type CompiledRule, VERDICT_PASS } from './compiled_rule.ts';

export function orderRules(rules: readonly CompiledRule[]): readonly CompiledRule[] {
  return rules.toSorted(compareRules);
}

function compareRules(a: CompiledRule, b: CompiledRule): number {
  return b.precedence - a.precedence || a.kind - b.kind;
}

/** Of two ordered lists one; of rules that stand alike those of `first` come first. */
export function mergeOrdered(
  first: readonly CompiledRule[],
  second: readonly CompiledRule[],
): readonly CompiledRule[] {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  const merged: CompiledRule[] = [];
  let next = 0;
  for (const rule of first) {
    while (next < second.length && compareRules(second[next] as CompiledRule, rule) < 0) {
      merged.push(second[next++] as CompiledRule);
    }
    merged.push(rule);
  }
  while (next < second.length) merged.push(second[next++] as CompiledRule);
  return merged;
}

/** For each rule of an ordered list the index of the first one that its pass does not cover. */
export function passTargets(rules: readonly CompiledRule[]): readonly number[] {
  return rules.map((rule, index) => {
    return rule.kind === VERDICT_PASS ? firstBelow(rules, rule.passPrecedence, index + 1) : 0;
  });
}

/** Precedences descend. */
function firstBelow(rules: readonly CompiledRule[], precedence: number, from: number): number {
  let low = from;
  let high = rules.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rules[middle] as CompiledRule).precedence >= precedence) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Pass rules of one tier must agree on where it ends; null when they do. */
export function passProblem(
  rules: readonly CompiledRule[],
): { readonly rule: CompiledRule; readonly message: string } | null {
  let current = 0;
  for (const rule of rules) {
    if (rule.kind !== VERDICT_PASS) continue;
    if (current !== 0 && rule.precedence < current) current = 0;
    if (current !== 0 && rule.passPrecedence !== current) {
      return {
        rule,
        message: `PortNetworkPolicy: Inconsistent pass precedence ${rule.passPrecedence} != ${current}`,
      };
    }
    current = rule.passPrecedence;
  }
  return null;
}
