/**
 * Merging pieces of the same port, protocol, level and selector into one, as rule.go mergePortProto
 * does: deny beats allow beats pass, two allows merge, parsers must agree. Never across selectors:
 * that an unrestricted allow for one selector opened the L7 rules of others was CVE-2023-30851.
 */
import { type DnsRule, type HttpRule, type L7Rules, NO_L7, type RuleOrigin } from '../ast.ts';
import { compareText } from '../labels.ts';
import { dnsRuleKey, httpRuleKey, type LostList, lostLists } from './lost_lists.ts';
import { type Piece, parserOf } from './piece.ts';
import type { RedirectKind } from './precedence.ts';

export interface MergeConflict {
  readonly message: string;
  readonly origins: readonly [RuleOrigin, RuleOrigin];
}

export class MergeError extends Error {
  readonly conflict: MergeConflict;

  constructor(conflict: MergeConflict) {
    super(conflict.message);
    this.conflict = conflict;
  }
}

export interface MergedPieces {
  /** One for each `mergeKey`. */
  readonly pieces: readonly Piece[];
  readonly lost: readonly LostList[];
}

/** Throws MergeError when two cannot be merged. */
export function mergePieces(pieces: readonly Piece[]): MergedPieces {
  const groups = new Map<string, Piece[]>();
  // Sorted by origin, so that the order of documents does not show in the outcome, and that of rules only where
  // the agent loses a list.
  for (const piece of [...pieces].sort((a, b) => compareOrigins(a.origin, b.origin))) {
    const group = groups.get(piece.mergeKey);
    if (group === undefined) groups.set(piece.mergeKey, [piece]);
    else group.push(piece);
  }
  const lost: LostList[] = [];
  return { pieces: [...groups.values()].map((group) => mergeGroup(group, lost)), lost };
}

/** An L7 rule that allows everything there is: {} of rules.http, "*" of rules.dns. */
export function withL7Wildcard(l7: L7Rules, origin: RuleOrigin): L7Rules {
  switch (l7.kind) {
    case 'none':
      return l7;
    case 'http':
      return { kind: 'http', rules: uniqueHttpRules([...l7.rules, anyHttpRule(origin)]) };
    case 'dns':
      return {
        kind: 'dns',
        rules: uniqueDnsRules([...l7.rules, { origin, matchName: null, matchPattern: '*' }]),
      };
  }
}

export function anyHttpRule(origin: RuleOrigin): HttpRule {
  return { origin, matchers: [], headerMatches: [] };
}

/** Policy, then the place in it with numbers by value: `http[2]` before `http[10]`. */
export function compareOrigins(a: RuleOrigin, b: RuleOrigin): number {
  return compareText(a.policy, b.policy) || compareText(paddedRule(a), paddedRule(b));
}

/** Kept for each origin: sorting asks for it again and again. */
const paddedRules = new WeakMap<RuleOrigin, string>();

function paddedRule(origin: RuleOrigin): string {
  let padded = paddedRules.get(origin);
  if (padded === undefined) {
    padded = origin.rule.replaceAll(/[0-9]+/g, (digits) => digits.padStart(8, '0'));
    paddedRules.set(origin, padded);
  }
  return padded;
}

/** Adds the lists that it leaves out to `lost`. */
function mergeGroup(group: readonly Piece[], lost: LostList[]): Piece {
  const action = (['deny', 'allow'] as const).find((one) => group.some((p) => p.action === one));
  const winners = group.filter((piece) => piece.action === (action ?? 'pass'));
  const [first, ...others] = winners as [Piece, ...Piece[]];
  if (action !== 'allow') return { ...first, l7: joinL7([first]) };
  const merged = others.reduce(mergeAllows, first);
  const own = lostLists(winners);
  for (const one of own) lost.push(one);
  const left = new Set(own.map(({ piece }) => piece));
  const kept = own.length === 0 ? winners : winners.filter((piece) => !left.has(piece));
  return { ...merged, l7: joinL7(kept), serverNames: joinServerNames(winners) };
}

/**
 * All but the lists, of which it keeps one that shows their kind: joined for each pair, a thousand pieces
 * would be sorted a thousand times.
 */
