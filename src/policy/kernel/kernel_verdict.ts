/**
 * What a kernel does with a connection to one range of ports, by the remote's identity:
 *
 *     deny      the engine denies it whatever it says of itself
 *     allow     the engine allows it and every request on it, and changes nothing: nobody has to look
 *     redirect  it depends on the server name, the requests or the listener: the proxy has to look
 *
 * It is asked for each remote, as an entry of Cilium's policy map is: a remote to which only rules
 * without L7 apply is not redirected, although others on the port are. (`View.hasL7Rules` speaks of
 * the whole port: a connection that was redirected may become such a remote's by a policy change, and the
 * proxy then still refuses bytes that it cannot read. What never came to the proxy is none of its business.)
 */
import {
  IDENTITY_WORLD,
  type Identity,
  LOCAL_IDENTITY_FLAG,
  RESERVED_IDENTITIES,
} from '../../model/identity.ts';
import {
  type CompiledRule,
  hasHeaderMatches,
  NO_SELECTOR,
  VERDICT_ALLOW,
  VERDICT_PASS,
} from '../compiled/compiled_rule.ts';
import { passTargets } from '../compiled/rule_order.ts';
import { isAbout, remotesOf } from '../compiled/rule_remotes.ts';
import type { Remote, Remotes } from '../identity/remotes.ts';

export type KernelVerdict = 'deny' | 'allow' | 'redirect';

export interface RangeVerdicts {
  /** For every identity that no rule names. */
  readonly verdict: KernelVerdict;
  /** Those that get another one. */
  readonly exceptions: ReadonlyMap<Identity, KernelVerdict>;
}

export interface VerdictOptions {
  /** DNS rules count as no L7 rules. */
  readonly isDnsPlain: boolean;
  /** Who the selectors of rules select; null: rules are about those that they were made with. */
  readonly remotes: Remotes | null;
  /** The proxy is asked about addresses whose names the kernel is not told (`toFQDNs`); absent: it is not. */
  readonly areNamesAsked?: boolean;
}

/** `rules` in asking order. */
export function verdictsOf(rules: readonly CompiledRule[], options: VerdictOptions): RangeVerdicts {
  // Each identity is asked the rules that can concern it, not all: ports can have a thousand rules of one remote each.
  const forAll: number[] = [];
  const named = new Map<Identity, number[]>();
  for (const [index, rule] of rules.entries()) {
    const remotes = remotesOf(rule, options.remotes);
    if (remotes === null) forAll.push(index);
    for (const identity of remotes ?? []) {
      const known = named.get(identity);
      if (known === undefined) named.set(identity, [index]);
      else known.push(index);
    }
  }
  // Remotes to which the same rules apply have one verdict: there are far fewer of those sets.
  const bySelection = new Map<string, KernelVerdict>();
  const verdictFor = (own: readonly number[]): KernelVerdict => {
    const key = own.join(' ');
    const known = bySelection.get(key);
    if (known !== undefined) return known;
    const indexes = [...forAll, ...own].sort((a, b) => a - b);
    const applicable = indexes.map((index) => rules[index] as CompiledRule);
    const verdict = connectionVerdict(applicable, options);
    bySelection.set(key, verdict);
    return verdict;
  };
  const verdict = verdictFor([]);
  const exceptions = new Map<Identity, KernelVerdict>();
  for (const [identity, indexes] of named) {
    const own = verdictFor(indexes);
    if (own !== verdict) exceptions.set(identity, own);
  }
  const byName = options.areNamesAsked === true ? rulesByName(rules, options.remotes) : [];
  for (const identity of byName.length === 0 ? [] : worldly(options.remotes)) {
    const indexes = named.get(identity) ?? [];
    const own = verdictFor(indexes);
    const ifNamed = verdictFor([...new Set([...indexes, ...byName])]);
    // Such rules only allow more.
    const asked = own === 'allow' || own === ifNamed ? own : 'redirect';
    if (asked === verdict) exceptions.delete(identity);
    else exceptions.set(identity, asked);
  }
  return { verdict, exceptions };
}

/** Indexes of those that are about whoever has a name. */
export function rulesByName(
  rules: readonly CompiledRule[],
  remotes: Remotes | null,
): readonly number[] {
  return rules.flatMap(({ selector }, index) =>
    selector !== NO_SELECTOR && remotes?.selectors.isByName(selector) === true ? [index] : [],
  );
}

/** Those that addresses of a name have when nobody knows the name. */
function worldly(remotes: Remotes | null): readonly Identity[] {
  const prefixes = (remotes?.identities() ?? []).filter(
    (identity) => (identity & LOCAL_IDENTITY_FLAG) !== 0,
  );
  return [...WORLDS, ...prefixes];
}

const WORLDS = [
  IDENTITY_WORLD,
  RESERVED_IDENTITIES['world-ipv4'] as Identity,
  RESERVED_IDENTITIES['world-ipv6'] as Identity,
];

/** The one verdict of an identity, as `verdictsOf` has it. */
export function verdictOf(
  rules: readonly CompiledRule[],
  remote: Remote,
  options: VerdictOptions,
): KernelVerdict {
  const applicable = rules.filter((rule) => isAbout(rule, remote));
  return connectionVerdict(applicable, options);
}

/**
 * The engine's walk (`networkVerdict`, `httpVerdict`) along every way that it can take for any server
 * name, listener and request: is there an allow at all, and does a rule on the way look at more than
 * addresses and ports?
 */
function connectionVerdict(rules: readonly CompiledRule[], options: VerdictOptions): KernelVerdict {
  const targets = passTargets(rules);
  const isReached = new Array<boolean>(rules.length + 1).fill(false);
  isReached[0] = true;
  let mayAllow = false;
  let isConditional = false;
  for (const [index, rule] of rules.entries()) {
    if (isReached[index] !== true) continue;
    // Server name and listener: for some connections the rule is not there.
    const isSure = rule.serverNames.length === 0 && rule.proxyId === 0;
    const hasL7 = rule.l7.kind === 'dns' ? !options.isDnsPlain : rule.l7.kind !== 'none';
    const isPass = rule.kind === VERDICT_PASS;
    if (rule.kind === VERDICT_ALLOW) mayAllow = true;
    if (isPass) isReached[targets[index] as number] = true;
    // A deny rule denies without looking at its L7 rules.
    if (!isSure || (hasL7 && (isPass || rule.kind === VERDICT_ALLOW))) {
      isConditional = true;
      isReached[index + 1] = true;
    } else if (rule.kind === VERDICT_ALLOW && hasHeaderActionsBeside(rules, index)) {
      isConditional = true;
    }
  }
  if (!mayAllow) return 'deny';
  return isConditional ? 'redirect' : 'allow';
}

/** All header actions of the winning precedence are run, also those of rules behind the winner. */
function hasHeaderActionsBeside(rules: readonly CompiledRule[], index: number): boolean {
  const { precedence } = rules[index] as CompiledRule;
  return rules.some(
    (rule, at) => at > index && rule.precedence === precedence && hasHeaderMatches(rule),
  );
}
