/**
 * What asking a pattern can cost, told from the pattern alone. RE2 makes the states of its automaton when a
 * subject first leads to them. Where all of them together are few they are made once, and then a byte costs 2 to 3
 * ns. Where they are not ("(a|b)*a(a|b){300}" has 2^300), each byte may need a new one, and a new one costs as much
 * as there are places of the pattern in it.
 *
 * So the automaton is made here, up to a bound: states as RE2 keeps them, by the order in which they were reached.
 * Made when a policy is compiled, so that no request waits for it.
 */
import type { PatternCost } from '../policy/match/regex.ts';
import { OTHER_RUNE, RuneSet, SYMBOL_COUNT } from './rune_set.ts';
import type { SyntaxNode } from './syntax_tree.ts';

/** Places and splits that are gone through, and for each place, before a pattern's states count as too many. */
const STEPS_MIN = 4_000;
const STEPS_PER_PLACE = 100;

/** RE2 gives the automaton of one pattern two thirds of 8 MiB, less its program. */
const STATE_BYTES_MAX = 3 * 1024 * 1024;

/** A character beyond ASCII has up to four bytes: states in between, from each state that takes such ones. */
const STATES_BETWEEN = 9;
const BYTE_CLASSES_BEYOND_ASCII = 16;

/** Instructions of the program for a class that takes characters beyond ASCII, and for one of Unicode's. */
const PROGRAM_OF_OTHERS = 10;
const PROGRAM_OF_UNICODE = 400;

/** Measured: a state that is new, and each place in it. */
const STATE_WORK = 300;
const PLACE_WORK = 25;

/**
 * `tree`: of `source`, which RE2 was given; null when it is not understood. `programSizeMax`: beyond it nothing is
 * looked at closer.
 */
export function patternCost(
  tree: SyntaxNode | null,
  { source, programSizeMax }: { readonly source: string; readonly programSizeMax: number },
): PatternCost {
  if (tree === null) return unknownCost(source);
  const programSize = sizeOf(tree);
  if (programSize > programSizeMax) return unbounded(programSize, programSize);
  const placeCount = placesOf(tree);
  const plain = plainWork(tree);
  if (plain !== null) return { programSize, placeCount, width: PLAIN_WIDTH, buildWork: plain };
  if (!isExact(tree, { isFirst: true, isLast: true })) return unbounded(programSize, placeCount);
  const automaton = automatonOf(new Program(tree), placeCount);
  if (automaton === null) return unbounded(programSize, placeCount);
  return { programSize, placeCount, width: automaton.width, buildWork: automaton.work };
}

function unbounded(programSize: number, placeCount: number): PatternCost {
  return { programSize, placeCount, width: placeCount, buildWork: Number.POSITIVE_INFINITY };
}

/** As much as a text of that length can stand for without counted repetition. */
function unknownCost(source: string): PatternCost {
  return unbounded(source.length * PROGRAM_OF_OTHERS, source.length);
}

/** Where each character leads to one place only, or stays. */
const PLAIN_WIDTH = 2;

/**
 * To make the states of a sequence in which each repetition is of characters that what follows does not begin
 * with: most patterns are such, and their states are their places. Null for any other.
 */
function plainWork(tree: SyntaxNode): number | null {
  const parts = tree.kind === 'concat' ? tree.parts : [tree];
  let states = 1;
  /** Which characters what follows can begin with; null: another repetition, so not looked at. */
  let next: RuneSet | null = NOTHING;
  for (const part of parts.toReversed()) {
    const node = part.kind === 'repeat' ? part.part : part;
    if (node.kind !== 'runes' || !node.runes.isExact) return null;
    if (part.kind === 'repeat' && part.max !== part.min) {
      if (next === null || !areDisjoint(node.runes, next)) return null;
      // What follows it may come without it.
      next = part.min === 0 ? null : node.runes;
    } else {
      next = node.runes;
    }
    const times = part.kind === 'repeat' ? Math.max(1, part.max ?? part.min + 1) : 1;
    states += times * (node.runes.members[OTHER_RUNE] === 1 ? 1 + STATES_BETWEEN : 1);
  }
  return states * (STATE_WORK + PLAIN_WIDTH * PLACE_WORK);
}

const NOTHING = new RuneSet(new Uint8Array(SYMBOL_COUNT), true);

function areDisjoint(a: RuneSet, b: RuneSet): boolean {
  if (b.only !== -1) return a.members[b.only] === 0;
  return a.members.every((one, i) => one === 0 || b.members[i] === 0);
}

