/**
 * A pattern of RE2 as a tree, for `pattern_cost.ts`: what it may cost is told from it, never what it matches.
 * Reads what RE2 has taken already, in the form that `re2_source.ts` gives it.
 */
import { ANY_RUNE, classEscape, NO_NEWLINE, RuneSet, readClass } from './rune_set.ts';

export type SyntaxNode =
  | { readonly kind: 'empty' }
  | { readonly kind: 'runes'; readonly runes: RuneSet }
  | { readonly kind: 'assertion'; readonly at: 'start' | 'end' | 'elsewhere' }
  | { readonly kind: 'concat'; readonly parts: readonly SyntaxNode[] }
  | { readonly kind: 'alternate'; readonly parts: readonly SyntaxNode[] }
  /** `max` null: without end. */
  | {
      readonly kind: 'repeat';
      readonly part: SyntaxNode;
      readonly min: number;
      readonly max: number | null;
    };

/** RE2's own bound. */
const DEPTH_MAX = 1000;

const EMPTY: SyntaxNode = { kind: 'empty' };

/** Null for what is not understood here, though RE2 may. */
export function parseSyntax(source: string): SyntaxNode | null {
  const reader = new TreeReader(source);
  const node = reader.alternatives({ foldsCase: false, dotAll: false, isMultiLine: false }, 0);
  return reader.isDone ? node : null;
}

interface Flags {
  readonly foldsCase: boolean;
  readonly dotAll: boolean;
  readonly isMultiLine: boolean;
}

class TreeReader {
  readonly #source: string;
  #at = 0;
  #hasFailed = false;

  constructor(source: string) {
    this.#source = source;
  }

  get isDone(): boolean {
    return !this.#hasFailed && this.#at === this.#source.length;
  }

