/**
 * hot path
 *
 * Which of many patterns match, without asking each one. Patterns are sorted by the text that all their
 * matches begin with; the characters in which those texts differ lead to the few that can match:
 *
 *     "/users/[0-9]+"   "/users/[0-9]+/cart"   "/orders/.*"   ".*\\.css"
 *
 *     at 0: those without a beginning: .*\\.css
 *     at 1: "u" → /users/[0-9]+, /users/[0-9]+/cart       "o" → /orders/.*
 *
 * Only characters that tell beginnings apart are looked at; the patterns themselves look at all. Of many with one
 * beginning those are asked whose own text stands in the value (`needed_filter.ts`). What no text tells apart is
 * tested one by one where it is few, else by RE2 sets, which are made with the index.
 */

import { ITEMS_PER_STEP, type Steps } from '../../model/steps.ts';
import { literalPrefixOf } from './literal.ts';
import { byNeededText, NeededFilter } from './needed_filter.ts';
import {
  MATCH_FAILED,
  MATCH_NO,
  MATCH_YES,
  type Regex,
  type RegexEngine,
  type RegexSet,
} from './regex.ts';
import { type Beginning, SetWidth } from './set_width.ts';
import {
  canSpend,
  preparedWork,
  scanWork,
  setWork,
  spend,
  spendOnPattern,
} from './verdict_work.ts';

/** Not looked at any closer: a set of so many is matched as fast as a small one, and made in 2 ms. */
const LEAF_PATTERNS_MAX = 256;

/** With one beginning. Making a set of so many takes 2 ms, in which nothing else can be done. */
const SET_PATTERNS_MAX = 256;

/** Found by one text. Asked one by one they cost no more than a set that would have to be asked always. */
const PATTERNS_OF_TEXT_MAX = 8;

/** A set that costs more for so short a value is hardly ever asked. */
const PREPARED_WORK_MAX = 3_000_000;
const SHORT_BYTES = 64;

/** Of the memory that one set for all patterns would have, a set of few gets no less than this. */
const MEMORY_SHARE_MIN = 1 / 32;

/** A set that would take more than this part of what is left is held against its patterns one by one. */
const SET_SHARE = 4;

/** To see that a text has another beginning. */
const BEGINNING_WORK = 20;

/** Characters of a beginning that are looked at. */
const BEGINNING_MAX = 256;

const NONE: readonly number[] = Object.freeze([]);

export interface PatternIndexOptions {
  readonly engine: RegexEngine;
  /** Fewer with one beginning are tested one by one. */
  readonly setPatternsMin: number;
}

export class PatternIndex {
  readonly #root: Node | null;
  /** Reused between subjects, so that a match allocates nothing. */
  readonly #matched: number[] = [];

  private constructor(root: Node | null) {
    this.#root = root;
  }

  /** `patterns` are distinct. */
  static *build(patterns: readonly Regex[], options: PatternIndexOptions): Steps<PatternIndex> {
    if (patterns.length === 0) return new PatternIndex(null);
    const entries: Entry[] = [];
    for (const [index, regex] of patterns.entries()) {
      const beginning = literalPrefixOf(regex.pattern).slice(0, BEGINNING_MAX);
      entries.push({ regex, index, beginning });
      if (index % ITEMS_PER_STEP === 0) yield;
    }
    const root = yield* nodeOf(entries, 0, { ...options, patternCount: patterns.length });
    return new PatternIndex(root);
  }

  get isEmpty(): boolean {
    return this.#root === null;
  }

  /**
   * Indexes of all that match, in no order, valid until the next call. Null when one could not be
   * evaluated, or would cost more than the verdict may: then nothing is known.
   */
  match(text: string, bytes: Uint8Array): readonly number[] | null {
    let node = this.#root;
    if (node === null) return NONE;
    const matched = this.#matched;
    matched.length = 0;
    while (node !== null) {
      const { cells } = node;
      for (let i = 0; i < cells.length; i++) {
        if (!(cells[i] as Cell).match(text, bytes, matched)) return null;
      }
      node = node.at < text.length ? childFor(node, text.charCodeAt(node.at)) : null;
    }
    return matched;
  }
}

/** Patterns that share their beginning up to `at`, as far as it was looked at on the way here. */
interface Node {
  /** Where the beginnings of the children differ; beyond every text in a node without children. */
  readonly at: number;
  /** Of the patterns whose beginning ends here, or that are too few to be told apart. */
  readonly cells: readonly Cell[];
  /** The character at `at`, ascending; and the child of each. */
  readonly codes: readonly number[];
  readonly children: readonly Node[];
}

interface Entry extends Beginning {
  readonly index: number;
}

interface NodeOptions extends PatternIndexOptions {
  readonly patternCount: number;
}