function placesOf(node: SyntaxNode): number {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return 0;
    case 'runes':
      return 1;
    case 'concat':
    case 'alternate':
      return node.parts.reduce((sum, part) => sum + placesOf(part), 0);
    case 'repeat':
      return placesOf(node.part) * Math.max(1, node.max ?? node.min);
  }
}

/** Instructions of RE2's program, not fewer than it has. */
function sizeOf(node: SyntaxNode): number {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return 1;
    case 'runes':
      return runesSize(node.runes);
    case 'concat':
    case 'alternate':
      return node.parts.reduce((sum, part) => sum + sizeOf(part), node.parts.length);
    case 'repeat':
      return (sizeOf(node.part) + 1) * Math.max(1, node.max ?? node.min + 1);
  }
}

function runesSize({ members, isExact }: RuneSet): number {
  let ranges = 0;
  for (let i = 0; i < OTHER_RUNE; i++) if (members[i] === 1 && members[i - 1] !== 1) ranges++;
  if (members[OTHER_RUNE] === 1) ranges += isExact ? PROGRAM_OF_OTHERS : PROGRAM_OF_UNICODE;
  return Math.max(1, ranges);
}

interface Place {
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

/**
 * False: the automaton made from the tree would not be the pattern's. Assertions are left out of it, which is
 * right where they hold anyway: at the ends of the whole value.
 */
function isExact(node: SyntaxNode, place: Place): boolean {
  switch (node.kind) {
    case 'empty':
      return true;
    case 'runes':
      return node.runes.isExact;
    case 'assertion':
      return node.at === 'start' ? place.isFirst : node.at === 'end' && place.isLast;
    case 'alternate':
      return node.parts.every((part) => isExact(part, place));
    case 'repeat':
      return isExact(node.part, node.max === 1 ? place : { isFirst: false, isLast: false });
    case 'concat': {
      const first = node.parts.findIndex(takesSomething);
      const last = node.parts.findLastIndex(takesSomething);
      return node.parts.every((part, i) =>
        isExact(part, {
          isFirst: place.isFirst && (first === -1 || i <= first),
          isLast: place.isLast && (last === -1 || i >= last),
        }),
      );
    }
  }
}

function takesSomething(node: SyntaxNode): boolean {
  return node.kind !== 'empty' && node.kind !== 'assertion';
}

/** Places (a set of characters, then what follows) and splits; the last one is the match. */
class Program {
  /** Null: a split, or the match. */
  readonly runes: (RuneSet | null)[] = [];
  readonly targets: (readonly number[])[] = [];
  readonly start: number;
  readonly match: number;

  constructor(tree: SyntaxNode) {
    this.match = this.#add(null, []);
    this.start = this.#emit(tree, this.match);
  }

  #add(runes: RuneSet | null, targets: readonly number[]): number {
    this.runes.push(runes);
    this.targets.push(targets);
    return this.runes.length - 1;
  }

  #emit(node: SyntaxNode, next: number): number {
    switch (node.kind) {
      case 'empty':
      case 'assertion':
        return next;
      case 'runes':
        return this.#add(node.runes, [next]);
      case 'concat':
        return node.parts.reduceRight((to, part) => this.#emit(part, to), next);
      case 'alternate':
        return this.#add(
          null,
          node.parts.map((part) => this.#emit(part, next)),
        );
      case 'repeat':
        return this.#emitRepeat(node, next);
    }
  }

  #emitRepeat(node: SyntaxNode & { readonly kind: 'repeat' }, next: number): number {
    const { part, min, max } = node;
    let start = next;
    let copies = min;
    if (max === null) {
      const loop = this.#add(null, []);
      const body = this.#emit(part, loop);
      this.targets[loop] = [body, next];
      start = min === 0 ? loop : body;
      copies = Math.max(0, min - 1);
    } else {
      for (let i = min; i < max; i++) start = this.#add(null, [this.#emit(part, start), next]);
    }
    for (let i = 0; i < copies; i++) start = this.#emit(part, start);
    return start;
  }
}

interface Automaton {
  /** Of its widest state. */
  readonly width: number;
  /** To make all of its states. */
  readonly work: number;
}