  alternatives(flags: Flags, depth: number): SyntaxNode {
    if (depth > DEPTH_MAX) return this.#fail();
    const parts: SyntaxNode[] = [];
    let own = flags;
    let items: SyntaxNode[] = [];
    while (this.#at < this.#source.length && !this.#hasFailed) {
      const char = this.#source.charAt(this.#at);
      if (char === ')') break;
      const setFlags = char === '(' ? this.#flagsOnly(own) : null;
      if (setFlags !== null) {
        own = setFlags;
        // Flags are nothing that could be repeated: what stands before them is.
        const last = items.pop();
        if (last !== undefined) items.push(this.#repeated(last));
      } else if (char === '|') {
        this.#at++;
        parts.push(concat(items));
        items = [];
      } else {
        items.push(this.#repeated(this.#atom(own, depth)));
      }
    }
    parts.push(concat(items));
    return alternate(parts);
  }

  /** "(?i)" and the like hold until their group ends. */
  #flagsOnly(flags: Flags): Flags | null {
    const end = this.#flagsEnd();
    if (end === -1 || this.#source.charAt(end) !== ')') return null;
    const changed = changeFlags(flags, this.#source.slice(this.#at + 2, end));
    this.#at = end + 1;
    return changed;
  }

  /** Of the flags of a group that begins here; -1 when it has none. */
  #flagsEnd(): number {
    if (this.#source.charAt(this.#at + 1) !== '?') return -1;
    let end = this.#at + 2;
    while (/[imsU-]/.test(this.#source.charAt(end))) end++;
    return end;
  }

  #atom(flags: Flags, depth: number): SyntaxNode {
    const char = this.#source.charAt(this.#at);
    switch (char) {
      case '(':
        return this.#group(flags, depth);
      case '[':
        return this.#class(flags);
      case '.':
        this.#at++;
        return runesNode(flags.dotAll ? ANY_RUNE : NO_NEWLINE);
      case '^':
        this.#at++;
        return { kind: 'assertion', at: flags.isMultiLine ? 'elsewhere' : 'start' };
      case '$':
        this.#at++;
        return { kind: 'assertion', at: flags.isMultiLine ? 'elsewhere' : 'end' };
      case '\\':
        return this.#escape(flags);
      default:
        return this.#text(flags);
    }
  }

  #text(flags: Flags): SyntaxNode {
    const code = this.#source.codePointAt(this.#at) ?? 0;
    this.#at += code > 0xffff ? 2 : 1;
    return runesNode(RuneSet.of(code).folded(flags.foldsCase));
  }

  #group(flags: Flags, depth: number): SyntaxNode {
    let own = flags;
    const end = this.#flagsEnd();
    if (end === -1) {
      this.#at++;
    } else if (this.#source.charAt(end) === ':') {
      own = changeFlags(flags, this.#source.slice(this.#at + 2, end));
      this.#at = end + 1;
    } else {
      const named = this.#source.indexOf('>', this.#at);
      if (named === -1) return this.#fail();
      this.#at = named + 1;
    }
    const node = this.alternatives(own, depth + 1);
    if (this.#source.charAt(this.#at) !== ')') return this.#fail();
    this.#at++;
    return node;
  }

  #class(flags: Flags): SyntaxNode {
    const read = readClass(this.#source, this.#at, flags.foldsCase);
    if (read === null) return this.#fail();
    this.#at = read.end;
    return runesNode(read.runes);
  }

  #escape(flags: Flags): SyntaxNode {
    const next = this.#source.charAt(this.#at + 1);
    if (next === 'A' || next === 'z') {
      this.#at += 2;
      return { kind: 'assertion', at: next === 'A' ? 'start' : 'end' };
    }
    if (next === 'b' || next === 'B') {
      this.#at += 2;
      return { kind: 'assertion', at: 'elsewhere' };
    }
    const read = classEscape(this.#source, this.#at);
    if (read === null) return this.#fail();
    this.#at = read.end;
    return runesNode(read.runes.folded(flags.foldsCase));
  }

  #repeated(part: SyntaxNode): SyntaxNode {
    let node = part;
    for (let range = this.#repetition(); range !== null; range = this.#repetition()) {
      node = { kind: 'repeat', part: node, ...range };
    }
    return node;
  }

  #repetition(): { readonly min: number; readonly max: number | null } | null {
    const char = this.#source.charAt(this.#at);
    const known = REPETITIONS.get(char);
    if (known !== undefined) {
      this.#at++;
      this.#skipLazy();
      return known;
    }
    if (char !== '{') return null;
    const counted = /\{([0-9]{1,4})(,([0-9]{0,4}))?\}/y;
    counted.lastIndex = this.#at;
    const found = counted.exec(this.#source);
    if (found === null) return null;
    this.#at += found[0].length;
    this.#skipLazy();
    const min = Number(found[1]);
    if (found[2] === undefined) return { min, max: min };
    return { min, max: found[3] === '' ? null : Number(found[3]) };
  }

  #skipLazy(): void {
    if (this.#source.charAt(this.#at) === '?') this.#at++;
  }

  #fail(): SyntaxNode {
    this.#hasFailed = true;
    return EMPTY;
  }
}

const REPETITIONS = new Map([
  ['*', { min: 0, max: null }],
  ['+', { min: 1, max: null }],
  ['?', { min: 0, max: 1 }],
]);

function changeFlags(flags: Flags, text: string): Flags {
  let isOn = true;
  let { foldsCase, dotAll, isMultiLine } = flags;
  for (const char of text) {
    if (char === '-') isOn = false;
    else if (char === 'i') foldsCase = isOn;
    else if (char === 's') dotAll = isOn;
    else if (char === 'm') isMultiLine = isOn;
  }
  return { foldsCase, dotAll, isMultiLine };
}

function concat(parts: readonly SyntaxNode[]): SyntaxNode {
  if (parts.length === 0) return EMPTY;
  return parts.length === 1 ? (parts[0] ?? EMPTY) : { kind: 'concat', parts };
}

/** Beginnings that alternatives have in common stand once, as in RE2's own tree. */
function alternate(parts: readonly SyntaxNode[]): SyntaxNode {
  return factored(
    parts.map((part) => (part.kind === 'concat' ? part.parts : [part])),
    0,
  );
}

function factored(branches: readonly (readonly SyntaxNode[])[], from: number): SyntaxNode {
  const [first] = branches;
  if (first === undefined) return EMPTY;
  if (branches.length === 1) return concat(first.slice(from));
  const groups = new Map<RuneSet | number, (readonly SyntaxNode[])[]>();
  for (const [number, branch] of branches.entries()) {
    const node = branch[from];
    const key = node?.kind === 'runes' ? node.runes : number;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [branch]);
    else group.push(branch);
  }
  const parts = [...groups.values()].map((group) => {
    const [one = []] = group;
    const node = one[from];
    if (group.length === 1 || node === undefined) return concat(one.slice(from));
    return concat([node, factored(group, from + 1)]);
  });
  return parts.length === 1 ? (parts[0] ?? EMPTY) : { kind: 'alternate', parts };
}

function runesNode(runes: RuneSet): SyntaxNode {
  return { kind: 'runes', runes };
}
