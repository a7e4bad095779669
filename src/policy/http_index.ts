/**
 * hot path
 *
 * Which HTTP rules can match, without asking each one: rules with a literal path are found in a map,
 * rules with a path pattern through one RE2 set (or a few single patterns), the others are always
 * candidates. Where many rules are left together (one path for many hosts, hosts without a path),
 * they are found by their host in the same way. So the cost of a verdict does not grow with the
 * number of rules (bench/verdict.ts).
 *
 *     by :path       "/health" → 0, 7        "/api" → by :authority   "a.test" → 1
 *                    set {"/x/.*", ...} → 2                           "b.test" → 3
 *                    without a path → by :authority  "c.test" → 4, 5   without a host → 6
 */
import type { RequestHead } from '../model/request_head.ts';
import type { CompiledHttpRule } from './compiled_rule.ts';
import { MATCH_FAILED, MATCH_YES, type Regex, type RegexEngine, type RegexSet } from './regex.ts';
import type { CompiledMatcher } from './value_match.ts';

/** Below this many patterns single tests (80 ns each) beat one set match with indexes (300 ns). */
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

  constructor(rules: readonly CompiledHttpRule[], engine: RegexEngine) {
    const numbers = Array.from(rules.keys());
    this.#root = new FieldIndex(numbers, { rules, engine, depth: 0 });
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

class FieldIndex {
  readonly #isByPath: boolean;
  readonly #byLiteral = new Map<string, Bucket>();
  /** Distinct patterns, and for each the rules that have it. */
  readonly #patterns: readonly Regex[];
  readonly #byPattern: readonly Bucket[];
  readonly #set: RegexSet | null;
  /** Rules without a condition on the field, or with one that only asking can tell. */
  readonly #others: Bucket;
  /** True when the set could not be made: nothing can be judged, so everything is denied. */
  readonly #isBroken: boolean;

  constructor(numbers: readonly number[], level: Level) {
    const groups = groupRules(numbers, level);
    this.#isByPath = level.depth === 0;
    for (const [text, list] of groups.literals) this.#byLiteral.set(text, bucketOf(list, level));
    const patterns = [...groups.patterns.values()];
    this.#patterns = patterns.map(({ regex }) => regex);
    this.#byPattern = patterns.map((entry) => bucketOf(entry.numbers, level));
    this.#others = bucketOf(groups.others, level);
    if (patterns.length < (level.depth === 0 ? SET_PATTERNS_MIN : NESTED_SET_PATTERNS_MIN)) {
      this.#set = null;
      this.#isBroken = false;
    } else {
      const made = level.engine.compileSet(this.#patterns.map(({ pattern }) => pattern));
      this.#set = made.kind === 'ok' ? made.regex : null;
      this.#isBroken = made.kind === 'error';
    }
  }

  collect(head: RequestHead, into: CandidateLists): boolean {
    if (this.#isBroken) return false;
    const literal = this.#byLiteral.get(this.#isByPath ? head.path : head.authority);
    if (literal !== undefined && !collectBucket(literal, head, into)) return false;
    if (!collectBucket(this.#others, head, into)) return false;
    if (this.#patterns.length === 0) return true;
    const bytes = this.#isByPath ? head.pathBytes : head.authorityBytes;
    if (this.#set === null) return this.#testEach(bytes, head, into);
    const matched = this.#set.match(bytes);
    if (matched === null) return false;
    for (let i = 0; i < matched.length; i++) {
      const bucket = this.#byPattern[matched[i] as number] ?? NONE;
      if (!collectBucket(bucket, head, into)) return false;
    }
    return true;
  }

  #testEach(bytes: Uint8Array, head: RequestHead, into: CandidateLists): boolean {
    for (let i = 0; i < this.#patterns.length; i++) {
      const outcome = (this.#patterns[i] as Regex).test(bytes);
      if (outcome === MATCH_FAILED) return false;
      if (outcome !== MATCH_YES) continue;
      if (!collectBucket(this.#byPattern[i] ?? NONE, head, into)) return false;
    }
    return true;
  }
}

function collectBucket(bucket: Bucket, head: RequestHead, into: CandidateLists): boolean {
  if (bucket instanceof FieldIndex) return bucket.collect(head, into);
  if (bucket.length > 0) into.add(bucket);
  return true;
}

function bucketOf(numbers: readonly number[], level: Level): Bucket {
  if (level.depth > 0 || numbers.length < NESTED_RULES_MIN) return numbers;
  const withHost = numbers.filter((number) => level.rules[number]?.host !== null);
  if (withHost.length < NESTED_RULES_MIN) return numbers;
  return new FieldIndex(numbers, { ...level, depth: level.depth + 1 });
}

interface Groups {
  readonly literals: ReadonlyMap<string, number[]>;
  readonly patterns: ReadonlyMap<string, { readonly regex: Regex; readonly numbers: number[] }>;
  readonly others: number[];
}

function groupRules(numbers: readonly number[], { rules, depth }: Level): Groups {
  const literals = new Map<string, number[]>();
  const patterns = new Map<string, { readonly regex: Regex; readonly numbers: number[] }>();
  const others: number[] = [];
  for (const number of numbers) {
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
