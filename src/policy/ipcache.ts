/**
 * IP → identity by longest prefix, as Cilium's ipcache: one map for each prefix length that is in
 * use, asked from the longest to the shortest. An endpoint's own address is a prefix of full
 * length and so comes before every CIDR that covers it.
 */
import { type IpPrefix, parseIp } from '../model/address.ts';
import type { Identity } from '../model/identity.ts';
import type { IdentityLookup } from './lookups.ts';

export interface IpcacheEntry {
  readonly prefix: IpPrefix;
  readonly identity: Identity;
}

export class Ipcache implements IdentityLookup {
  /** Of each prefix the entry that counts. */
  readonly entries: readonly IpcacheEntry[];
  readonly #families: { readonly 4: Family; readonly 6: Family };

  /** Of two entries for one prefix the first one counts. */
  constructor(entries: Iterable<IpcacheEntry>) {
    const maps = { 4: new Map<number, Level>(), 6: new Map<number, Level>() };
    const counting: IpcacheEntry[] = [];
    for (const entry of entries) {
      const { prefix, identity } = entry;
      const levels = maps[prefix.address.family];
      let level = levels.get(prefix.length);
      if (level === undefined) {
        level = { length: prefix.length, identities: new Map() };
        levels.set(prefix.length, level);
      }
      const key = keyOf(prefix.address.bytes, prefix.length);
      if (level.identities.has(key)) continue;
      level.identities.set(key, identity);
      counting.push(entry);
    }
    this.entries = counting;
    this.#families = { 4: longestFirst(maps[4]), 6: longestFirst(maps[6]) };
  }

  /** Null for what no prefix covers, and for what is no IP address. */
  lookup(ip: string): Identity | null {
    const address = parseIp(ip);
    if (address === null) return null;
    for (const level of this.#families[address.family]) {
      const identity = level.identities.get(keyOf(address.bytes, level.length));
      if (identity !== undefined) return identity;
    }
    return null;
  }
}

interface Level {
  readonly length: number;
  readonly identities: Map<string, Identity>;
}

type Family = readonly Level[];

function longestFirst(levels: ReadonlyMap<number, Level>): Family {
  return [...levels.values()].sort((a, b) => b.length - a.length);
}

/** The first `length` bits as a string of bytes. */
function keyOf(bytes: Uint8Array, length: number): string {
  let key = '';
  const whole = length >> 3;
  for (let i = 0; i < whole; i++) key += String.fromCharCode(bytes[i] as number);
  const rest = length & 7;
  if (rest !== 0)
    key += String.fromCharCode((bytes[whole] as number) & (0xff << (8 - rest)) & 0xff);
  return key;
}
