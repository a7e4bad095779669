/**
 * The order in which the rules of one range are asked: precedence descending, and within one
 * precedence deny, allow, pass, so that a pass can jump at once (network_policy.cc sort).
 */
import { type CompiledRule, VERDICT_PASS } from './compiled_rule.ts';

export function orderRules(rules: readonly CompiledRule[]): readonly CompiledRule[] {
  return rules.toSorted((a, b) => b.precedence - a.precedence || a.kind - b.kind);
}

/** For each rule of an ordered list the index of the first one that its pass does not cover. */
export function passTargets(rules: readonly CompiledRule[]): readonly number[] {
  return rules.map((rule, index) => {
    if (rule.kind !== VERDICT_PASS) return 0;
    let target = index + 1;
    while (target < rules.length && precedenceAt(rules, target) >= rule.passPrecedence) target++;
    return target;
  });
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

function precedenceAt(rules: readonly CompiledRule[], index: number): number {
  return rules[index]?.precedence ?? 0;
}
