/**
 * Names and patterns that may be asked for, found by how they end: among thousands of them a name costs
 * what it has of labels.
 */
import type { DnsRule } from '../ast.ts';
import { matchFqdnPattern } from '../match/fqdn_pattern.ts';
import { dnsName } from './dns_name.ts';

/** Of more patterns with one ending nobody knows without asking each: then the name counts as covered. */
const PATTERNS_OF_ENDING_MAX = 64;

type NameOrPattern = Pick<DnsRule, 'matchName' | 'matchPattern'>;

export class DnsNames {
  readonly #names = new Set<string>();
  /** How some name ends, at every label. */
  readonly #endings = new Set<string>();
  /** By the labels behind the last star. */
  readonly #patterns = new Map<string, Set<string>>();

  get isEmpty(): boolean {
    return this.#names.size + this.#patterns.size === 0;
  }

  add(rules: readonly NameOrPattern[]): void {
    for (const { matchName, matchPattern } of rules) {
      if (matchName !== null) this.#addName(dnsName(matchName));
      if (matchPattern !== null) this.#addPattern(dnsName(matchPattern));
    }
  }

  /** A pattern counts as covered when a name of its form is, or may be. */
  covers({ matchName, matchPattern }: NameOrPattern): boolean {
    const text = dnsName(matchName ?? matchPattern ?? '');
    const sample = text.replaceAll(/\*+/g, 'x');
    if (this.#names.has(sample)) return true;
    if (this.#patterns.get(literalEnding(text))?.has(text) === true) return true;
    const isReached = endings(sample).some((ending) => this.#patternCovers(ending, sample));
    return isReached || (matchName === null && this.#endings.has(literalEnding(text)));
  }

  #patternCovers(ending: string, name: string): boolean {
    const patterns = this.#patterns.get(ending);
    if (patterns === undefined) return false;
    if (patterns.size > PATTERNS_OF_ENDING_MAX) return true;
    return [...patterns].some((pattern) => matchFqdnPattern(pattern, name));
  }

  #addName(name: string): void {
    this.#names.add(name);
    for (const ending of endings(name)) this.#endings.add(ending);
  }

  #addPattern(pattern: string): void {
    const ending = literalEnding(pattern);
    const known = this.#patterns.get(ending);
    if (known === undefined) this.#patterns.set(ending, new Set([pattern]));
    else known.add(pattern);
  }
}

/** "b.c" of "x.*a.b.c"; "" when the last label has a star. */
function literalEnding(pattern: string): string {
  const labels = pattern.split('.');
  return labels.slice(labels.findLastIndex((label) => label.includes('*')) + 1).join('.');
}

/** "a.b.c", "b.c", "c" and "". */
function endings(name: string): readonly string[] {
  const labels = name.split('.');
  return [...labels.map((_, index) => labels.slice(index).join('.')), ''];
}
