/** Which identities have a label. It becomes that of other entries by those that come and go. */
import type { IdentityEntry } from '../identity/identity_entry.ts';

export interface LabelledEntries extends Iterable<IdentityEntry> {
  readonly size: number;
}

const NONE: LabelledEntries = new Set();

export class EntriesByLabel {
  #entries: ReadonlySet<IdentityEntry> = new Set();
  readonly #byLabel = new Map<string, Set<IdentityEntry>>();

  /** `key` and `value` as in `LabelSet.entries`. */
  with(key: string, value: string): LabelledEntries {
    return this.#byLabel.get(`${key}=${value}`) ?? NONE;
  }

  /** What did not change is the very same object. */
  become(entries: readonly IdentityEntry[]): void {
    const before = this.#entries;
    const after = new Set(entries);
    for (const entry of before) if (!after.has(entry)) this.#remove(entry);
    for (const entry of after) if (!before.has(entry)) this.#add(entry);
    this.#entries = after;
  }

  #add(entry: IdentityEntry): void {
    for (const [key, value] of entry.set.entries()) {
      const label = `${key}=${value}`;
      const own = this.#byLabel.get(label);
      if (own === undefined) this.#byLabel.set(label, new Set([entry]));
      else own.add(entry);
    }
  }

  #remove(entry: IdentityEntry): void {
    for (const [key, value] of entry.set.entries()) {
      const label = `${key}=${value}`;
      const own = this.#byLabel.get(label);
      own?.delete(entry);
      if (own?.size === 0) this.#byLabel.delete(label);
    }
  }
}
