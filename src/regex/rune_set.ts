/**
 * The characters that one place of a pattern takes: exactly for ASCII, by all, none or some for the others.
 * Enough to count an automaton's states; `isExact` says when it is not.
 */

const ASCII = 128;

/** Stands behind the ASCII characters for every other one. */
export const OTHER_RUNE = ASCII;
export const SYMBOL_COUNT = ASCII + 1;

export class RuneSet {
  /** One byte a symbol; 1: it is in the set. */
  readonly members: Uint8Array;
  /** False: it takes some characters beyond ASCII and not others, or which it takes is not known here. */
  readonly isExact: boolean;
  /** The one ASCII character that it takes; -1 when it takes others, too. */
  readonly only: number;

  constructor(members: Uint8Array, isExact: boolean, only = -1) {
    this.members = members;
    this.isExact = isExact;
    this.only = only;
  }

  static of(code: number): RuneSet {
    return SINGLES[code] ?? RuneSet.range(code, code);
  }

  static range(first: number, last: number): RuneSet {
    const members = new Uint8Array(SYMBOL_COUNT);
    for (let code = first; code <= Math.min(last, ASCII - 1); code++) members[code] = 1;
    if (last < ASCII) return new RuneSet(members, true);
    members[OTHER_RUNE] = 1;
    return new RuneSet(members, first <= ASCII && last >= 0x10ffff);
  }

  static union(sets: readonly RuneSet[]): RuneSet {
    const members = new Uint8Array(SYMBOL_COUNT);
    for (const set of sets) {
      for (let i = 0; i < SYMBOL_COUNT; i++) members[i] = (members[i] ?? 0) | (set.members[i] ?? 0);
    }
    return new RuneSet(
      members,
      sets.every(({ isExact }) => isExact),
    );
  }

  inverted(): RuneSet {
    const members = this.members.map((one) => 1 - one);
    if (!this.isExact) members[OTHER_RUNE] = 1;
    return new RuneSet(members, this.isExact);
  }

  /** With the other case of each letter. K and S have a third one beyond ASCII. */
  folded(foldsCase: boolean): RuneSet {
    if (!foldsCase) return this;
    const members = this.members.slice();
    let isExact = this.isExact;
    for (let upper = 65; upper <= 90; upper++) {
      const isIn = (members[upper] ?? 0) | (members[upper + 32] ?? 0);
      if (isIn === 0) continue;
      members[upper] = 1;
      members[upper + 32] = 1;
      const hasThird = upper === 75 || upper === 83;
      if (hasThird && members[OTHER_RUNE] === 0) isExact = false;
    }
    if (!isExact) members[OTHER_RUNE] = 1;
    return new RuneSet(members, isExact);
  }
}

const SINGLES: readonly RuneSet[] = Array.from({ length: ASCII }, (_, code) => {
  const members = new Uint8Array(SYMBOL_COUNT);
  members[code] = 1;
  return new RuneSet(members, true, code);
});

export const ANY_RUNE = RuneSet.range(0, 0x10ffff);
export const NO_NEWLINE = RuneSet.of(10).inverted();

export interface ReadRunes {
  readonly runes: RuneSet;
  /** Where the text goes on. */
  readonly end: number;
}

const DIGIT = RuneSet.range(48, 57);
const SPACE = RuneSet.union([9, 10, 12, 13, 32].map((code) => RuneSet.of(code)));
const LETTERS = [RuneSet.range(65, 90), RuneSet.range(97, 122)] as const;
const WORD = RuneSet.union([DIGIT, ...LETTERS, RuneSet.of(95)]);

const CLASSES = new Map([
  ['d', DIGIT],
  ['D', DIGIT.inverted()],
  ['s', SPACE],
  ['S', SPACE.inverted()],
  ['w', WORD],
  ['W', WORD.inverted()],
]);

const CONTROLS = new Map([
  ['a', 7],
  ['f', 12],
  ['t', 9],
  ['n', 10],
  ['r', 13],
  ['v', 11],
]);

/** Which characters a Unicode class holds is not looked up. */
const UNKNOWN = new RuneSet(new Uint8Array(SYMBOL_COUNT).fill(1), false);

const ESCAPE =
  /\\(?:[pP](?:\{[^}]*\}|.)|x\{([0-9a-fA-F]{1,8})\}|x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))/y;

