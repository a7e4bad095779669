/**
 * A pattern in RE2's syntax → the same pattern in the part of that syntax which the binding hands on
 * unchanged. The binding reads JavaScript's syntax and rewrites it; what it would rewrite is written
 * so that it does not see it, and what it would add to RE2's syntax is refused:
 *
 *     \Q...\E        written out: an open quote would swallow what is put around the pattern
 *     \u, \c         JavaScript's: refused, as RE2 does
 *     \p{Name}       \P{^Name}: the binding knows more names than RE2 and does not look at this form
 *     (?< in [...]   (?\<: it would become "(?P<", and the class would hold a P, too
 */

/** Null for an escape that RE2 does not have. */
export function re2Source(pattern: string): string | null {
  const reader = new SourceReader(pattern);
  while (!reader.isAtEnd) if (!reader.step()) return null;
  return reader.source;
}

class SourceReader {
  source = '';
  readonly #pattern: string;
  #at = 0;
  /** Where the first item of the class that is open stands ("]" is itself there); -1: none is. */
  #classStart = -1;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#pattern.length;
  }

  step(): boolean {
    const char = this.#pattern.charAt(this.#at);
    if (char === '\\') return this.#escape();
    if (this.#classStart === -1) {
      if (char === '[') this.#openClass();
      else this.#copy(1);
    } else {
      this.#classItem(char);
    }
    return true;
  }

  #openClass(): void {
    this.#copy(this.#pattern.charAt(this.#at + 1) === '^' ? 2 : 1);
    this.#classStart = this.#at;
  }

  #classItem(char: string): void {
    const named = char === '[' ? this.#pattern.indexOf(':]', this.#at + 2) : -1;
    if (named !== -1 && this.#pattern.charAt(this.#at + 1) === ':') {
      this.#copy(named + 2 - this.#at);
    } else if (char === ']' && this.#at > this.#classStart) {
      this.#copy(1);
      this.#classStart = -1;
    } else if (char === '<' && this.source.endsWith('(?')) {
      this.source += '\\<';
      this.#at += 1;
    } else {
      this.#copy(1);
    }
  }

  #escape(): boolean {
    const next = this.#pattern.charAt(this.#at + 1);
    if (next === 'u' || next === 'c') return false;
    if (next === 'Q') return this.#quote();
    const end = this.#pattern.indexOf('}', this.#at);
    if (
      (next === 'p' || next === 'P') &&
      this.#pattern.charAt(this.#at + 2) === '{' &&
      end !== -1
    ) {
      return this.#unicodeClass(next, this.#pattern.slice(this.#at + 3, end), end + 1);
    }
    this.#copy(2);
    return true;
  }

  #unicodeClass(letter: 'p' | 'P', name: string, end: number): boolean {
    const isNegated = (letter === 'P') !== name.startsWith('^');
    this.source += `\\${isNegated ? 'p' : 'P'}{^${name.replace(/^\^/, '')}}`;
    this.#at = end;
    return true;
  }

  /** RE2 has no quotes in a class. */
  #quote(): boolean {
    if (this.#classStart !== -1) return false;
    const start = this.#at + 2;
    const end = this.#pattern.indexOf('\\E', start);
    const quoted = this.#pattern.slice(start, end === -1 ? this.#pattern.length : end);
    this.source += quoted.replace(/[!-/:-@[-^`{-~]/g, '\\$&');
    this.#at = end === -1 ? this.#pattern.length : end + 2;
    return true;
  }

  #copy(length: number): void {
    this.source += this.#pattern.slice(this.#at, this.#at + length);
    this.#at += length;
  }
}
