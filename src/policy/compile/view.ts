/**
 * hot path
 *
 * The rules of one port range that can apply to one remote on one listener: what a connection holds
 * until the snapshot changes. Made once, then asked for every request. Remotes to which the same
 * rules can apply share them, index and pattern set included: a new remote costs one pass over the
 * rules of the port, not one index.
 *
 *     PortRules.rules     [deny b] [allow a,c http] [allow d] [allow http]     (all remotes)
 *     View(a), View(c) →           [allow a,c http]           [allow http]     (one ApplicableRules)
 *       its index         path "/x" → HTTP rules 0, 4;  RE2 set over the other paths;  no path → 2
 */
import type { Identity, ProxyId } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import type { RegexEngine } from '../match/regex.ts';
import type { RemoteView } from '../snapshot.ts';
import {
  type CompiledHttpRule,
  type CompiledRule,
  VERDICT_DENY,
  VERDICT_PASS,
} from './compiled_rule.ts';
import { HttpIndex } from './http_index.ts';
import type { PortRules } from './port_table.ts';
import { passTargets } from './rule_order.ts';

export interface ViewKey {
  readonly proxyId: ProxyId;
  readonly remote: Identity;
}

export class View implements RemoteView {
  readonly port: PortRules;
  readonly proxyId: ProxyId;
  readonly remote: Identity;
  readonly hasHttpRules: boolean;
  readonly hasL7Rules: boolean;
  readonly applicable: ApplicableRules;
  /** False as long as it was only made ahead of time. */
  isAsked = false;

  constructor(port: PortRules, key: ViewKey, applicable: ApplicableRules) {
    this.port = port;
    this.proxyId = key.proxyId;
    this.remote = key.remote;
    this.hasHttpRules = port.hasHttpRules;
    this.hasL7Rules = port.hasHttpRules || port.hasDnsRules;
    this.applicable = applicable;
  }
}

export class ApplicableRules {
  readonly rules: readonly CompiledRule[];
  readonly passTargets: readonly number[];
  readonly hasPasses: boolean;
  readonly hasServerNames: boolean;
  /** Index of the first rule that settles every request: a deny, or an allow without L7 rules. */
  readonly firstUnconditional: number;
  /** HTTP rules of `rules[i]` are numbered from `httpStarts[i]` to before `httpStarts[i + 1]`. */
  readonly httpStarts: readonly number[];
  readonly httpRules: readonly CompiledHttpRule[];
  readonly index: HttpIndex;

  private constructor(
    rules: readonly CompiledRule[],
    http: Pick<ApplicableRules, 'httpStarts' | 'httpRules' | 'index'>,
  ) {
    this.rules = rules;
    this.passTargets = passTargets(rules);
    this.hasPasses = rules.some(({ kind }) => kind === VERDICT_PASS);
    this.hasServerNames = rules.some(({ serverNames }) => serverNames.length > 0);
    this.firstUnconditional = firstUnconditional(rules);
    this.httpStarts = http.httpStarts;
    this.httpRules = http.httpRules;
    this.index = http.index;
  }

  static *build(rules: readonly CompiledRule[], engine: RegexEngine): Steps<ApplicableRules> {
    const httpStarts: number[] = [];
    const httpRules: CompiledHttpRule[] = [];
    for (const rule of rules) {
      httpStarts.push(httpRules.length);
      for (const httpRule of rule.http ?? []) httpRules.push(httpRule);
    }
    httpStarts.push(httpRules.length);
    yield;
    const index = yield* HttpIndex.build(httpRules, engine);
    return new ApplicableRules(rules, { httpStarts, httpRules, index });
  }
}

/** Which of `rules` can apply, as a string of 16 rules a char: equal for equal selections. */
export function selectionKey(rules: readonly CompiledRule[], key: ViewKey): string {
  let text = '';
  for (let from = 0; from < rules.length; from += 16) {
    let bits = 0;
    const end = Math.min(from + 16, rules.length);
    for (let i = from; i < end; i++) {
      if (canApply(rules[i] as CompiledRule, key)) bits |= 1 << (i - from);
    }
    text += String.fromCharCode(bits);
  }
  return text;
}

/** An empty set of remotes selects nobody; no set selects everybody. */
export function canApply(rule: CompiledRule, key: ViewKey): boolean {
  if (rule.proxyId !== 0 && rule.proxyId !== key.proxyId) return false;
  return rule.remotes === null || rule.remotes.has(key.remote);
}

function firstUnconditional(rules: readonly CompiledRule[]): number {
  const index = rules.findIndex(
    ({ kind, http, dns }) => kind === VERDICT_DENY || (http === null && dns === null),
  );
  return index === -1 ? rules.length : index;
}
