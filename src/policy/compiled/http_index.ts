/**
 * hot path
 *
 * Which HTTP rules can match, without asking each one: rules with a literal path are found in a map,
 * rules with a path pattern through a `PatternIndex`, the others are always candidates. Where many rules
 * are left together (one path for many hosts, hosts without a path), they are found by their host in the
 * same way. So the cost of a verdict does not grow with the number of rules (npm run bench:micro -- decide).
 *
 *     by :path       "/health" → 0, 7        "/api" → by :authority   "a.test" → 1
 *                    patterns "/x/.*", ... → 2                        "b.test" → 3
 *                    without a path → by :authority  "c.test" → 4, 5   without a host → 6
 */
import type { RequestHead } from '../../model/request_head.ts';
import { ITEMS_PER_STEP, type Steps } from '../../model/steps.ts';
import { PatternIndex } from '../match/pattern_index.ts';
import type { Regex, RegexEngine } from '../match/regex.ts';
import type { CompiledMatcher } from '../match/value_match.ts';
import type { CompiledHttpRule } from './http_rules.ts';

/** Below this many patterns together single tests (80 ns each) beat one set match with indexes (300 ns). */
const SET_PATTERNS_MIN = 4;

/**
 * A set below the first level takes 10 to 20 KiB, and what its automaton grows to, for each path:
 * it must save more (800 ns one by one).
 */
const NESTED_SET_PATTERNS_MIN = 16;

/** Fewer rules than this are asked one by one (50 to 100 ns each). */
const NESTED_RULES_MIN = 12;

const NONE: readonly number[] = Object.freeze([]);

export class HttpIndex {
  readonly #root: FieldIndex;

  private constructor(root: FieldIndex) {
    this.#root = root;
  }

  static *build(rules: readonly CompiledHttpRule[], engine: RegexEngine): Steps<HttpIndex> {
    const numbers = Array.from(rules.keys());
    return new HttpIndex(yield* FieldIndex.build(numbers, { rules, engine, depth: 0 }));
  }

  /**
   * Collects lists of rule numbers, each ascending and no two with a number in common: all rules
   * that can match. A rule's path condition, if `CompiledHttpRule.path` has one, need not be asked
   * again. False when a pattern could not be evaluated: then nothing that was found counts.
   */
  candidates(head: RequestHead, into: CandidateLists): boolean {
    into.clear();
    return this.#root.collect(head, into);
  }
}

type Bucket = readonly number[] | FieldIndex;

interface Level {
  readonly rules: readonly CompiledHttpRule[];
  readonly engine: RegexEngine;
  /** 0: by path, 1: by host. */
  readonly depth: number;
}

interface FieldIndexParts {
  readonly isByPath: boolean;
  readonly byLiteral: ReadonlyMap<string, Bucket>;
  readonly patterns: PatternIndex;
  /** For each pattern the rules that have it. */
  readonly byPattern: readonly Bucket[];
  /** Rules without a condition on the field, or with one that only asking can tell. */
  readonly others: Bucket;
}

class FieldIndex {
  readonly #isByPath: boolean;
  readonly #byLiteral: ReadonlyMap<string, Bucket>;
  readonly #patterns: PatternIndex;
  readonly #byPattern: readonly Bucket[];
  readonly #others: Bucket;

  private constructor(parts: FieldIndexParts) {
    this.#isByPath = parts.isByPath;
    this.#byLiteral = parts.byLiteral;
    this.#patterns = parts.patterns;
    this.#byPattern = parts.byPattern;
    this.#others = parts.others;
  }

