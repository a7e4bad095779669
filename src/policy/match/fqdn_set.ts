/** Which `toFQDNs` of many select a name: those that name it by a look, patterns one after the other. */
import { canonicalName, fqdnMatcher } from './fqdn_pattern.ts';

export class FqdnSet<Item> {
  readonly #byName = new Map<string, Item[]>();
  readonly #patterns: { readonly matches: (name: string) => boolean; readonly item: Item }[] = [];

  add(text: string, isPattern: boolean, item: Item): void {
    if (isPattern) {
      this.#patterns.push({ matches: fqdnMatcher(text), item });
      return;
    }
    const name = canonicalName(text);
    const known = this.#byName.get(name);
    if (known === undefined) this.#byName.set(name, [item]);
    else known.push(item);
  }

  get isEmpty(): boolean {
    return this.#byName.size === 0 && this.#patterns.length === 0;
  }

  /** Of the canonical name. */
  selecting(name: string): readonly Item[] {
    const found = [...(this.#byName.get(name) ?? [])];
    for (const { matches, item } of this.#patterns) if (matches(name)) found.push(item);
    return found;
  }
}