/** What stands at `at`, an escape; null for none that stands for characters. */
export function classEscape(source: string, at: number): ReadRunes | null {
  ESCAPE.lastIndex = at;
  const found = ESCAPE.exec(source);
  if (found === null) return null;
  const end = at + found[0].length;
  const [, braced, hex, octal, plain] = found;
  if (plain === undefined) {
    const digits = braced ?? hex;
    if (digits !== undefined) return { runes: RuneSet.of(Number.parseInt(digits, 16)), end };
    if (octal !== undefined) return { runes: RuneSet.of(Number.parseInt(octal, 8)), end };
    return { runes: UNKNOWN, end };
  }
  // One byte, be it part of a character or not.
  if (plain === 'C') return { runes: UNKNOWN, end };
  const named = CLASSES.get(plain);
  if (named !== undefined) return { runes: named, end };
  if (/[a-zA-Z0-9]/.test(plain) && !CONTROLS.has(plain)) return null;
  return { runes: RuneSet.of(CONTROLS.get(plain) ?? plain.charCodeAt(0)), end };
}

const NAMED = new Map<string, RuneSet>([
  ['alnum', RuneSet.union([DIGIT, ...LETTERS])],
  ['alpha', RuneSet.union(LETTERS)],
  ['ascii', RuneSet.range(0, 127)],
  ['blank', RuneSet.union([RuneSet.of(9), RuneSet.of(32)])],
  ['cntrl', RuneSet.union([RuneSet.range(0, 31), RuneSet.of(127)])],
  ['digit', DIGIT],
  ['graph', RuneSet.range(33, 126)],
  ['lower', LETTERS[1]],
  ['print', RuneSet.range(32, 126)],
  [
    'punct',
    RuneSet.union([
      RuneSet.range(33, 47),
      RuneSet.range(58, 64),
      RuneSet.range(91, 96),
      RuneSet.range(123, 126),
    ]),
  ],
  ['space', RuneSet.range(9, 13)],
  ['upper', LETTERS[0]],
  ['word', WORD],
  ['xdigit', RuneSet.union([DIGIT, RuneSet.range(65, 70), RuneSet.range(97, 102)])],
]);

/** The class in brackets that begins at `at`; null when it has no end. */
export function readClass(source: string, at: number, foldsCase: boolean): ReadRunes | null {
  const isInverted = source.charAt(at + 1) === '^';
  let from = at + (isInverted ? 2 : 1);
  const first = from;
  const sets: RuneSet[] = [];
  while (from < source.length) {
    if (source.charAt(from) === ']' && from > first) {
      const runes = RuneSet.union(sets).folded(foldsCase);
      return { runes: isInverted ? runes.inverted() : runes, end: from + 1 };
    }
    const item = classItem(source, from);
    if (item === null) return null;
    sets.push(item.runes);
    from = item.end;
  }
  return null;
}

/** A named class, an escape that stands for several, a character or a range. */
function classItem(source: string, at: number): ReadRunes | null {
  if (source.startsWith('[:', at)) {
    const end = source.indexOf(':]', at + 2);
    if (end === -1) return null;
    const name = source.slice(at + 2, end);
    const named = NAMED.get(name.replace(/^\^/, ''));
    if (named === undefined) return null;
    return { runes: name.startsWith('^') ? named.inverted() : named, end: end + 2 };
  }
  const low = classCharacter(source, at);
  if (low === null) return source.charAt(at) === '\\' ? classEscape(source, at) : null;
  if (source.charAt(low.end) !== '-' || source.charAt(low.end + 1) === ']') {
    return { runes: RuneSet.of(low.code), end: low.end };
  }
  const high = classCharacter(source, low.end + 1);
  if (high === null || high.code < low.code) return null;
  return { runes: RuneSet.range(low.code, high.code), end: high.end };
}

/** Null for an escape that stands for several characters. */
function classCharacter(
  source: string,
  at: number,
): { readonly code: number; readonly end: number } | null {
  if (source.charAt(at) !== '\\') {
    const code = source.codePointAt(at);
    return code === undefined ? null : { code, end: at + (code > 0xffff ? 2 : 1) };
  }
  ESCAPE.lastIndex = at;
  const found = ESCAPE.exec(source);
  if (found === null) return null;
  const [, braced, hex, octal, plain] = found;
  const end = at + found[0].length;
  const digits = braced ?? hex;
  if (digits !== undefined) return { code: Number.parseInt(digits, 16), end };
  if (octal !== undefined) return { code: Number.parseInt(octal, 8), end };
  if (plain === undefined || CLASSES.has(plain)) return null;
  return { code: CONTROLS.get(plain) ?? plain.charCodeAt(0), end };
}
