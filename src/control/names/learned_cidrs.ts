/**
 * Learned addresses as part of the inventory: each with an `fqdn:` label for every selector of the policies that selects
 * one of its names. Addresses that the same selectors select have the same labels, and so one identity: many addresses of
 * one name cost one (pkg/fqdn/namemanager). What did not change stays the very same object.
 */
import { type IpText, parsePrefix } from '../../model/address.ts';
import { LABEL_SOURCE_FQDN, sortedLabels } from '../../policy/labels.ts';
import type { InventoryCidr } from '../../policy/resolve/inventory.ts';
import { KeyedValues } from '../set/keyed_values.ts';
import type { FqdnSelectors } from './fqdn_selectors.ts';
import type { NameCache } from './name_cache.ts';

export class LearnedCidrs {
  readonly #cache: NameCache;
  readonly #values = new KeyedValues<InventoryCidr>(isSameCidr);
  #selectors: FqdnSelectors;

  constructor(cache: NameCache, selectors: FqdnSelectors) {
    this.#cache = cache;
    this.#selectors = selectors;
  }

  /** Of another set of policies: all addresses are looked at again. */
  select(selectors: FqdnSelectors): void {
    this.#selectors = selectors;
    for (const ip of this.#cache.ips()) this.#derive(ip);
  }

  /** By address; the very same list, when nothing changed. */
  list(): readonly InventoryCidr[] {
    for (const ip of this.#cache.takeChanged()) this.#derive(ip);
    return this.#values.list();
  }

  #derive(ip: IpText): void {
    const texts = new Set(
      this.#cache.namesOf(ip).flatMap((name) => this.#selectors.selecting(name)),
    );
    const prefix = parsePrefix(ip, { allowBare: true, allowHostBits: false });
    if (prefix === null || texts.size === 0) {
      this.#values.set(ip, null);
      return;
    }
    const labels = sortedLabels([...texts].map((text) => `${LABEL_SOURCE_FQDN}:${text}`));
    this.#values.set(ip, { prefix, identity: null, labels });
  }
}

function isSameCidr(a: InventoryCidr, b: InventoryCidr): boolean {
  return a.labels.length === b.labels.length && a.labels.every((label, i) => label === b.labels[i]);
}
