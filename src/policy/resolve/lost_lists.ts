/**
 * Lists of L7 rules that Cilium's agent loses. It merges the lists of one port and selector one after the other
 * (rule.go mergePortProto), and passes over a list that equals what it has so far. It compares lists without their
 * order (`PortRulesHTTP.DeepEqual` and `PortRulesDNS.DeepEqual` of 1.19, generated): equal are two of one length when
 * each rule of the first stands in the second. A rule that stands twice in the first makes room in the second:
 *
 *     http: [{ method: POST }, { method: POST }]
 *     http: [{ method: POST }, { path: /public }]      passed over: nobody gets /public
 *
 * The agent enforces that, so it is enforced here, and told. In the other order nothing is lost.
 */
import type { DnsRule, HttpRule, L7Rules, RuleOrigin } from '../ast.ts';
import type { Piece } from './piece.ts';

export interface LostList {
  readonly piece: Piece;
  /** Of the list that has a rule twice. */
  readonly by: RuleOrigin;
}

/** `pieces`: what one port and selector is allowed, in the order of their origins. */
export function lostLists(pieces: readonly Piece[]): readonly LostList[] {
  if (pieces.length === 1) return [];
  const [first, ...others] = inAgentOrder(pieces) as [Piece, ...Piece[]];
  // What is merged into a list is added once, so only the list that begins it can have a rule twice.
  const beginning = first.l7.kind !== 'none' ? first : others.find(({ l7 }) => l7.kind !== 'none');
  if (beginning === undefined || !hasRepetition(beginning.l7)) return [];
  const merged = new MergedList(first);
  return others
    .filter((piece) => merged.passesOver(piece))
    .map((piece) => ({ piece, by: beginning.origin }));
}

/** What two equal rules have in common, and no others. */
export function httpRuleKey(rule: HttpRule): string {
  return keyed(rule, () => JSON.stringify([rule.matchers, rule.headerMatches], bigintsAsText));
}

export function dnsRuleKey(rule: DnsRule): string {
  return keyed(rule, () => JSON.stringify([rule.matchName, rule.matchPattern]));
}

/** Kept for each rule: it stands in as many pieces as its element has ports and selectors. */
const ruleKeys = new WeakMap<HttpRule | DnsRule, string>();

function keyed(rule: HttpRule | DnsRule, make: () => string): string {
  let key = ruleKeys.get(rule);
  if (key === undefined) {
    key = make();
    ruleKeys.set(rule, key);
  }
  return key;
}

/** What two rules have in common that the agent takes for one: it compares what was written. */
function agentRuleKey(rule: HttpRule): string {
  return rule.spelling === undefined ? httpRuleKey(rule) : `${httpRuleKey(rule)} ${rule.spelling}`;
}

function bigintsAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** By resource (`ccnp//name` before `cnp/namespace/name`), then by place. */
function inAgentOrder(pieces: readonly Piece[]): readonly Piece[] {
  const isClusterwide = ({ origin }: Piece): boolean => !origin.policy.includes('/');
  return [...pieces.filter(isClusterwide), ...pieces.filter((piece) => !isClusterwide(piece))];
}

/** What the agent has of one port and selector after some of its pieces. */
class MergedList {
  #kind: L7Rules['kind'];
  readonly #keys: Set<string>;
  /** Of its rules, those that stand twice included. */
  #count: number;
  readonly #serverNames: Set<string>;
  #isTlsTerminated: boolean;
  #isTlsOriginated: boolean;

  constructor(first: Piece) {
    const { count, keys } = listOf(first.l7);
    this.#kind = first.l7.kind;
    this.#keys = new Set(keys);
    this.#count = count;
    this.#serverNames = new Set(first.serverNames);
    this.#isTlsTerminated = first.isTlsTerminated;
    this.#isTlsOriginated = first.isTlsOriginated;
  }

  /** True: the agent takes the piece for the same, and it has rules that are lost so. Else they are merged. */
  passesOver(piece: Piece): boolean {
    const { count, keys } = listOf(piece.l7);
    if (count === this.#count && this.#isSame(piece, keys)) return keys.size > this.#keys.size;
    if (this.#kind === 'none') this.#take(piece.l7);
    else if (piece.l7.kind === 'none') this.#add(WILDCARD_KEYS[this.#kind]);
    else for (const key of keys) this.#add(key);
    for (const name of piece.serverNames) this.#serverNames.add(name);
    this.#isTlsTerminated ||= piece.isTlsTerminated;
    this.#isTlsOriginated ||= piece.isTlsOriginated;
    return false;
  }

  /** A piece with a list has no listener, so none is compared. */
  #isSame(piece: Piece, keys: ReadonlySet<string>): boolean {
    const names = new Set(piece.serverNames);
    return (
      piece.l7.kind === this.#kind &&
      piece.isTlsTerminated === this.#isTlsTerminated &&
      piece.isTlsOriginated === this.#isTlsOriginated &&
      this.#serverNames.size === names.size &&
      this.#serverNames.isSubsetOf(names) &&
      this.#keys.isSubsetOf(keys)
    );
  }

  /** The first list beside pieces without one, which allow everything. */
  #take(l7: L7Rules): void {
    if (l7.kind === 'none') return;
    const { count, keys } = listOf(l7);
    this.#kind = l7.kind;
    this.#count = count;
    for (const key of keys) this.#keys.add(key);
    this.#add(WILDCARD_KEYS[l7.kind]);
  }

  #add(key: string): void {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    this.#count++;
  }
}

/** Of what the agent adds to a list beside a piece without one. */
const WILDCARD_KEYS = {
  http: JSON.stringify([[], []]),
  dns: JSON.stringify([null, '*']),
} as const satisfies Record<Exclude<L7Rules['kind'], 'none'>, string>;

interface List {
  readonly count: number;
  readonly keys: ReadonlySet<string>;
}

const NO_LIST: List = { count: 0, keys: new Set() };

/** Kept for each list, as pieces share them. */
const lists = new WeakMap<L7Rules, List>();

function listOf(l7: L7Rules): List {
  if (l7.kind === 'none') return NO_LIST;
  let list = lists.get(l7);
  if (list === undefined) {
    const keys = l7.kind === 'http' ? l7.rules.map(agentRuleKey) : l7.rules.map(dnsRuleKey);
    list = { count: keys.length, keys: new Set(keys) };
    lists.set(l7, list);
  }
  return list;
}

function hasRepetition(l7: L7Rules): boolean {
  const { count, keys } = listOf(l7);
  return count > keys.size;
}
