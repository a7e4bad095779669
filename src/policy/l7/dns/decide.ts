/** The verdict on a DNS question (rules.dns; cilium-agent's DNS proxy). */
import type { AllowDecision, Decision } from '../../../model/decision.ts';
import { type CompiledRule, VERDICT_ALLOW, VERDICT_DENY } from '../../compiled/compiled_rule.ts';
import type { View } from '../../compiled/port_rules.ts';
import { denyDecision } from '../../compiled/ready_decisions.ts';
import { canonicalName } from '../../match/fqdn_pattern.ts';
import { isSpent } from '../../match/verdict_work.ts';

const DENY_NO_DNS_RULE = denyDecision('dns', 'no-dns-rule-matched', null);
const DENY_BUDGET = denyDecision('dns', 'regex-budget', null);

/**
 * The first verdict wins; a rule without L7 rules allows every name. Where a port has DNS rules for the remote the
 * question goes to the DNS proxy, which knows of that port's rules only: one that names all ports, or a range, lets
 * no name through then (pkg/fqdn/dnsproxy asks one L4Filter).
 */
export function dnsVerdict(view: View, name: string): Decision | null {
  const { rules, passTargets } = view.applicable;
  const canonical = canonicalName(name);
  let redirectedBy: CompiledRule | null = null;
  let isAllowedSomewhere = false;
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i] as CompiledRule;
    // A question comes without a server name: a rule that asks for one does not apply.
    const isAsked = rule.serverNames.length === 0 && !isWider(rule, redirectedBy);
    if (isAsked && rule.kind === VERDICT_DENY) return rule.decisions.dns.deny;
    const decision = isAsked ? dnsMatch(rule, canonical) : null;
    if (isSpent()) return DENY_BUDGET;
    isAllowedSomewhere ||= isAsked && rule.kind === VERDICT_ALLOW;
    if (isAsked && isDnsRedirect(rule)) redirectedBy ??= rule;
    if (decision === null) i++;
    else if (rule.kind === VERDICT_ALLOW) return decision;
    else i = passTargets[i] as number;
  }
  return isAllowedSomewhere ? DENY_NO_DNS_RULE : null;
}

/** True for a rule that sends questions to the DNS proxy. */
export function isDnsRedirect(rule: CompiledRule): boolean {
  return rule.l7.kind === 'dns' && rule.kind === VERDICT_ALLOW;
}

/** True when the DNS proxy, which asks by `redirectedBy`, does not know of the rule. */
export function isWider(rule: CompiledRule, redirectedBy: CompiledRule | null): boolean {
  if (redirectedBy === null || rule.kind === VERDICT_DENY) return false;
  return rule.ports !== redirectedBy.ports;
}

/**
 * Null: the rule does not match. Rules of another protocol say nothing of DNS, so such a rule matches no name.
 * `canonical`: as `canonicalName` gives it.
 */
export function dnsMatch({ l7, decisions }: CompiledRule, canonical: string): AllowDecision | null {
  if (l7.kind === 'none') return decisions.dns.allow;
  if (l7.kind !== 'dns') return null;
  const found = l7.index.match(canonical);
  return found === -1 ? null : (l7.rules[found]?.allow ?? null);
}
