/**
 * hot path
 *
 * RE2 behind the engine's regex interface: the only importer of the package. Patterns match the
 * whole subject, subjects are bytes, time is linear, memory is bounded, and running out of it is a
 * value. Options are RE2's defaults, as Envoy uses them: case-sensitive, "." excludes newline.
 */
import RE2 from 're2';
import type { Limits } from '../model/limits.ts';
import {
  MATCH_FAILED,
  MATCH_NO,
  MATCH_YES,
  type MatchOutcome,
  type PatternCost,
  type Regex,
  type RegexEngine,
  type RegexResult,
  type RegexSet,
} from '../policy/match/regex.ts';
import { neededTexts } from './needed_texts.ts';
import { patternCost } from './pattern_cost.ts';
import { re2Source } from './re2_source.ts';
import { parseSyntax } from './syntax_tree.ts';

type RegexLimits = Pick<
  Limits,
  | 'regexBytesMax'
  | 'regexMemoryBytesMax'
  | 'regexProgramSizeMax'
  | 'regexWidthMax'
  | 'regexSetMemoryBytesMax'
  | 'regexCacheCountMax'
>;

export interface Re2EngineOptions {
  /** True: the sender of the patterns has compiled each of them already. They are not checked again. */
  readonly areChecked: boolean;
}

export function createRe2Engine(
  limits: RegexLimits,
  options: Re2EngineOptions = { areChecked: false },
): RegexEngine {
  return new Re2Engine(limits, options);
}

class Re2Engine implements RegexEngine {
  readonly #limits: RegexLimits;
  readonly #areChecked: boolean;
  readonly #compiled = new Map<string, RegexResult<Regex>>();
  /** Sets that a snapshot still holds, by their patterns. */
  readonly #sets = new Map<string, WeakRef<RegexSet>>();

  constructor(limits: RegexLimits, { areChecked }: Re2EngineOptions) {
    this.#limits = limits;
    this.#areChecked = areChecked;
  }

  /** Compiled patterns are kept, so that a reload compiles only what is new. */
  compile(pattern: string): RegexResult<Regex> {
    let result = this.#compiled.get(pattern);
    if (result === undefined) {
      result = this.#compile(pattern);
      if (this.#compiled.size >= this.#limits.regexCacheCountMax) {
        this.#compiled.delete(this.#compiled.keys().next().value ?? '');
      }
      this.#compiled.set(pattern, result);
    }
    return result;
  }

  #compile(pattern: string): RegexResult<Regex> {
    const bytes = Buffer.byteLength(pattern);
    if (bytes > this.#limits.regexBytesMax) {
      return failed(`is longer than ${this.#limits.regexBytesMax} bytes`);
    }
    if (pattern.includes('\0')) return failed('has a NUL character');
    const source = re2Source(pattern);
    if (source === null) return failed('invalid escape sequence');
    const { regexMemoryBytesMax, regexProgramSizeMax } = this.#limits;
    const tree = parseSyntax(source);
    const cost = patternCost(tree, { source, programSizeMax: regexProgramSizeMax });
    const regex = new SingleRegex(pattern, {
      source,
      cost,
      neededTexts: neededTexts(tree),
      memoryBytesMax: regexMemoryBytesMax,
    });
    if (this.#areChecked) return { kind: 'ok', regex };
    try {
      regex.checkSyntax();
      const tooCostly = this.#costProblem(cost);
      if (tooCostly !== null) return failed(tooCostly);
      regex.checkMemory();
      return { kind: 'ok', regex };
    } catch (error) {
      return failed(messageOf(error));
    }
  }