  static *build(numbers: readonly number[], level: Level): Steps<FieldIndex> {
    const groups = yield* groupRules(numbers, level);
    const byLiteral = new Map<string, Bucket>();
    for (const [text, list] of groups.literals) {
      byLiteral.set(text, yield* bucketOf(list, level));
      if (byLiteral.size % ITEMS_PER_STEP === 0) yield;
    }
    const patterns: Regex[] = [];
    const byPattern: Bucket[] = [];
    for (const entry of groups.patterns.values()) {
      patterns.push(entry.regex);
      byPattern.push(yield* bucketOf(entry.numbers, level));
      if (byPattern.length % ITEMS_PER_STEP === 0) yield;
    }
    const setPatternsMin = level.depth === 0 ? SET_PATTERNS_MIN : NESTED_SET_PATTERNS_MIN;
    return new FieldIndex({
      isByPath: level.depth === 0,
      byLiteral,
      patterns: yield* PatternIndex.build(patterns, { engine: level.engine, setPatternsMin }),
      byPattern,
      others: yield* bucketOf(groups.others, level),
    });
  }

  collect(head: RequestHead, into: CandidateLists): boolean {
    const literal = this.#byLiteral.get(this.#isByPath ? head.path : head.authority);
    if (literal !== undefined && !collectBucket(literal, head, into)) return false;
    if (!collectBucket(this.#others, head, into)) return false;
    if (this.#patterns.isEmpty) return true;
    const matched = this.#isByPath
      ? this.#patterns.match(head.path, head.pathBytes)
      : this.#patterns.match(head.authority, head.authorityBytes);
    if (matched === null) return false;
    for (let i = 0; i < matched.length; i++) {
      const bucket = this.#byPattern[matched[i] as number] ?? NONE;
      if (!collectBucket(bucket, head, into)) return false;
    }
    return true;
  }
}

function collectBucket(bucket: Bucket, head: RequestHead, into: CandidateLists): boolean {
  if (bucket instanceof FieldIndex) return bucket.collect(head, into);
  if (bucket.length > 0) into.add(bucket);
  return true;
}

function* bucketOf(numbers: readonly number[], level: Level): Steps<Bucket> {
  if (level.depth > 0 || numbers.length < NESTED_RULES_MIN) return numbers;
  const withHost = numbers.filter((number) => level.rules[number]?.host !== null);
  if (withHost.length < NESTED_RULES_MIN) return numbers;
  return yield* FieldIndex.build(numbers, { ...level, depth: level.depth + 1 });
}

interface Groups {
  readonly literals: ReadonlyMap<string, number[]>;
  readonly patterns: ReadonlyMap<string, { readonly regex: Regex; readonly numbers: number[] }>;
  readonly others: number[];
}

function* groupRules(numbers: readonly number[], { rules, depth }: Level): Steps<Groups> {
  const literals = new Map<string, number[]>();
  const patterns = new Map<string, { readonly regex: Regex; readonly numbers: number[] }>();
  const others: number[] = [];
  for (const [at, number] of numbers.entries()) {
    if (at % ITEMS_PER_STEP === 0) yield;
    const rule = rules[number] as CompiledHttpRule;
    const matcher: CompiledMatcher | null = depth === 0 ? rule.path : rule.host;
    const literal = matcher?.literal ?? null;
    const regex = matcher?.regex ?? null;
    if (literal !== null) {
      const known = literals.get(literal);
      if (known === undefined) literals.set(literal, [number]);
      else known.push(number);
    } else if (regex !== null) {
      const known = patterns.get(regex.pattern);
      if (known === undefined) patterns.set(regex.pattern, { regex, numbers: [number] });
      else known.numbers.push(number);
    } else {
      others.push(number);
    }
  }
  return { literals, patterns, others };
}

/** Reused between requests, so that a verdict allocates nothing. */
export class CandidateLists {
  readonly #lists: (readonly number[])[] = [];
  #count = 0;

  clear(): void {
    this.#count = 0;
  }

  add(list: readonly number[]): void {
    this.#lists[this.#count++] = list;
  }

  get count(): number {
    return this.#count;
  }

  list(index: number): readonly number[] {
    return this.#lists[index] ?? NONE;
  }

  /** All numbers, ascending, each once. */
  sorted(): readonly number[] {
    if (this.#count === 1) return this.list(0);
    return this.#lists
      .slice(0, this.#count)
      .flat()
      .sort((a, b) => a - b);
  }
}
