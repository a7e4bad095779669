/** Which `toFQDNs` of the policies select a name: only such names are learned, and their texts are the labels of addresses. */
import { compareText } from '../../policy/labels.ts';
import { FqdnSet } from '../../policy/match/fqdn_set.ts';
import type { PolicySpec } from '../../policy/rule.ts';

interface Selecting {
  readonly text: string;
  readonly isPattern: boolean;
}

export class FqdnSelectors {
  /** By what tells one from the other. */
  readonly #all: ReadonlyMap<string, Selecting>;
  readonly #set = new FqdnSet<string>();

  private constructor(all: ReadonlyMap<string, Selecting>) {
    this.#all = all;
    for (const { text, isPattern } of all.values()) this.#set.add(text, isPattern, text);
  }

  static of(specs: Iterable<PolicySpec>): FqdnSelectors {
    const all = new Map<string, Selecting>();
    for (const spec of specs) {
      for (const one of selectingOf(spec)) all.set(`${one.isPattern} ${one.text}`, one);
    }
    return new FqdnSelectors(all);
  }

  static readonly NONE = new FqdnSelectors(new Map());

  /** Each once, sorted. */
  get texts(): readonly string[] {
    return [...new Set(Array.from(this.#all.values(), ({ text }) => text))].sort(compareText);
  }

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  isSameAs(other: FqdnSelectors): boolean {
    return this.#all.size === other.#all.size && this.without(other).#all.size === 0;
  }

  /** Those that the other has not. */
  without(other: FqdnSelectors): FqdnSelectors {
    return new FqdnSelectors(new Map([...this.#all].filter(([key]) => !other.#all.has(key))));
  }

  /** Texts of those that select the canonical name; none: nobody asks who has this name. */
  selecting(name: string): readonly string[] {
    return this.#set.selecting(name);
  }
}

/** Asked again for each set, and most of a set is what it was. */
const KNOWN = new WeakMap<PolicySpec, readonly Selecting[]>();

function selectingOf(spec: PolicySpec): readonly Selecting[] {
  const known = KNOWN.get(spec);
  if (known !== undefined) return known;
  const found: Selecting[] = [];
  for (const { peers } of spec.rules) {
    for (const peer of peers ?? []) {
      if (peer.kind !== 'fqdn') continue;
      const { matchName, matchPattern } = peer;
      if (matchName !== null) found.push({ text: matchName, isPattern: false });
      if (matchPattern !== null) found.push({ text: matchPattern, isPattern: true });
    }
  }
  KNOWN.set(spec, found);
  return found;
}
