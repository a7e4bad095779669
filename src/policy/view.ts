/**
 * hot path
 *
 * The rules of one port range that can apply to one remote on one listener: what a connection holds
 * until the snapshot changes. Made once, then asked for every request.
 *
 *     PortRules.rules   [deny b] [allow a,http] [allow c] [allow a,b http]      (all remotes)
 *     View(a).rules              [allow a,http]           [allow a,b http]      (what can apply to a)
 *     View(a).index     path "/x" → HTTP rules 0, 4;  RE2 set over the other paths;  no path → 2
 */
import type { Identity, ProxyId } from '../model/identity.ts';
import { type CompiledHttpRule, type CompiledRule, VERDICT_PASS } from './compiled_rule.ts';
import { HttpIndex } from './http_index.ts';
import type { PortRules } from './port_table.ts';
import type { RegexEngine } from './regex.ts';
import { passTargets } from './rule_order.ts';
import type { RemoteView } from './snapshot.ts';

export interface ViewOptions {
  readonly proxyId: ProxyId;
  readonly remote: Identity;
  readonly regexEngine: RegexEngine;
}

export class View implements RemoteView {
  readonly port: PortRules;
  readonly proxyId: ProxyId;
  readonly remote: Identity;
  readonly hasHttpRules: boolean;
  readonly rules: readonly CompiledRule[];
  readonly passTargets: readonly number[];
  readonly hasPasses: boolean;
  readonly hasServerNames: boolean;
  /** Index of the first rule that settles every request: a deny, or an allow without HTTP rules. */
  readonly firstUnconditional: number;
  /** HTTP rules of `rules[i]` are numbered from `httpStarts[i]` to before `httpStarts[i + 1]`. */
  readonly httpStarts: readonly number[];
  /** Index into `rules` of the rule that the HTTP rule of that number stands in. */
  readonly httpOwners: readonly number[];
  readonly httpRules: readonly CompiledHttpRule[];
  readonly index: HttpIndex;

  constructor(port: PortRules, options: ViewOptions) {
    this.port = port;
    this.proxyId = options.proxyId;
    this.remote = options.remote;
    this.hasHttpRules = port.hasHttpRules;
    this.rules = port.rules.filter((rule) => canApply(rule, options));
    this.passTargets = passTargets(this.rules);
    this.hasPasses = this.rules.some(({ kind }) => kind === VERDICT_PASS);
    this.hasServerNames = this.rules.some(({ serverNames }) => serverNames.length > 0);
    this.firstUnconditional = firstUnconditional(this.rules);
    const httpStarts: number[] = [];
    const httpOwners: number[] = [];
    const httpRules: CompiledHttpRule[] = [];
    this.rules.forEach((rule, owner) => {
      httpStarts.push(httpRules.length);
      for (const httpRule of rule.http ?? []) {
        httpRules.push(httpRule);
        httpOwners.push(owner);
      }
    });
    httpStarts.push(httpRules.length);
    this.httpStarts = httpStarts;
    this.httpOwners = httpOwners;
    this.httpRules = httpRules;
    this.index = new HttpIndex(httpRules, options.regexEngine);
  }
}

/** An empty set of remotes selects nobody; no set selects everybody. */
export function canApply(
  rule: CompiledRule,
  options: { readonly proxyId: ProxyId; readonly remote: Identity },
): boolean {
  if (rule.proxyId !== 0 && rule.proxyId !== options.proxyId) return false;
  return rule.remotes === null || rule.remotes.has(options.remote);
}

function firstUnconditional(rules: readonly CompiledRule[]): number {
  const index = rules.findIndex(({ kind, http }) => kind === 0 || http === null);
  return index === -1 ? rules.length : index;
}
