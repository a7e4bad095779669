/**
 * Which addresses names have, as answers said. An address of a name is kept until its time to live is over, then as long
 * as a connection to it lives, then a while; so nobody who got an answer is refused because it came a moment ago.
 *
 *     name ──► address ──► until when, and who asked          holders: who asked ──► what is kept for them, oldest first
 *     address ──► names
 *
 * Whoever asks takes places of its own bound, and makes room from its own: what several asked for stays until the last of
 * them gives it up. So nobody can make another's names forgotten by asking for many.
 */
import type { IpAddress, IpText } from '../../model/address.ts';

export interface Lookup {
  /** Canonical: lower case, a dot at its end. */
  readonly name: string;
  /** Who asked: an endpoint's name. */
  readonly holder: string;
  readonly addresses: readonly IpAddress[];
  readonly ttlSeconds: number;
}

/** A lookup, and when it was. */
export interface KeptLookup extends Lookup {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

export interface NameBounds {
  /** Addresses of one name that one who asks may hold. */
  readonly nameAddressCountMax: number;
  readonly holderAddressCountMax: number;
  /** Names of one address that one who asks may hold. */
  readonly addressNameCountMax: number;
  readonly addressCountMax: number;
  readonly ttlMinMs: number;
  readonly ttlMaxMs: number;
  /** Behind the time to live, or the last sign of a connection. */
  readonly graceMs: number;
}

export interface NamedAddress {
  readonly name: string;
  readonly address: IpAddress;
  readonly expiresAtMs: number;
  /** Of the last sign of a connection to it; 0: none. */
  readonly aliveAtMs: number;
  /** Who asked. */
  readonly holders: readonly string[];
}

/** Few hold one, and few names have one address: lists take a fifth of what sets do. */
interface Entry extends NamedAddress {
  expiresAtMs: number;
  aliveAtMs: number;
  readonly holders: string[];
}

export class NameCache {
  readonly #bounds: NameBounds;
  /** By name and address; of each name the one that was told longest ago first. */
  readonly #byName = new Map<string, Map<IpText, Entry>>();
  readonly #byAddress = new Map<IpText, Entry[]>();
  readonly #byHolder = new Map<string, Set<Entry>>();
  #changed = new Set<IpText>();
  #count = 0;
  #learnedCount = 0;
  #evictedCount = 0;
  #expiredCount = 0;

  constructor(bounds: NameBounds) {
    this.#bounds = bounds;
  }

  /** Of names and addresses, each pair once. */
  get count(): number {
    return this.#count;
  }

  get nameCount(): number {
    return this.#byName.size;
  }

  get addressCount(): number {
    return this.#byAddress.size;
  }

  /** Pairs that were not there before, since the beginning. */
  get learnedCount(): number {
    return this.#learnedCount;
  }

  /** Pairs that had to go before their time, since the beginning. */
  get evictedCount(): number {
    return this.#evictedCount;
  }

  /** Pairs that have had their time, since the beginning. */
  get expiredCount(): number {
    return this.#expiredCount;
  }

