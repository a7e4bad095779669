/** The trace of a DNS question: the names and patterns that it was compared with. */
import { type CompiledRule, VERDICT_DENY } from '../../compiled/compiled_rule.ts';
import type { CompiledDnsRules } from '../../compiled/dns_rules.ts';
import type { RuleOutcome, RuleStep } from '../../explanation.ts';
import type { L7Answer, L7Trace } from '../protocol.ts';
import { dnsMatch, isDnsRedirect, isWider } from './decide.ts';

export class DnsTrace implements L7Trace {
  readonly looksAtServerName = true;
  readonly isSettledByAllow = true;
  readonly #canonical: string;
  #redirectedBy: CompiledRule | null = null;

  constructor(canonical: string) {
    this.#canonical = canonical;
  }

  skipped(rule: CompiledRule): RuleOutcome | null {
    return isWider(rule, this.#redirectedBy) ? 'wider-ports' : null;
  }

  ask(rule: CompiledRule): L7Answer {
    if (isDnsRedirect(rule)) this.#redirectedBy ??= rule;
    const isMatch = rule.kind === VERDICT_DENY || dnsMatch(rule, this.#canonical) !== null;
    const dns = rule.l7.kind === 'dns' ? namesOf(rule.l7) : [];
    return dns.length === 0
      ? { isMatch, steps: {} }
      : { isMatch, steps: { dns }, asked: this.#canonical };
  }

  withHints(steps: readonly RuleStep[]): readonly RuleStep[] {
    return steps;
  }
}

function namesOf({ rules }: CompiledDnsRules): readonly string[] {
  return rules.map(({ source }) => source.matchName ?? source.matchPattern ?? '');
}
