/**
 * hot path
 *
 * Which HTTP rules can match a path, without asking each one: rules with a literal path are found in
 * a map, rules with a path pattern through one RE2 set (or a few single patterns), the others are
 * always candidates. So the cost of a verdict does not grow with the number of rules
 * (bench/verdict.ts).
 */
import type { RequestHead } from '../model/request_head.ts';
import type { CompiledHttpRule } from './compiled_rule.ts';
import { MATCH_FAILED, MATCH_YES, type Regex, type RegexEngine, type RegexSet } from './regex.ts';

/** Below this many patterns single tests (80 ns each) beat one set match with indexes (300 ns). */
const SET_PATTERNS_MIN = 4;

const NONE: readonly number[] = Object.freeze([]);

export class HttpIndex {
  readonly #byLiteral = new Map<string, number[]>();
  /** Distinct path patterns, and for each the rules that have it. */
  readonly #patterns: readonly Regex[];
  readonly #byPattern: readonly (readonly number[])[];
  readonly #set: RegexSet | null;
  readonly #others: readonly number[];
  /** True when the set could not be made: nothing can be judged, so everything is denied. */
  readonly #isBroken: boolean;

  constructor(rules: readonly CompiledHttpRule[], engine: RegexEngine) {
    const patterns = new Map<string, { regex: Regex; rules: number[] }>();
    const others: number[] = [];
    for (const [number, rule] of rules.entries()) this.#add(rule, number, patterns, others);
    const entries = [...patterns.values()];
    this.#patterns = entries.map(({ regex }) => regex);
    this.#byPattern = entries.map((entry) => entry.rules);
    this.#others = others;
    if (entries.length < SET_PATTERNS_MIN) {
      this.#set = null;
      this.#isBroken = false;
    } else {
      const made = engine.compileSet(this.#patterns.map(({ pattern }) => pattern));
      this.#set = made.kind === 'ok' ? made.regex : null;
      this.#isBroken = made.kind === 'error';
    }
  }

  /**
   * Collects lists of rule numbers, each ascending: the rules whose path matches, and those without
   * one. False when a pattern could not be evaluated: then nothing that was found counts.
   */
  candidates(head: RequestHead, into: CandidateLists): boolean {
    into.clear();
    if (this.#isBroken) return false;
    const literal = this.#byLiteral.get(head.path);
    if (literal !== undefined) into.add(literal);
    if (this.#others.length > 0) into.add(this.#others);
    return this.#set === null ? this.#testEach(head, into) : this.#testSet(this.#set, head, into);
  }

  #testEach(head: RequestHead, into: CandidateLists): boolean {
    for (let i = 0; i < this.#patterns.length; i++) {
      const outcome = (this.#patterns[i] as Regex).test(head.pathBytes);
      if (outcome === MATCH_FAILED) return false;
      if (outcome === MATCH_YES) into.add(this.#byPattern[i] ?? NONE);
    }
    return true;
  }

  #testSet(set: RegexSet, head: RequestHead, into: CandidateLists): boolean {
    const matched = set.match(head.pathBytes);
    if (matched === null) return false;
    for (let i = 0; i < matched.length; i++)
      into.add(this.#byPattern[matched[i] as number] ?? NONE);
    return true;
  }

  #add(
    rule: CompiledHttpRule,
    number: number,
    patterns: Map<string, { regex: Regex; rules: number[] }>,
    others: number[],
  ): void {
    const literal = rule.path?.literal ?? null;
    const regex = rule.path?.regex ?? null;
    if (literal !== null) {
      const known = this.#byLiteral.get(literal);
      if (known === undefined) this.#byLiteral.set(literal, [number]);
      else known.push(number);
    } else if (regex !== null) {
      const known = patterns.get(regex.pattern);
      if (known === undefined) patterns.set(regex.pattern, { regex, rules: [number] });
      else known.rules.push(number);
    } else {
      others.push(number);
    }
  }
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
