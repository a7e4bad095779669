/**
 * Learned addresses as part of the inventory: each with an `fqdn:` label for every selector of the policies that selects
 * one of its names. What did not change stays the very same object.
 */
import type { IpText } from '../../model/address.ts';
import { LABEL_SOURCE_FQDN, labelSetKey, sortedLabels } from '../../policy/labels.ts';
import type { LearnedAddress } from '../../policy/resolve/inventory.ts';
import { KeyedValues } from '../set/keyed_values.ts';
import { FqdnSelectors } from './fqdn_selectors.ts';
import type { NameCache } from './name_cache.ts';

export class LearnedAddresses {
  readonly #cache: NameCache;
  /** False: it is somebody's in the cluster by now. */
  readonly #isLearnable: (ip: IpText) => boolean;
  readonly #values = new KeyedValues<LearnedAddress>(isSame);
  #selectors = FqdnSelectors.NONE;
  /** By the name: texts of those that select it. */
  readonly #selecting = new Map<string, readonly string[]>();
  /** Labels that many addresses share. */
  readonly #labels = new Map<string, readonly string[]>();

  constructor(cache: NameCache, isLearnable: (ip: IpText) => boolean) {
    this.#cache = cache;
    this.#isLearnable = isLearnable;
  }

  /** Of another set of policies: names are held against what differs. */
  select(selectors: FqdnSelectors): void {
    const before = this.#selectors;
    if (selectors.isSameAs(before)) return;
    this.#selectors = selectors;
    const [come, gone] = [selectors.without(before), before.without(selectors)];
    for (const name of this.#cache.names()) {
      const isOther = come.selecting(name).length > 0 || gone.selecting(name).length > 0;
      if (!isOther) continue;
      this.#selecting.delete(name);
      for (const ip of this.#cache.ipsOf(name)) this.#derive(ip);
    }
  }

  /** Who is in the cluster has changed about these. */
  look(ips: Iterable<IpText>): void {
    for (const ip of ips) if (this.#cache.namesOf(ip).length > 0) this.#derive(ip);
  }

  /** By address; the very same list, when nothing changed. */
  list(): readonly LearnedAddress[] {
    for (const ip of this.#cache.takeChanged()) this.#derive(ip);
    // Of names that are gone.
    if (this.#selecting.size > 2 * this.#cache.count + SPARE_COUNT) this.#selecting.clear();
    return this.#values.list();
  }

  #derive(ip: IpText): void {
    const texts = new Set<string>();
    for (const name of this.#cache.namesOf(ip)) {
      for (const text of this.#selectingOf(name)) texts.add(text);
    }
    const isSelected = texts.size > 0 && this.#isLearnable(ip);
    const address = isSelected ? this.#cache.addressOf(ip) : null;
    const value = address === null ? null : { address, labels: this.#labelsOf(texts) };
    this.#values.set(ip, value);
  }

  #selectingOf(name: string): readonly string[] {
    let texts = this.#selecting.get(name);
    if (texts === undefined) {
      texts = this.#selectors.selecting(name);
      this.#selecting.set(name, texts);
    }
    return texts;
  }

  #labelsOf(texts: ReadonlySet<string>): readonly string[] {
    const labels = sortedLabels(Array.from(texts, (text) => `${LABEL_SOURCE_FQDN}:${text}`));
    const key = labelSetKey(labels);
    const known = this.#labels.get(key);
    if (known !== undefined) return known;
    if (this.#labels.size >= LABELS_COUNT_MAX) this.#labels.clear();
    this.#labels.set(key, labels);
    return labels;
  }
}

const SPARE_COUNT = 1000;
const LABELS_COUNT_MAX = 10_000;

function isSame(a: LearnedAddress, b: LearnedAddress): boolean {
  return (
    a.labels === b.labels ||
    (a.labels.length === b.labels.length && a.labels.every((label, i) => label === b.labels[i]))
  );
}
