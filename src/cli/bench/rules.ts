/**
 * The rules of a set as a user wrote them, and by what each is matched. A rule that others stand in (a
 * port rule with HTTP rules) settles no request itself and is no row.
 */
import type { Layer, RuleRef } from '../../model/decision.ts';
import { DEFAULT_ALLOW_RULE, type RuleVerdict } from '../../policy/ast.ts';
import type { CompiledEndpoint } from '../../policy/compiled/compiled_endpoint.ts';
import type { CompiledRule } from '../../policy/compiled/compiled_rule.ts';
import { type CompiledHttpRule, conditionsOf } from '../../policy/compiled/http_rules.ts';
import type { PortRules } from '../../policy/compiled/port_rules.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { CompiledMatcher } from '../../policy/match/value_match.ts';

export interface WrittenRule {
  readonly ref: RuleRef;
  readonly verdict: RuleVerdict['kind'];
  readonly match: RuleMatch;
}

/**
 * literal: compared as text, of a path by one look-up in a map. pattern: RE2. other: a prefix, a suffix, a
 * range or the like, compared by us. none: no condition.
 */
export type MatchKind = 'literal' | 'pattern' | 'other' | 'none';

export interface RuleMatch {
  readonly layer: Layer;
  readonly path: MatchKind;
  readonly host: MatchKind;
  readonly method: MatchKind;
  readonly headerConditionCount: number;
  readonly headerActionCount: number;
  readonly serverNameCount: number;
  /** The path condition as it is written, "" without one. */
  readonly pathText: string;
  /** Different path patterns of all rules on the port: they are matched together. */
  readonly portPatternCount: number;
  /** HTTP rules on the port that neither path nor host tells apart: each request asks them all. */
  readonly portUnindexedCount: number;
}

/** Every rule once, in the order in which endpoints and ports name them. */
export function writtenRules(snapshot: PolicySnapshot): readonly WrittenRule[] {
  const rules = new Map<number, WrittenRule>();
  const seen = new Set<PortRules>();
  for (const endpoint of snapshot.endpoints()) {
    for (const port of portsOf(endpoint)) {
      if (seen.has(port)) continue;
      seen.add(port);
      addPort(port, rules);
    }
  }
  const names = new Set(snapshot.policyNames);
  // The engine's own ("allow localhost") are nobody's to change.
  return [...rules.values()].filter(
    ({ ref }) => names.has(ref.policy) && ref.rule !== DEFAULT_ALLOW_RULE,
  );
}

export const CONNECTION_WORDS = 'the connection alone';

/** "path literal, method literal, 1 header action". */
export function matchWords(match: RuleMatch): string {
  if (match.layer === 'dns') return 'DNS names';
  const conditions = match.headerConditionCount;
  const actions = match.headerActionCount;
  const parts = [
    ...fieldWords('path', match),
    ...fieldWords('host', match),
    ...(match.method === 'none' ? [] : [`method ${match.method}`]),
    ...(conditions === 0 ? [] : [`${conditions} header condition${plural(conditions)}`]),
    ...(actions === 0 ? [] : [`${actions} header action${plural(actions)}`]),
    ...(match.serverNameCount === 0 ? [] : ['server names']),
  ];
  if (parts.length > 0) return parts.join(', ');
  return match.layer === 'http' ? 'any request' : CONNECTION_WORDS;
}

function fieldWords(name: 'path' | 'host', match: RuleMatch): string[] {
  const kind = match[name];
  if (kind === 'none') return [];
  if (kind === 'pattern' && name === 'path' && match.portPatternCount > 1) {
    return [`path pattern (RE2, one of ${match.portPatternCount} on the port)`];
  }
  if (kind === 'pattern') return [`${name} pattern (RE2)`];
  return [kind === 'literal' ? `${name} literal (map)` : `${name} compared`];
}

/** As `policy/decide/print.ts` walks them. */
function portsOf(endpoint: CompiledEndpoint): PortRules[] {
  return (['ingress', 'egress'] as const).flatMap((direction) =>
    [...endpoint.tables(direction).values()].flatMap((table) => table.all()),
  );
}

function addPort(port: PortRules, rules: Map<number, WrittenRule>): void {
  const http = port.rules.flatMap(({ l7 }) => (l7.kind === 'http' ? l7.rules : []));
  const patterns = http.flatMap(({ path }) => path?.regex?.pattern ?? []);
  const counts = {
    portPatternCount: new Set(patterns).size,
    portUnindexedCount: http.filter(({ path, host }) => path === null && host === null).length,
  };
  const add = (ref: RuleRef, rule: CompiledRule, match: Omit<RuleMatch, keyof typeof counts>) => {
    if (rules.has(ref.index)) return;
    rules.set(ref.index, {
      ref,
      verdict: rule.source.verdict.kind,
      match: { ...match, ...counts },
    });
  };
  for (const rule of port.rules) {
    for (const { ref, match } of matchesOf(rule)) add(ref, rule, match);
  }
}

interface OwnMatch {
  readonly ref: RuleRef;
  readonly match: Omit<RuleMatch, 'portPatternCount' | 'portUnindexedCount'>;
}

function matchesOf({ l7, ref, serverNames }: CompiledRule): readonly OwnMatch[] {
  switch (l7.kind) {
    case 'none':
      return [{ ref, match: { ...CONNECTION_MATCH, serverNameCount: serverNames.length } }];
    case 'http':
      return l7.rules.map((rule) => ({ ref: rule.ref, match: httpMatch(rule) }));
    case 'dns':
      return l7.rules.map((rule) => ({
        ref: rule.ref,
        match: { ...CONNECTION_MATCH, layer: 'dns' },
      }));
  }
}

const CONNECTION_MATCH = {
  layer: 'network',
  path: 'none',
  host: 'none',
  method: 'none',
  headerConditionCount: 0,
  headerActionCount: 0,
  serverNameCount: 0,
  pathText: '',
} as const;

function httpMatch(
  rule: CompiledHttpRule,
): Omit<RuleMatch, 'portPatternCount' | 'portUnindexedCount'> {
  const matchers = conditionsOf(rule);
  const named = (name: string): CompiledMatcher | null =>
    matchers.find(({ source }) => source.name === name) ?? null;
  return {
    layer: 'http',
    path: kindOf(named(':path')),
    host: kindOf(named(':authority')),
    method: kindOf(named(':method')),
    headerConditionCount: matchers.filter(({ source }) => !source.name.startsWith(':')).length,
    headerActionCount: rule.headerMatches.length,
    serverNameCount: 0,
    pathText: textOf(named(':path')),
  };
}

function kindOf(matcher: CompiledMatcher | null): MatchKind {
  if (matcher === null) return 'none';
  if (matcher.regex !== null) return 'pattern';
  return matcher.literal === null ? 'other' : 'literal';
}

function textOf(matcher: CompiledMatcher | null): string {
  const value = matcher?.source.value;
  if (value === undefined) return '';
  if (value.kind === 'regex') return value.pattern;
  return 'text' in value ? value.text : '';
}

function plural(count: number): string {
  return count === 1 ? '' : 's';
}