const LEAF_AT = Number.MAX_SAFE_INTEGER;

function* nodeOf(entries: readonly Entry[], from: number, options: NodeOptions): Steps<Node> {
  if (entries.length <= LEAF_PATTERNS_MAX) return yield* leafOf(entries, options);
  const at = firstDifference(entries, from);
  const own: Entry[] = [];
  const groups = new Map<number, Entry[]>();
  for (const entry of entries) {
    if (entry.beginning.length <= at) own.push(entry);
    else addTo(groups, entry.beginning.charCodeAt(at), entry);
  }
  yield;
  if (groups.size === 0) return yield* leafOf(own, options);
  const codes = [...groups.keys()].sort((a, b) => a - b);
  const children: Node[] = [];
  for (const code of codes) {
    children.push(yield* nodeOf(groups.get(code) as Entry[], at + 1, options));
  }
  return { at, cells: yield* cellsOf(own, options), codes, children };
}

function* leafOf(entries: readonly Entry[], options: NodeOptions): Steps<Node> {
  const cells = yield* cellsOf(entries, options);
  return { at: LEAF_AT, cells, codes: NONE, children: NO_NODES };
}

const NO_NODES: readonly Node[] = Object.freeze([]);

/** Where a beginning ends, or two differ. */
function firstDifference(entries: readonly Entry[], from: number): number {
  const first = (entries[0] as Entry).beginning;
  let end = first.length;
  for (let i = 1; i < entries.length && end > from; i++) {
    const { beginning } = entries[i] as Entry;
    end = Math.min(end, beginning.length);
    let at = from;
    while (at < end && beginning.charCodeAt(at) === first.charCodeAt(at)) at++;
    end = at;
  }
  return end;
}

function addTo(groups: Map<number, Entry[]>, code: number, entry: Entry): void {
  const group = groups.get(code);
  if (group === undefined) groups.set(code, [entry]);
  else group.push(entry);
}

function childFor(node: Node, code: number): Node | null {
  const { codes } = node;
  let low = 0;
  let high = codes.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = codes[middle] as number;
    if (found === code) return node.children[middle] as Node;
    if (found < code) low = middle + 1;
    else high = middle - 1;
  }
  return null;
}

/** Patterns that are asked together. */
interface Cell {
  /** False when one could not be evaluated. */
  match(text: string, bytes: Uint8Array, matched: number[]): boolean;
}

/** Those that a rare text tells apart are found by it, the others are asked together. */
function* cellsOf(entries: readonly Entry[], options: NodeOptions): Steps<readonly Cell[]> {
  if (entries.length < options.setPatternsMin) return yield* togetherOf(entries, options);
  const regexes = entries.map(({ regex }) => regex);
  const byText = yield* byNeededText(regexes, PATTERNS_OF_TEXT_MAX);
  const found = new Set([...byText.values()].flat());
  if (found.size < options.setPatternsMin) return yield* togetherOf(entries, options);
  const filter = yield* NeededFilter.build(byText);
  const others = entries.filter((_, number) => !found.has(number));
  return [new FilterCell(entries, filter), ...(yield* togetherOf(others, options))];
}

function* togetherOf(entries: readonly Entry[], options: NodeOptions): Steps<readonly Cell[]> {
  if (entries.length === 0) return NO_CELLS;
  if (entries.length < options.setPatternsMin) return [new SingleCell(entries)];
  const cells: Cell[] = [];
  for (let from = 0; from < entries.length; from += SET_PATTERNS_MAX) {
    const part = entries.slice(from, from + SET_PATTERNS_MAX);
    const cell = new SetCell(part, { ...options, isOneOfMany: entries.length > part.length });
    cells.push(cell);
    // Now, in steps, so that no verdict waits for it.
    yield* cell.prepare();
  }
  return cells;
}

const NO_CELLS: readonly Cell[] = Object.freeze([]);

class SingleCell implements Cell {
  readonly #regexes: readonly Regex[];
  readonly #indexes: readonly number[];

  constructor(entries: readonly Entry[]) {
    this.#regexes = entries.map(({ regex }) => regex);
    this.#indexes = entries.map(({ index }) => index);
  }

  match(_text: string, bytes: Uint8Array, matched: number[]): boolean {
    for (let i = 0; i < this.#regexes.length; i++) {
      const regex = this.#regexes[i] as Regex;
      if (!spendOnPattern(regex.cost, bytes.length)) return false;
      const outcome = regex.test(bytes);
      if (outcome === MATCH_FAILED) return false;
      if (outcome === MATCH_YES) matched.push(this.#indexes[i] as number);
    }
    return true;
  }
}

/** Patterns that are asked where the text stands that they need. */
class FilterCell implements Cell {
  readonly #entries: readonly Entry[];
  readonly #filter: NeededFilter;
  readonly #candidates: number[] = [];

