/** `rules.dns`. */
import type { Steps } from '../../../model/steps.ts';
import type { DnsRule } from '../../ast.ts';
import type { CompiledDnsRules } from '../../compiled/dns_rules.ts';
import type { View } from '../../compiled/port_rules.ts';
import { allowDecision } from '../../compiled/ready_decisions.ts';
import { DnsIndex } from '../../match/dns_index.ts';
import { canonicalName } from '../../match/fqdn_pattern.ts';
import type { L7CompileContext, L7Engine } from '../protocol.ts';
import { dnsVerdict } from './decide.ts';
import { DnsTrace } from './explain.ts';

export const DNS = {
  compile: compileDnsRules,
  decide: dnsVerdict,
  explain: (_view: View, name: string) => new DnsTrace(canonicalName(name)),
  print: printDnsRules,
} satisfies L7Engine<'dns'>;

function* compileDnsRules(
  sources: readonly DnsRule[],
  context: L7CompileContext,
): Steps<CompiledDnsRules> {
  const rules = sources.map((source) => {
    const ref = context.refOf(source.origin);
    return { source, ref, allow: allowDecision('dns', ref) };
  });
  yield;
  return { kind: 'dns', rules, index: new DnsIndex(sources) };
}

function printDnsRules({ rules }: CompiledDnsRules): readonly string[] {
  return rules.map(({ source }) => {
    const names = [source.matchName, source.matchPattern].filter((name) => name !== null);
    return `dns ${names.join(' or ')}`;
  });
}
