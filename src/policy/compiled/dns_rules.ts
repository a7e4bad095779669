/** `rules.dns` of one port rule after compilation. */
import type { AllowDecision, RuleRef } from '../../model/decision.ts';
import type { DnsRule } from '../ast.ts';
import type { DnsIndex } from '../match/dns_index.ts';

export interface CompiledDnsRules {
  readonly kind: 'dns';
  readonly rules: readonly CompiledDnsRule[];
  /** Numbers them as `rules` does. */
  readonly index: DnsIndex;
}

export interface CompiledDnsRule {
  readonly source: DnsRule;
  readonly ref: RuleRef;
  readonly allow: AllowDecision;
}
