/**
 * hot path
 *
 * The rules of one port range that can apply to one remote, with the index that finds them. Remotes to which
 * the same rules can apply share one, index and pattern set included.
 */
import type { ProxyId } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import type { Remote } from '../identity/remotes.ts';
import type { RegexEngine } from '../match/regex.ts';
import { type CompiledRule, VERDICT_DENY, VERDICT_PASS } from './compiled_rule.ts';
import { HttpIndex } from './http_index.ts';
import type { CompiledHttpRule } from './http_rules.ts';
import { passTargets } from './rule_order.ts';
import { isAbout } from './rule_remotes.ts';

export interface ViewKey {
  readonly proxyId: ProxyId;
  readonly remote: Remote;
}

export class ApplicableRules {
  readonly rules: readonly CompiledRule[];
  readonly passTargets: readonly number[];
  readonly hasPasses: boolean;
  readonly hasServerNames: boolean;
  /** Any is about DNS questions. */
  readonly hasDns: boolean;
  /** Any is about what another protocol says. */
  readonly hasOtherL7: boolean;
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
    this.hasDns = rules.some(({ l7 }) => l7.kind === 'dns');
    this.hasOtherL7 = rules.some(({ l7 }) => l7.kind !== 'dns' && l7.kind !== 'none');
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
      if (rule.l7.kind === 'http') for (const one of rule.l7.rules) httpRules.push(one);
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

export function canApply(rule: CompiledRule, key: ViewKey): boolean {
  if (rule.proxyId !== 0 && rule.proxyId !== key.proxyId) return false;
  return isAbout(rule, key.remote);
}

function firstUnconditional(rules: readonly CompiledRule[]): number {
  const index = rules.findIndex(({ kind, l7 }) => kind === VERDICT_DENY || l7.kind === 'none');
  return index === -1 ? rules.length : index;
}
