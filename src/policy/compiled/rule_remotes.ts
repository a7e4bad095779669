/** Who a compiled rule is about: fixed remotes, any, or whom its selector selects at the moment. */
import type { Identity } from '../../model/identity.ts';
import { isSelectedBy, type Remote, type Remotes } from '../identity/remotes.ts';
import { type CompiledRule, NO_SELECTOR } from './compiled_rule.ts';

/** An empty set of remotes selects nobody; `null` selects everybody. */
export function isAbout(rule: CompiledRule, remote: Remote): boolean {
  if (rule.selector !== NO_SELECTOR) return isSelectedBy(remote, rule.selector);
  return rule.remotes === null || rule.remotes.has(remote.identity);
}

/** Null: any remote. `remotes` null: of a set whose selectors are not asked again. */
export function remotesOf(
  rule: CompiledRule,
  remotes: Remotes | null,
): ReadonlySet<Identity> | null {
  if (rule.selector === NO_SELECTOR || remotes === null) return rule.remotes;
  return remotes.membersOf(rule.selector);
}

/** False: it selects nobody, so the rule, and a port without others, is as if it were not there (Cilium leaves them out). */
export function isInUse(rule: CompiledRule, remotes: Remotes | null): boolean {
  if (rule.selector !== NO_SELECTOR && remotes !== null) return remotes.isInUse(rule.selector);
  return rule.source.selector === undefined || rule.remotes === null || rule.remotes.size > 0;
}
