/**
 * Which of many DNS rules a name matches first, without asking each one: names are found in a map, patterns by the
 * labels that stand behind their last star, for each way to cut the question's name at a dot.
 */
import type { DnsRule } from '../ast.ts';
import { canonicalName, isAnyFqdn, parseFqdnPattern } from './fqdn_pattern.ts';
import { type LabelPattern, matchLabelPattern } from './label_pattern.ts';
import { namePatternWork, spend, textWork } from './verdict_work.ts';

interface Entry {
  readonly number: number;
  readonly pattern: LabelPattern;
}

const NOT_FOUND = -1;

export class DnsIndex {
  readonly #byName = new Map<string, number>();
  readonly #byEnding = new Map<string, Entry[]>();
  /** The first rule that is a match for every name; null when there is none. */
  readonly #any: number | null;

  constructor(rules: readonly DnsRule[]) {
    let any: number | null = null;
    for (const [number, { matchName, matchPattern }] of rules.entries()) {
      if (matchName !== null) this.#addName(canonicalName(matchName), number);
      if (matchPattern === null) continue;
      if (isAnyFqdn(matchPattern)) any ??= number;
      else if (!matchPattern.includes('*')) this.#addName(canonicalName(matchPattern), number);
      else this.#addPattern(canonicalName(matchPattern), number);
    }
    this.#any = any;
  }

  /**
   * Number of the first rule that matches, -1 when none does. Only stars match every name, also one with characters
   * that no other pattern takes (the DNS proxy has no expression for it to fail).
   */
  match(canonical: string): number {
    let best = this.#byName.get(canonical) ?? this.#any ?? Number.POSITIVE_INFINITY;
    if (this.#any !== null && this.#any < best) best = this.#any;
    if (this.#byEnding.size > 0) best = this.#bestPattern(canonical, best);
    return Number.isFinite(best) ? best : NOT_FOUND;
  }

  #bestPattern(canonical: string, limit: number): number {
    let best = limit;
    for (let from = 0; from !== -1; from = canonical.indexOf('.', from) + 1 || -1) {
      const ending = canonical.slice(from);
      if (!spend(textWork(ending.length, false))) return NOT_FOUND;
      for (const { number, pattern } of this.#byEnding.get(ending) ?? []) {
        if (number >= best) break;
        if (!spend(namePatternWork(pattern.labels.length, canonical.length))) return NOT_FOUND;
        if (matchLabelPattern(pattern, canonical)) best = number;
      }
    }
    return best;
  }

  #addName(name: string, number: number): void {
    if (!this.#byName.has(name)) this.#byName.set(name, number);
  }

  #addPattern(text: string, number: number): void {
    const cut = text.indexOf('.', text.lastIndexOf('*'));
    const ending = text.slice(cut + 1);
    const entry = { number, pattern: parseFqdnPattern(text) };
    const known = this.#byEnding.get(ending);
    if (known === undefined) this.#byEnding.set(ending, [entry]);
    else known.push(entry);
  }
}
