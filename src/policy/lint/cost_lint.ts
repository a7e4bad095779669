/**
 * Path patterns of one port and peer that a verdict cannot pay for: from some length of path on every request that has
 * to be held against them is denied (`regex-budget`). Asked is the engine's own index, about paths that match nothing.
 */
import { latin1Bytes } from '../../model/request_head.ts';
import { finish } from '../../model/steps.ts';
import { literalOf, literalPrefixOf } from '../match/literal.ts';
import { PatternIndex } from '../match/pattern_index.ts';
import type { Regex, RegexEngine } from '../match/regex.ts';
import { beginVerdict, isSpent, patternWork, type WorkLimits } from '../match/verdict_work.ts';
import type { PortsRule } from '../rule.ts';
import type { Entry } from './entry.ts';
import { type Finding, finding } from './finding.ts';

export interface CostContext {
  readonly regexEngine: RegexEngine;
  readonly limits: WorkLimits;
}

/** What servers take as a request line by default: a longer path is none of every day. */
const PATH_BYTES = 8 * 1024;
/** As for a port (`compiled/http_index.ts`). */
const SET_PATTERNS_MIN = 4;
const PADDING = 'x';

export function lintCost(entries: readonly Entry[], context: CostContext): Finding[] {
  const groups = new Map<string, Group>();
  for (const { spec, rule, ports } of entries) {
    if (ports?.l7.kind !== 'http') continue;
    const { peers, direction } = rule;
    const key = JSON.stringify([spec.subject, direction, peers, ports.ports, spec.isDryRun]);
    const known = groups.get(key);
    const group = known ?? { first: ports, patterns: new Set<string>() };
    if (known === undefined) groups.set(key, group);
    for (const pattern of pathPatterns(ports)) group.patterns.add(pattern);
  }
  return [...groups.values()].flatMap((group) => costOf(group, context));
}

interface Group {
  readonly first: PortsRule;
  /** Of paths that are no plain text. */
  readonly patterns: Set<string>;
}

function pathPatterns({ l7 }: PortsRule): readonly string[] {
  if (l7.kind !== 'http') return [];
  return l7.rules.flatMap(({ matchers }) =>
    matchers.flatMap(({ name, value }) =>
      name === ':path' && value.kind === 'regex' && literalOf(value.pattern) === null
        ? [value.pattern]
        : [],
    ),
  );
}

function costOf({ first, patterns }: Group, { regexEngine, limits }: CostContext): Finding[] {
  const regexes = [...patterns].flatMap((pattern) => {
    const compiled = regexEngine.compile(pattern);
    return compiled.kind === 'ok' ? [compiled.regex] : [];
  });
  const most = regexes.reduce((sum, { cost }) => sum + patternWork(cost, PATH_BYTES), 0);
  if (most <= limits.verdictWorkMax) return [];
  const options = { engine: regexEngine, setPatternsMin: SET_PATTERNS_MIN };
  const index = finish(PatternIndex.build(regexes, options));
  const lengths = beginningsOf(regexes).map((text) => firstDenied(index, text, limits));
  const length = Math.min(...lengths);
  if (length > PATH_BYTES) return [];
  const message = `a request whose path has ${length} bytes or more can be denied (regex-budget): to hold it against the ${regexes.length} path patterns for this port and peer costs more than a verdict may (verdictWorkMax); patterns that begin with different texts, or have each a text of its own, cost little`;
  return [finding('path-too-costly', first.origin, { message })];
}

/** Of a few patterns: whose path begins so is held against those that begin so, too. */
function beginningsOf(regexes: readonly Regex[]): readonly string[] {
  const places = [0, regexes.length >> 1, regexes.length - 1];
  return [...new Set(places.map((at) => literalPrefixOf(regexes[at]?.pattern ?? '')))];
}

/** The shortest path that costs too much; more than PATH_BYTES when none of everyday length does. */
function firstDenied(index: PatternIndex, beginning: string, limits: WorkLimits): number {
  const isDenied = (length: number): boolean => {
    const path = beginning.padEnd(length, PADDING).slice(0, length);
    beginVerdict(limits);
    index.match(path, latin1Bytes(path));
    return isSpent();
  };
  let low = 1;
  let high = PATH_BYTES + 1;
  if (!isDenied(PATH_BYTES)) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isDenied(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
