/**
 * The selectors of one policy set, each once, numbered (pkg/policy SelectorCache). Tells which of them select an
 * identity without asking them all: a selector is filed under a label that it demands, a prefix or a name.
 */
import type { IpPrefix } from '../../model/address.ts';
import { parsePrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import { NAMESPACE_KEY } from '../labels.ts';
import { FqdnSet } from '../match/fqdn_set.ts';
import type { RemoteSelector } from '../remote_selector.ts';
import type { LabelRequirement, LabelSelector } from '../selector.ts';
import type { IdentityEntry } from './identity_entry.ts';
import { coveredWorlds, fqdnNamesOf, selects } from './selects.ts';

/** Identities that no roster knows have view keys below it. */
const VIEW_KEYS = 2 ** 32;
const NAMING_COUNT_MAX = 4096;
const NONE: readonly number[] = [];

export class SelectorCache {
  readonly #selectors: RemoteSelector[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #byLabel = new Map<string, number[]>();
  readonly #byPrefix = new Map<string, number[]>();
  readonly #prefixLengths = { 4: new Set<number>(), 6: new Set<number>() };
  readonly #byWorld = new Map<Identity, number[]>();
  /** Asked of every identity. */
  readonly #others: number[] = [];
  readonly #byName = new Map<string, number[]>();
  /** Patterns of names, asked of identities with a name. */
  readonly #namePatterns: number[] = [];
  readonly #fqdns = new FqdnSet<number>();
  /** By the canonical name. */
  readonly #naming = new Map<string, readonly number[]>();
  #lastViewKey = VIEW_KEYS;

  /** Numbers count from 0. */
  get size(): number {
    return this.#selectors.length;
  }

  /** The number of a selector, which is added if it is not there. */
  add(selector: RemoteSelector): number {
    const known = this.#numbers.get(selector.key);
    if (known !== undefined) return known;
    const number = this.#selectors.push(selector) - 1;
    this.#numbers.set(selector.key, number);
    this.#file(selector, number);
    return number;
  }

  /** The same selectors have the same numbers. */
  isSameAs(other: SelectorCache): boolean {
    return (
      this.size === other.size &&
      this.#selectors.every((one, number) => isSameSelector(one, other.#selectors[number]))
    );
  }

  /** See `Remote.viewKey`. Counted here, so that no two readers of the set's views give one number twice. */
  nextViewKey(): number {
    this.#lastViewKey += 1;
    return this.#lastViewKey;
  }

  /** It is a `toFQDNs`. */
  isByName(number: number): boolean {
    return this.#selectors[number]?.kind === 'fqdn';
  }

  /** Numbers of `toFQDNs` that select the canonical name. */
  naming(name: string): readonly number[] {
    if (this.#fqdns.isEmpty) return NONE;
    const known = this.#naming.get(name);
    if (known !== undefined) return known;
    const numbers = this.#fqdns.selecting(name);
    // Names that clients ask for, most of them again and again.
    if (this.#naming.size >= NAMING_COUNT_MAX) this.#naming.clear();
    this.#naming.set(name, numbers);
    return numbers;
  }

  /** Ascending numbers of those that select it. */
  selecting(entry: IdentityEntry): Uint32Array {
    const found = new Set<number>();
    const ask = (numbers: readonly number[] | undefined): void => {
      for (const number of numbers ?? []) {
        if (!found.has(number) && selects(this.#selectors[number] as RemoteSelector, entry)) {
          found.add(number);
        }
      }
    };
    ask(this.#others);
    ask(this.#byWorld.get(entry.identity));
    for (const [key, value] of entry.set.entries()) ask(this.#byLabel.get(`${key}=${value}`));
    for (const prefix of entry.prefixes) {
      for (const text of this.#covers(prefix)) ask(this.#byPrefix.get(text));
    }
    if (this.#byName.size > 0 || this.#namePatterns.length > 0) {
      const names = fqdnNamesOf(entry);
      for (const name of names) ask(this.#byName.get(name));
      if (names.length > 0) ask(this.#namePatterns);
    }
    return Uint32Array.from(found).sort();
  }

  #file(selector: RemoteSelector, number: number): void {
    switch (selector.kind) {
      case 'labels':
        this.#fileLabels(selector.selector, number);
        break;
      case 'prefixes':
        for (const world of coveredWorlds(selector)) push(this.#byWorld, world, number);
        for (const { address, length, text } of selector.prefixes) {
          this.#prefixLengths[address.family].add(length);
          push(this.#byPrefix, text, number);
        }
        break;
      case 'fqdn':
        this.#fqdns.add(selector.text, selector.isPattern, number);
        if (selector.isPattern) this.#namePatterns.push(number);
        else push(this.#byName, selector.text, number);
        break;
    }
  }

  #fileLabels({ requirements }: LabelSelector, number: number): void {
    const demanded = requirements.filter(demandsOneOf);
    // Nearly every selector demands a namespace; any other label tells more.
    const best = demanded.find(({ key }) => !key.endsWith(`:${NAMESPACE_KEY}`)) ?? demanded[0];
    if (best === undefined) this.#others.push(number);
    else for (const value of best.values) push(this.#byLabel, `${best.key}=${value}`, number);
  }

  /** Texts of the selectors' prefixes that can hold `prefix`. */
  *#covers({ address, length }: IpPrefix): Generator<string> {
    for (const outer of this.#prefixLengths[address.family]) {
      if (outer > length) continue;
      const options = { allowBare: false, allowHostBits: true };
      const cover = parsePrefix(`${address.text}/${outer}`, options);
      if (cover !== null) yield cover.text;
    }
  }
}

/** What a group or a Service is called stays in the key when its prefixes are others. */
function isSameSelector(a: RemoteSelector, b: RemoteSelector | undefined): boolean {
  if (a === b) return true;
  if (b === undefined || a.key !== b.key || a.kind !== b.kind) return false;
  if (a.kind !== 'prefixes' || b.kind !== 'prefixes') return true;
  return a.mode === b.mode && areSame(a.prefixes, b.prefixes) && areSame(a.except, b.except);
}

function areSame(a: readonly IpPrefix[], b: readonly IpPrefix[]): boolean {
  return a.length === b.length && a.every(({ text }, index) => text === b[index]?.text);
}

function demandsOneOf({ operator, values }: LabelRequirement): boolean {
  return operator === 'in' && values.length > 0;
}

function push<Key>(index: Map<Key, number[]>, key: Key, number: number): void {
  const numbers = index.get(key);
  if (numbers === undefined) index.set(key, [number]);
  else if (numbers.at(-1) !== number) numbers.push(number);
}