  /** All that is kept. */
  *entries(): Generator<NamedAddress> {
    for (const addresses of this.#byName.values()) yield* addresses.values();
  }

  /** Each address that has a name, once. */
  ips(): Iterable<IpText> {
    return this.#byAddress.keys();
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  ipsOf(name: string): Iterable<IpText> {
    return this.#byName.get(name)?.keys() ?? [];
  }

  /** Null: it has no name. */
  addressOf(ip: IpText): IpAddress | null {
    return this.#byAddress.get(ip)?.[0]?.address ?? null;
  }

  namesOf(ip: IpText): readonly string[] {
    return this.#byAddress.get(ip)?.map(({ name }) => name) ?? [];
  }

  learn({ name, holder, addresses, ttlSeconds }: Lookup, nowMs: number): void {
    const { ttlMinMs, ttlMaxMs } = this.#bounds;
    const expiresAtMs = nowMs + Math.max(Math.min(ttlSeconds * 1000, ttlMaxMs), ttlMinMs);
    for (const address of addresses) {
      const entry = this.#byName.get(name)?.get(address.text) ?? this.#add(name, address);
      // A shorter answer takes nothing back from whoever has the longer one.
      entry.expiresAtMs = Math.max(entry.expiresAtMs, expiresAtMs);
      this.#hold(entry, holder);
      this.#renew(entry);
      this.#trimAddress(address.text, holder);
    }
    this.#trimName(name, holder);
    this.#trimHolder(holder, this.#bounds.holderAddressCountMax);
    while (this.#count > this.#bounds.addressCountMax) this.#trimLargest();
  }

  /** Connections to these addresses are open. */
  markAlive(ips: Iterable<IpText>, nowMs: number): void {
    for (const ip of ips) {
      for (const entry of this.#byAddress.get(ip) ?? []) {
        entry.aliveAtMs = nowMs;
        this.#renew(entry);
      }
    }
  }

  /** Forgets whatever has had its time. */
  expire(nowMs: number): void {
    for (const addresses of this.#byName.values()) {
      for (const entry of addresses.values()) {
        const lastMs = Math.max(entry.expiresAtMs, entry.aliveAtMs);
        if (nowMs < lastMs + this.#bounds.graceMs) continue;
        this.#expiredCount++;
        this.#remove(entry);
      }
    }
  }

  /** Addresses that got a name or lost one since the last call. */
  takeChanged(): ReadonlySet<IpText> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  #add(name: string, address: IpAddress): Entry {
    const entry: Entry = { name, address, expiresAtMs: 0, aliveAtMs: 0, holders: [] };
    inner(this.#byName, name, () => new Map<IpText, Entry>()).set(address.text, entry);
    inner(this.#byAddress, address.text, (): Entry[] => []).push(entry);
    this.#changed.add(address.text);
    this.#count++;
    this.#learnedCount++;
    return entry;
  }

  #hold(entry: Entry, holder: string): void {
    if (!entry.holders.includes(holder)) entry.holders.push(holder);
    inner(this.#byHolder, holder, () => new Set<Entry>()).add(entry);
  }

  /** To the end of every queue in which it stands. */
  #renew(entry: Entry): void {
    const siblings = this.#byName.get(entry.name);
    siblings?.delete(entry.address.text);
    siblings?.set(entry.address.text, entry);
    for (const holder of entry.holders) {
      const held = this.#byHolder.get(holder);
      held?.delete(entry);
      held?.add(entry);
    }
  }

  /** Who asks a server of its own about another's name takes none of the addresses that the other was told. */
  #trimName(name: string, holder: string): void {
    const { nameAddressCountMax } = this.#bounds;
    const siblings = this.#byName.get(name);
    if (siblings === undefined || siblings.size <= nameAddressCountMax) return;
    const own = [...siblings.values()].filter(({ holders }) => holders.includes(holder));
    for (const entry of own.slice(0, Math.max(0, own.length - nameAddressCountMax))) {
      this.#giveUp(entry, holder);
    }
  }

  /** Else one who asks for many names makes all about their address slow. */
  #trimAddress(ip: IpText, holder: string): void {
    const { addressNameCountMax } = this.#bounds;
    const named = this.#byAddress.get(ip) ?? [];
    if (named.length <= addressNameCountMax) return;
    const own = named.filter(({ holders }) => holders.includes(holder));
    for (const entry of own.slice(0, own.length - addressNameCountMax)) {
      this.#giveUp(entry, holder);
    }
  }

  #trimHolder(holder: string, countMax: number): void {
    const held = this.#byHolder.get(holder);
    for (const entry of held ?? []) {
      if ((held?.size ?? 0) <= countMax) return;
      this.#giveUp(entry, holder);
    }
  }

  /** By one. */
  #trimLargest(): void {
    let largest = '';
    let size = 0;
    for (const [holder, held] of this.#byHolder) {
      if (held.size <= size) continue;
      largest = holder;
      size = held.size;
    }
    this.#trimHolder(largest, size - 1);
  }

  #giveUp(entry: Entry, holder: string): void {
    this.#release(entry, holder);
    if (entry.holders.length === 0) this.#evict(entry);
  }

  #evict(entry: Entry): void {
    this.#evictedCount++;
    this.#remove(entry);
  }

  #remove(entry: Entry): void {
    const { name, address, holders } = entry;
    for (const holder of [...holders]) this.#release(entry, holder);
    removeInner(this.#byName, name, (siblings) => siblings.delete(address.text));
    const named = this.#byAddress.get(address.text) ?? [];
    if (named.length > 1) named.splice(named.indexOf(entry), 1);
    else this.#byAddress.delete(address.text);
    this.#changed.add(address.text);
    this.#count--;
  }

  #release(entry: Entry, holder: string): void {
    const at = entry.holders.indexOf(holder);
    if (at !== -1) entry.holders.splice(at, 1);
    removeInner(this.#byHolder, holder, (held) => held.delete(entry));
  }
}

function inner<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** What is empty goes as well. */
function removeInner<Key, Value extends { readonly size: number }>(
  map: Map<Key, Value>,
  key: Key,
  remove: (value: Value) => void,
): void {
  const value = map.get(key);
  if (value === undefined) return;
  remove(value);
  if (value.size === 0) map.delete(key);
}
