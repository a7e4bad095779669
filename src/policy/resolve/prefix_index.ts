/**
 * Which CIDR identities lie within a prefix, without looking at all of them: prefixes as texts of
 * bits, sorted, so that those within a prefix stand together right after it.
 */
import type { IpPrefix } from '../../model/address.ts';
import type { IdentityEntry } from '../identity/identity_entry.ts';

interface Item {
  readonly bits: string;
  readonly entry: IdentityEntry;
}

export class PrefixIndex {
  readonly #items: readonly Item[];

  constructor(entries: readonly IdentityEntry[]) {
    this.#items = entries
      .flatMap((entry) => entry.prefixes.map((prefix) => ({ bits: bitsOf(prefix), entry })))
      .sort((a, b) => (a.bits < b.bits ? -1 : a.bits > b.bits ? 1 : 0));
  }

  /** Entries with at least one prefix within `outer`. */
  within(outer: IpPrefix): ReadonlySet<IdentityEntry> {
    const bits = bitsOf(outer);
    const found = new Set<IdentityEntry>();
    for (let index = this.#firstFrom(bits); index < this.#items.length; index++) {
      const item = this.#items[index] as Item;
      if (!item.bits.startsWith(bits)) break;
      found.add(item.entry);
    }
    return found;
  }

  /** Index of the first item that is not less than `bits`. */
  #firstFrom(bits: string): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#items[middle] as Item).bits < bits) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The family, then one digit a bit. */
function bitsOf({ address, length }: IpPrefix): string {
  let bits = `${address.family}:`;
  for (const byte of address.bytes) bits += byte.toString(2).padStart(8, '0');
  return bits.slice(0, 2 + length);
}
