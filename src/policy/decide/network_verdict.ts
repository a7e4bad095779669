/**
 * hot path
 *
 * The verdict on a connection: identity of the remote, port, listener and server name.
 */
import type { AllowDecision, DenyDecision } from '../../model/decision.ts';
import { type CompiledRule, VERDICT_ALLOW, VERDICT_DENY } from '../compiled/compiled_rule.ts';
import type { View } from '../compiled/port_rules.ts';
import { NO_POLICY_PORT } from '../compiled/port_rules.ts';
import { denyDecision } from '../compiled/ready_decisions.ts';
import { isSpent, spend } from '../match/verdict_work.ts';

const DENY_NO_POLICY = denyDecision('network', 'no-policy', null);
const DENY_NO_PORT_RULE = denyDecision('network', 'no-port-rule', null);
export const DENY_REMOTE = denyDecision('network', 'remote-not-allowed', null);
const DENY_SNI = denyDecision('network', 'sni-not-allowed', null);
const DENY_BUDGET = denyDecision('network', 'regex-budget', null);

/** The walk of PortNetworkPolicyRules::forEachRule, network form: L7 rules are not looked at. */
export function networkVerdict(view: View, serverName: string): AllowDecision | DenyDecision {
  const { rules, passTargets } = view.applicable;
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i] as CompiledRule;
    const isAccepted = acceptsServerName(rule, serverName);
    if (isSpent()) return DENY_BUDGET;
    if (!isAccepted) {
      i++;
    } else if (rule.kind === VERDICT_DENY) {
      return rule.decisions.network.deny;
    } else if (rule.kind === VERDICT_ALLOW) {
      return rule.decisions.network.allow;
    } else {
      i = passTargets[i] as number;
    }
  }
  return networkDenial(view);
}

export function acceptsServerName(rule: CompiledRule, serverName: string): boolean {
  const { serverNames } = rule;
  if (serverNames.length === 0) return true;
  if (serverName === '') return false;
  for (let i = 0; i < serverNames.length; i++) {
    const pattern = serverNames[i] as (typeof serverNames)[number];
    if (!spend(pattern.work(serverName.length))) return false;
    if (pattern.matches(serverName)) return true;
  }
  return false;
}

/** Why no rule gave a verdict, as precisely as it can be said. */
export function networkDenial(view: View): DenyDecision {
  if (view.port === NO_POLICY_PORT[view.port.direction]) return DENY_NO_POLICY;
  if (view.port.rules.length === 0) return DENY_NO_PORT_RULE;
  return view.applicable.hasServerNames ? DENY_SNI : DENY_REMOTE;
}