function mergeAllows(left: Piece, right: Piece): Piece {
  checkParsers(left, right);
  const merged: Piece = {
    ...left,
    l7: left.l7.kind === 'none' ? right.l7 : left.l7,
    serverNames: left.serverNames.length === 0 ? right.serverNames : left.serverNames,
    listener: mergeListeners(left, right),
    isTlsTerminated: left.isTlsTerminated || right.isTlsTerminated,
    isTlsOriginated: left.isTlsOriginated || right.isTlsOriginated,
  };
  if (right.l7.kind !== 'none' && merged.l7.kind !== right.l7.kind) {
    conflict([left, right], 'HTTP and DNS rules for the same port and peer');
  }
  if (merged.serverNames.length > 0 && merged.l7.kind !== 'none' && !merged.isTlsTerminated) {
    conflict(
      [left, right],
      'server names and L7 rules for the same port and peer need terminatingTLS',
    );
  }
  return merged;
}

function joinServerNames(pieces: readonly Piece[]): readonly string[] {
  if (pieces.length === 1) return pieces[0]?.serverNames ?? [];
  return [...new Set(pieces.flatMap(({ serverNames }) => serverNames))].sort();
}

/** none merges with anything and tls with http; any other two parsers exclude each other. */
function checkParsers(left: Piece, right: Piece): void {
  const a = parserOf(left);
  const b = parserOf(right);
  if (a === null || b === null || a === b) return;
  const pair: ReadonlySet<RedirectKind> = new Set([a, b]);
  if (pair.has('tls') && pair.has('http')) return;
  conflict([left, right], `conflicting L7 parsers for the same port and peer: ${a} and ${b}`);
}

function mergeListeners(left: Piece, right: Piece): Piece['listener'] {
  const a = left.listener;
  const b = right.listener;
  if (a === null || b === null) return a ?? b;
  if (a.name !== b.name && a.priority === b.priority) {
    conflict(
      [left, right],
      `listeners "${a.name}" and "${b.name}" of equal priority for the same port and peer`,
    );
  }
  return b.priority < a.priority ? b : a;
}

/**
 * An allow without L7 rules allows every request, so the union does, too; the redirect stays, and
 * with it what the other rules log and change (B.2). All that have rules have them of one kind.
 */
function joinL7(pieces: readonly Piece[]): L7Rules {
  const all = pieces.map(({ l7 }) => l7);
  const kind = all.find((l7) => l7.kind !== 'none')?.kind ?? 'none';
  const joined = joinLists(kind, all);
  // The first that has none: pieces are in the order of their origins.
  const without = pieces.find(({ l7 }) => l7.kind === 'none');
  return without === undefined ? joined : withL7Wildcard(joined, without.origin);
}

function joinLists(kind: L7Rules['kind'], all: readonly L7Rules[]): L7Rules {
  switch (kind) {
    case 'none':
      return NO_L7;
    case 'http':
      return {
        kind,
        rules: uniqueHttpRules(all.flatMap((l7) => (l7.kind === 'http' ? l7.rules : []))),
      };
    case 'dns':
      return {
        kind,
        rules: uniqueDnsRules(all.flatMap((l7) => (l7.kind === 'dns' ? l7.rules : []))),
      };
  }
}

/** Fewer matchers first, then by content, as sort.go: header actions then run in one order. */
function uniqueHttpRules(rules: readonly HttpRule[]): readonly HttpRule[] {
  const keyed = rules.map((rule) => ({ rule, key: httpRuleKey(rule) }));
  keyed.sort(
    (a, b) =>
      a.rule.matchers.length - b.rule.matchers.length ||
      compareText(a.key, b.key) ||
      compareOrigins(a.rule.origin, b.rule.origin),
  );
  return withoutRepetition(keyed);
}

function uniqueDnsRules(rules: readonly DnsRule[]): readonly DnsRule[] {
  const keyed = rules.map((rule) => ({ rule, key: dnsRuleKey(rule) }));
  keyed.sort((a, b) => compareText(a.key, b.key) || compareOrigins(a.rule.origin, b.rule.origin));
  return withoutRepetition(keyed);
}

function withoutRepetition<Rule>(
  sorted: readonly { readonly rule: Rule; readonly key: string }[],
): readonly Rule[] {
  return sorted
    .filter((entry, index) => index === 0 || entry.key !== sorted[index - 1]?.key)
    .map(({ rule }) => rule);
}

function conflict(pieces: readonly [Piece, Piece], message: string): never {
  const [left, right] = pieces;
  throw new MergeError({ message, origins: [left.origin, right.origin] });
}