  #costProblem(cost: PatternCost): string | null {
    const { regexProgramSizeMax, regexWidthMax } = this.#limits;
    if (cost.programSize > regexProgramSizeMax) {
      return `needs a program of ${cost.programSize} instructions (allowed: regexProgramSizeMax, ${regexProgramSizeMax}); counted repetition multiplies what it repeats`;
    }
    // Few places can be many states, and still no byte costs much.
    if (cost.placeCount <= regexWidthMax || Number.isFinite(cost.buildWork)) return null;
    return `can be in ${cost.width} places at once, and each byte of a request costs as much (allowed: regexWidthMax, ${regexWidthMax}); a counted repetition of characters that may also stand before it does that, as in (a|b)*a(a|b){300}`;
  }

  /** A set that is still in use is given again: a reload builds only the sets that changed. */
  compileSet(patterns: readonly string[], memoryShare: number): RegexResult<RegexSet> {
    const maxMem = Math.ceil(this.#limits.regexSetMemoryBytesMax * memoryShare);
    const key = `${maxMem}\0${patterns.join('\0')}`;
    const known = this.#sets.get(key)?.deref();
    if (known !== undefined) return { kind: 'ok', regex: known };
    const result = this.#compileSet(patterns, maxMem);
    if (result.kind === 'ok') {
      this.#forgetUnusedSets();
      this.#sets.set(key, new WeakRef(result.regex));
    }
    return result;
  }

  /** Looks at two of the oldest for each new one, so that the unused ones never gather. */
  #forgetUnusedSets(): void {
    let count = 2;
    for (const [key, reference] of this.#sets) {
      if (count-- === 0) break;
      this.#sets.delete(key);
      // One that is in use goes to the young end, unless there are too many to keep them all.
      const isKept = this.#sets.size < this.#limits.regexCacheCountMax;
      if (reference.deref() !== undefined && isKept) this.#sets.set(key, reference);
    }
  }

  #compileSet(patterns: readonly string[], maxMem: number): RegexResult<RegexSet> {
    try {
      const sources = patterns.map((pattern) => re2Source(pattern) ?? '');
      const set = setOf(sources, maxMem);
      return { kind: 'ok', regex: new Re2Set(patterns, set) };
    } catch (error) {
      return failed(messageOf(error));
    }
  }
}

function setOf(patterns: readonly string[], maxMem: number): InstanceType<typeof RE2.Set> {
  return new RE2.Set([...patterns], 'u', { anchor: 'both', maxMem });
}

interface SingleParts {
  readonly source: string;
  readonly cost: PatternCost;
  readonly neededTexts: readonly string[];
  readonly memoryBytesMax: number;
}

/** What a pattern is asked with: RE2, or a set of one. */
interface Tester {
  test(subject: Buffer): boolean;
}

/** Anchored when it is first asked: most patterns of a large policy are only asked in their set. */
class SingleRegex implements Regex {
  readonly pattern: string;
  readonly cost: PatternCost;
  readonly neededTexts: readonly string[];
  readonly #source: string;
  readonly #memoryBytesMax: number;
  #tester: Tester | null = null;

  constructor(pattern: string, { source, cost, neededTexts, memoryBytesMax }: SingleParts) {
    this.pattern = pattern;
    this.cost = cost;
    this.neededTexts = neededTexts;
    this.#source = source;
    this.#memoryBytesMax = memoryBytesMax;
  }

  /** Throws what RE2 says against it. Alone: "a)(b" is no pattern although "^(?:a)(b)$" would be one. */
  checkSyntax(): void {
    new RE2(this.#source, 'u');
  }

  /**
   * Throws for too large a program. Only repetition and Unicode classes make one much larger than its text; a set
   * of one bounds it, which a single RE2 does not.
   */
  checkMemory(): void {
    if (/[{]|\\p/i.test(this.#source)) setOf([this.#source], this.#memoryBytesMax);
  }

  prepare(): void {
    try {
      this.#tester ??= this.#made();
    } catch {
      // Whoever asks it is told so.
    }
  }

  test(subject: Uint8Array): MatchOutcome {
    try {
      this.#tester ??= this.#made();
      return this.#tester.test(subject as Buffer) ? MATCH_YES : MATCH_NO;
    } catch {
      return MATCH_FAILED;
    }
  }

  beginning(subject: Uint8Array): number | null {
    // The leftmost match is at the beginning if any is.
    const found = new RE2(this.#source, 'u').exec(subject as Buffer);
    return found === null || found.index !== 0 ? null : found[0].length;
  }

  /**
   * Out of memory for its automaton, a single RE2 goes on without one, at four times the cost of making state
   * after state. A set never does.
   */
  #made(): Tester {
    if (!Number.isFinite(this.cost.buildWork)) return setOf([this.#source], this.#memoryBytesMax);
    return new RE2(`^(?:${this.#source})$`, 'u');
  }
}

class Re2Set implements RegexSet {
  readonly patterns: readonly string[];
  readonly #set: InstanceType<typeof RE2.Set>;

  constructor(patterns: readonly string[], set: InstanceType<typeof RE2.Set>) {
    this.patterns = patterns;
    this.#set = set;
  }

  test(subject: Uint8Array): MatchOutcome {
    try {
      return this.#set.test(subject as Buffer) ? MATCH_YES : MATCH_NO;
    } catch {
      return MATCH_FAILED;
    }
  }

  match(subject: Uint8Array): readonly number[] | null {
    try {
      return this.#set.match(subject as Buffer);
    } catch {
      return null;
    }
  }
}

function failed(message: string): { readonly kind: 'error'; readonly message: string } {
  return { kind: 'error', message };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
