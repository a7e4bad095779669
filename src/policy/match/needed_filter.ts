/**
 * hot path
 *
 * Of many patterns those that can match a value, as the text that each of them needs stands in it. Of the texts that a
 * pattern needs the one that the fewest others need is looked for: "/res17/" of "/.*\/res17/[0-9]+".
 */
import { ITEMS_PER_STEP, type Steps } from '../../model/steps.ts';
import type { Regex } from './regex.ts';
import { TextFilter } from './text_filter.ts';

const NONE: readonly number[] = Object.freeze([]);

export class NeededFilter {
  readonly #filter: TextFilter;
  /** For each text the patterns that are to be asked where it stands. */
  readonly #patternsOf: readonly (readonly number[])[];
  /** Reused between values; how much of it counts `find` says. */
  readonly #found: number[] = [];

  private constructor(filter: TextFilter, patternsOf: readonly (readonly number[])[]) {
    this.#filter = filter;
    this.#patternsOf = patternsOf;
  }

  /** Of the patterns with these numbers; see `byNeededText`. */
  static *build(byText: ReadonlyMap<string, readonly number[]>): Steps<NeededFilter> {
    const filter = yield* TextFilter.build([...byText.keys()]);
    return new NeededFilter(filter, [...byText.values()]);
  }

  get placeCount(): number {
    return this.#filter.placeCount;
  }

  /** Writes the numbers of the patterns that can match `bytes`, each once; returns how many they are. */
  candidates(bytes: Uint8Array, into: number[]): number {
    const found = this.#found;
    const textCount = this.#filter.find(bytes, found);
    let count = 0;
    for (let i = 0; i < textCount; i++) {
      const patterns = this.#patternsOf[found[i] as number] ?? NONE;
      for (let j = 0; j < patterns.length; j++) into[count++] = patterns[j] as number;
    }
    return count;
  }
}

/**
 * Numbers of patterns by the text by which each is found. Left out: where more than `patternsMax` would be found by
 * one, as then it tells too little.
 */
export function* byNeededText(
  regexes: readonly Regex[],
  patternsMax: number,
): Steps<ReadonlyMap<string, readonly number[]>> {
  const counts = new Map<string, number>();
  for (const [number, { neededTexts }] of regexes.entries()) {
    for (const text of neededTexts) counts.set(text, (counts.get(text) ?? 0) + 1);
    if (number % ITEMS_PER_STEP === 0) yield;
  }
  const byText = new Map<string, number[]>();
  for (const [number, { neededTexts }] of regexes.entries()) {
    const text = rarest(neededTexts, counts);
    const known = byText.get(text);
    if (known !== undefined) known.push(number);
    else if (text !== '') byText.set(text, [number]);
    if (number % ITEMS_PER_STEP === 0) yield;
  }
  for (const [text, numbers] of byText) {
    if (numbers.length > patternsMax) byText.delete(text);
  }
  return byText;
}

/** Of equally rare ones the longest: fewer values have it. "": there is none. */
function rarest(texts: readonly string[], counts: ReadonlyMap<string, number>): string {
  let best = '';
  let bestCount = Number.POSITIVE_INFINITY;
  for (const text of texts) {
    const count = counts.get(text) ?? 0;
    if (count > bestCount || (count === bestCount && text.length <= best.length)) continue;
    best = text;
    bestCount = count;
  }
  return best;
}
