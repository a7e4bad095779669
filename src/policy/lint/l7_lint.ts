/** Lint of L7 rules, by protocol. */
import type { L7Protocol } from '../../model/decision.ts';
import type { L7RulesOf, L7RuleTypes } from '../ast.ts';
import type { Finding } from './finding.ts';
import { lintHttpRule } from './http_rule_lint.ts';
import { shadowedRules } from './shadowed_rules.ts';

const LINTS: { readonly [P in L7Protocol]: (rules: readonly L7RuleTypes[P][]) => Finding[] } = {
  http: (rules) => [...rules.flatMap(lintHttpRule), ...shadowedRules(rules)],
  // Names that cover less than they look like are told with those of peers (rule_lint.ts).
  dns: () => [],
};

/** Of the rules of one toPorts element. */
export function lintL7<P extends L7Protocol>(l7: L7RulesOf<P>): readonly Finding[] {
  return LINTS[l7.kind](l7.rules);
}