/** Null when it is too large to be kept. */
function automatonOf(program: Program, placeCount: number): Automaton | null {
  const stepsMax = Math.max(STEPS_MIN, STEPS_PER_PLACE * placeCount);
  const classes = classify(program);
  const walk = new Walk(program);
  const states = new States(8 * (classes.classCount + BYTE_CLASSES_BEYOND_ASCII));
  states.enter(walk.closure([program.start]));
  for (let state = states.next(); state !== undefined; state = states.next()) {
    for (const [symbols, targets] of byClass(state, { program, classes, walk })) {
      if (symbols === classes.others) states.enterBetween(targets);
      states.enter(walk.closure(targets));
      if (walk.steps > stepsMax || states.bytes > STATE_BYTES_MAX) return null;
    }
  }
  return states;
}

/** Those that were found, each once, and those of them that were not gone through yet. */
class States implements Automaton {
  bytes = 0;
  width = 0;
  work = 0;
  readonly #known = new Set<string>();
  readonly #open: (readonly number[])[] = [];
  readonly #tableBytes: number;

  constructor(tableBytes: number) {
    this.#tableBytes = tableBytes;
  }

  enter(state: readonly number[]): void {
    const key = state.join();
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.#open.push(state);
    this.#count(state.length, 1);
  }

  /** Within a character beyond ASCII, after which a state goes on with `targets`. */
  enterBetween(targets: readonly number[]): void {
    const key = `between ${targets.join()}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.#count(targets.length, STATES_BETWEEN);
  }

  next(): readonly number[] | undefined {
    return this.#open.pop();
  }

  #count(width: number, times: number): void {
    this.bytes += times * (64 + this.#tableBytes + 8 * width);
    this.work += times * (STATE_WORK + PLACE_WORK * width);
    this.width = Math.max(this.width, width);
  }
}

/** For each class of characters, where the places of a state lead with it. */
function byClass(
  state: readonly number[],
  { program, classes, walk }: ByClass,
): Iterable<readonly [symbols: number, targets: readonly number[]]> {
  const targets = new Map<number, number[]>();
  for (const at of state) {
    const runes = program.runes[at];
    if (runes === null || runes === undefined) continue;
    const [next = program.match] = program.targets[at] ?? [];
    for (const one of classes.of.get(runes) ?? []) {
      walk.steps++;
      const known = targets.get(one);
      if (known === undefined) targets.set(one, [next]);
      else known.push(next);
    }
  }
  return targets;
}

interface ByClass {
  readonly program: Program;
  readonly classes: Classes;
  readonly walk: Walk;
}

/** Follows splits to places, each once, in order. */
class Walk {
  steps = 0;
  readonly #program: Program;
  /** The walk in which each was last reached. */
  readonly #reached: Uint32Array;
  #number = 0;

  constructor(program: Program) {
    this.#program = program;
    this.#reached = new Uint32Array(program.runes.length);
  }

  closure(from: readonly number[]): readonly number[] {
    const { runes, targets, match } = this.#program;
    const places: number[] = [];
    const stack = from.toReversed();
    this.#number++;
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      this.steps++;
      if (this.#reached[at] === this.#number) continue;
      this.#reached[at] = this.#number;
      if (runes[at] !== null || at === match) places.push(at);
      else stack.push(...(targets[at] ?? []).toReversed());
    }
    return places;
  }
}

interface Classes {
  /** Characters that no place tells apart have one number. */
  readonly of: ReadonlyMap<RuneSet, readonly number[]>;
  /** The number of those beyond ASCII. */
  readonly others: number;
  readonly classCount: number;
}

function classify(program: Program): Classes {
  const sets = new Set(program.runes.filter((one) => one !== null));
  // Sets are split one after the other: a symbol's class is a number that grows finer.
  const numbers = new Uint32Array(SYMBOL_COUNT);
  let classCount = 1;
  for (const { members, only } of sets) {
    if (only !== -1) continue;
    const split = new Map<number, number>();
    for (let i = 0; i < SYMBOL_COUNT; i++) {
      const side = (numbers[i] as number) * 2 + (members[i] as number);
      const known = split.get(side);
      numbers[i] = known ?? split.size;
      if (known === undefined) split.set(side, split.size);
    }
    classCount = split.size;
  }
  for (const { only } of sets) if (only !== -1) numbers[only] = classCount++;
  const classesOf = new Map<RuneSet, readonly number[]>();
  for (const set of sets) {
    if (set.only !== -1) {
      classesOf.set(set, [numbers[set.only] as number]);
      continue;
    }
    const own = new Set<number>();
    for (let i = 0; i < SYMBOL_COUNT; i++) if (set.members[i] === 1) own.add(numbers[i] as number);
    classesOf.set(set, [...own]);
  }
  return { of: classesOf, others: numbers[OTHER_RUNE] as number, classCount };
}