  constructor(entries: readonly Entry[], filter: NeededFilter) {
    this.#entries = entries;
    this.#filter = filter;
  }

  match(text: string, bytes: Uint8Array, matched: number[]): boolean {
    if (!spend(scanWork(bytes.length, this.#filter.placeCount))) return false;
    const candidates = this.#candidates;
    const count = this.#filter.candidates(bytes, candidates);
    for (let i = 0; i < count; i++) {
      const { regex, index, beginning } = this.#entries[candidates[i] as number] as Entry;
      if (!spend(BEGINNING_WORK)) return false;
      if (!text.startsWith(beginning)) continue;
      if (!spendOnPattern(regex.cost, bytes.length)) return false;
      const outcome = regex.test(bytes);
      if (outcome === MATCH_FAILED) return false;
      if (outcome === MATCH_YES) matched.push(index);
    }
    return true;
  }
}

class SetCell implements Cell {
  readonly #entries: readonly Entry[];
  readonly #width: SetWidth;
  readonly #engine: RegexEngine;
  #memoryShare: number;
  /** Then most subjects match nothing in it, which is asked first. */
  readonly #isOneOfMany: boolean;
  /** Undefined until it is first needed; null when it cannot be made: then nothing can be judged by it. */
  #set: RegexSet | null | undefined;

  constructor(
    entries: readonly Entry[],
    { engine, patternCount, isOneOfMany }: NodeOptions & { readonly isOneOfMany: boolean },
  ) {
    this.#entries = entries;
    this.#width = new SetWidth(entries);
    this.#engine = engine;
    this.#memoryShare = Math.max(entries.length / patternCount, MEMORY_SHARE_MIN);
    this.#isOneOfMany = isOneOfMany;
  }

  match(text: string, bytes: Uint8Array, matched: number[]): boolean {
    const work = setWork(this.#width.at(bytes.length), bytes.length);
    // More than a part of what is left: it may be cheaper to ask those that can match one by one.
    if (!canSpend(SET_SHARE * work)) {
      const single = this.#singleWork(text, bytes.length);
      if (single < work) return spend(single) && this.#matchSingly(text, bytes, matched);
    }
    if (!spend(work)) return false;
    const found = this.#found(bytes);
    if (found === null) return false;
    for (let i = 0; i < found.length; i++) {
      matched.push((this.#entries[found[i] as number] as Entry).index);
    }
    return true;
  }

  /** Makes what it will need. */
  *prepare(): Steps<void> {
    if (setWork(this.#width.at(SHORT_BYTES), SHORT_BYTES) <= PREPARED_WORK_MAX) {
      this.#set = this.#made();
      yield;
    }
    for (const [at, { regex }] of this.#entries.entries()) {
      regex.prepare();
      if (at % ITEMS_PER_STEP === 0) yield;
    }
  }

  #singleWork(text: string, bytes: number): number {
    let work = 0;
    for (const { regex, beginning } of this.#entries) {
      work += text.startsWith(beginning) ? preparedWork(regex.cost, bytes) : BEGINNING_WORK;
      if (!canSpend(work)) break;
    }
    return work;
  }

  #matchSingly(text: string, bytes: Uint8Array, matched: number[]): boolean {
    for (const { regex, index, beginning } of this.#entries) {
      if (!text.startsWith(beginning)) continue;
      const outcome = regex.test(bytes);
      if (outcome === MATCH_FAILED) return false;
      if (outcome === MATCH_YES) matched.push(index);
    }
    return true;
  }

  /** A set for which its share is too little gets all there is, before nothing can be judged. */
  #found(bytes: Uint8Array): readonly number[] | null {
    if (this.#set === undefined) this.#set = this.#made();
    const found = this.#set === null ? null : this.#matchIn(this.#set, bytes);
    if (found !== null || this.#memoryShare === 1) return found;
    this.#memoryShare = 1;
    this.#set = this.#made();
    return this.#set === null ? null : this.#matchIn(this.#set, bytes);
  }

  #matchIn(set: RegexSet, bytes: Uint8Array): readonly number[] | null {
    if (!this.#isOneOfMany) return set.match(bytes);
    const outcome = set.test(bytes);
    if (outcome === MATCH_FAILED) return null;
    return outcome === MATCH_NO ? NONE : set.match(bytes);
  }

  #made(): RegexSet | null {
    const patterns = this.#entries.map(({ regex }) => regex.pattern);
    const made = this.#engine.compileSet(patterns, this.#memoryShare);
    return made.kind === 'ok' ? made.regex : null;
  }
}
