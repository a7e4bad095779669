/**
 * IP → identity by longest prefix, as Cilium's ipcache: one map for each prefix length that is in
 * use, asked from the longest to the shortest. An endpoint's own address is a prefix of full
 * length and so comes before every CIDR that covers it. Never edited: `after` makes the next one.
 */
import { type IpAddress, type IpPrefix, networkFromBytes, parseIp } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import type { IdentityLookup } from '../lookups.ts';
import { type MapChange, PersistentMap } from './persistent_map.ts';

export interface IpcacheEntry {
  readonly prefix: IpPrefix;
  readonly identity: Identity;
}

/** Null: the prefix has none of its own from now on. */
export interface IpcacheChange {
  readonly prefix: IpPrefix;
  readonly identity: Identity | null;
}

/** The same few addresses are asked for again and again: with each question of a pod those of it and of its server. */
const OFTEN_COUNT_MAX = 1024;
const often = new Map<string, IpAddress | null>();

function parsedOften(ip: string): IpAddress | null {
  let address = often.get(ip);
  if (address === undefined) {
    address = parseIp(ip);
    if (often.size >= OFTEN_COUNT_MAX) often.clear();
    often.set(ip, address);
  }
  return address;
}

/** The leading bits: of IPv4 as a number, of IPv6 as a string of bytes. */
type Key = number | string;

interface Level {
  readonly length: number;
  readonly identities: PersistentMap<Key, Identity>;
}

/** The longest first. */
interface Families {
  readonly 4: readonly Level[];
  readonly 6: readonly Level[];
}

export class Ipcache implements IdentityLookup {
  readonly #families: Families;
  #entries: readonly IpcacheEntry[] | null = null;

  /** Of two entries for one prefix the first one counts. */
  constructor(entries: Iterable<IpcacheEntry> | Families) {
    this.#families = Symbol.iterator in entries ? familiesOf(entries) : entries;
  }

  /** Null for what no prefix covers, and for what is no IP address. */
  lookup(ip: string): Identity | null {
    const address = parsedOften(ip);
    if (address === null) return null;
    for (const { length, identities } of this.#families[address.family]) {
      const identity = identities.get(keyOf(address, length));
      if (identity !== undefined) return identity;
    }
    return null;
  }

  /** The longest prefix that covers the address, of those that are no longer than `lengthMax`; null: none does. */
  cover(address: IpAddress, lengthMax: number): IpcacheEntry | null {
    for (const { length, identities } of this.#families[address.family]) {
      if (length > lengthMax) continue;
      const key = keyOf(address, length);
      const identity = identities.get(key);
      if (identity !== undefined) return { prefix: prefixOf(key, length), identity };
    }
    return null;
  }

  /** What this very prefix has, whatever shorter ones have. */
  exact({ address, length }: IpPrefix): Identity | null {
    const level = this.#families[address.family].find((one) => one.length === length);
    return level?.identities.get(keyOf(address, length)) ?? null;
  }

  /** Of each prefix the entry that counts. Made when it is asked for: only a kernel has to be told them all. */
  get entries(): readonly IpcacheEntry[] {
    this.#entries ??= [...allEntries(this.#families)];
    return this.#entries;
  }

  /** With the changes made, in order. */
  after(changes: readonly IpcacheChange[]): Ipcache {
    const byLevel = new Map<number, IpcacheChange[]>();
    for (const change of changes) {
      const { address, length } = change.prefix;
      const place = address.family === 4 ? length : IPV6_LEVELS + length;
      const known = byLevel.get(place);
      if (known === undefined) byLevel.set(place, [change]);
      else known.push(change);
    }
    let families = this.#families;
    for (const own of byLevel.values()) families = withLevel(families, own);
    return new Ipcache(families);
  }
}

/** Greater than every length of an IPv4 prefix. */
const IPV6_LEVELS = 64;

/** `changes` are of one family and length, and at least one. */
function withLevel(families: Families, changes: readonly IpcacheChange[]): Families {
  const { address, length } = (changes[0] as IpcacheChange).prefix;
  const { family } = address;
  const levels = families[family];
  const before = levels.find((level) => level.length === length)?.identities ?? NO_IDENTITIES;
  const identities = before.after(
    changes.map(
      ({ prefix, identity }): MapChange<Key, Identity> => [
        keyOf(prefix.address, length),
        identity ?? undefined,
      ],
    ),
  );
  const others = levels.filter((level) => level.length !== length);
  if (identities.size > 0) others.push({ length, identities });
  return { ...families, [family]: longestFirst(others) };
}

const NO_IDENTITIES = PersistentMap.of<Key, Identity>(new Map());

function familiesOf(entries: Iterable<IpcacheEntry>): Families {
  const maps = {
    4: new Map<number, Map<Key, Identity>>(),
    6: new Map<number, Map<Key, Identity>>(),
  };
  for (const { prefix, identity } of entries) {
    const { address, length } = prefix;
    const levels = maps[address.family];
    let level = levels.get(length);
    if (level === undefined) {
      level = new Map();
      levels.set(length, level);
    }
    const key = keyOf(address, length);
    if (!level.has(key)) level.set(key, identity);
  }
  const levelsOf = (levels: ReadonlyMap<number, ReadonlyMap<Key, Identity>>): readonly Level[] =>
    longestFirst(
      [...levels].map(([length, own]) => ({ length, identities: PersistentMap.of(own) })),
    );
  return { 4: levelsOf(maps[4]), 6: levelsOf(maps[6]) };
}

function longestFirst(levels: readonly Level[]): readonly Level[] {
  return levels.toSorted((a, b) => b.length - a.length);
}

function* allEntries(families: Families): Generator<IpcacheEntry> {
  for (const family of [4, 6] as const) {
    for (const { length, identities } of families[family]) {
      for (const [key, identity] of identities.entries()) {
        yield { prefix: prefixOf(key, length), identity };
      }
    }
  }
}

function keyOf({ family, bytes }: IpAddress, length: number): Key {
  if (family === 4) {
    if (length === 0) return 0;
    const word =
      ((bytes[0] as number) << 24) |
      ((bytes[1] as number) << 16) |
      ((bytes[2] as number) << 8) |
      (bytes[3] as number);
    return (word & (-1 << (32 - length))) >>> 0;
  }
  let key = '';
  const whole = length >> 3;
  for (let i = 0; i < whole; i++) key += String.fromCharCode(bytes[i] as number);
  const rest = length & 7;
  if (rest !== 0)
    key += String.fromCharCode((bytes[whole] as number) & (0xff << (8 - rest)) & 0xff);
  return key;
}

function prefixOf(key: Key, length: number): IpPrefix {
  const address = networkFromBytes(typeof key === 'number' ? ipv4Bytes(key) : ipv6Bytes(key));
  return { address, length, text: `${address.text}/${length}` };
}

function ipv4Bytes(key: number): Uint8Array {
  return Uint8Array.of(key >>> 24, (key >>> 16) & 0xff, (key >>> 8) & 0xff, key & 0xff);
}

function ipv6Bytes(key: string): Uint8Array {
  const bytes = new Uint8Array(16);
  for (let i = 0; i < key.length; i++) bytes[i] = key.charCodeAt(i);
  return bytes;
}
