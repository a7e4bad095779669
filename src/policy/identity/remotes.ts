/**
 * Which selectors of one policy set select which identity, at one moment: what the rules' remotes are made of. A
 * value: a batch asks the selectors about the identities that it brings, and about no others.
 */
import type { Identity } from '../../model/identity.ts';
import { ITEMS_PER_STEP, type Steps } from '../../model/steps.ts';
import type { IdentityEntry } from './identity_entry.ts';
import { type MapChange, PersistentMap } from './persistent_map.ts';
import type { Roster } from './roster.ts';
import type { SelectorCache } from './selector_cache.ts';

/** One identity as the rules of a set see it. */
export interface Remote {
  readonly identity: Identity;
  /** Another one for each set of labels that the number has meant: what views are kept by. */
  readonly viewKey: number;
  /** Ascending numbers of the selectors that select it. */
  readonly selectors: Uint32Array;
}

export interface ChangedRemotes {
  readonly remotes: Remotes;
  /** Selectors that selected nobody and select somebody now, or the other way round. */
  readonly flipped: readonly number[];
}

const NO_SELECTORS = new Uint32Array(0);

export class Remotes {
  readonly #cache: SelectorCache;
  readonly #byIdentity: PersistentMap<Identity, Remote>;
  /** How many identities each selector selects. */
  readonly #counts: Int32Array;
  #members: ReadonlyMap<number, ReadonlySet<Identity>> | null = null;

  private constructor(parts: {
    readonly cache: SelectorCache;
    readonly byIdentity: PersistentMap<Identity, Remote>;
    readonly counts: Int32Array;
  }) {
    this.#cache = parts.cache;
    this.#byIdentity = parts.byIdentity;
    this.#counts = parts.counts;
  }

  /** `cache` gets no selectors afterwards. */
  static *build(cache: SelectorCache, entries: Iterable<IdentityEntry>): Steps<Remotes> {
    const counts = new Int32Array(cache.size);
    const byIdentity = new Map<Identity, Remote>();
    for (const entry of entries) {
      const remote = remoteOf(entry, cache);
      byIdentity.set(entry.identity, remote);
      count(counts, remote, 1);
      if (byIdentity.size % ITEMS_PER_STEP === 0) yield;
    }
    return new Remotes({ cache, byIdentity: PersistentMap.of(byIdentity), counts });
  }

  /** By their numbers; it gets no others. */
  get selectors(): SelectorCache {
    return this.#cache;
  }

  of(identity: Identity): Remote {
    return this.#byIdentity.get(identity) ?? unknownRemote(identity);
  }

  /** All that are known. */
  identities(): readonly Identity[] {
    return Array.from(this.#byIdentity.values(), ({ identity }) => identity);
  }

  /** False: it selects nobody, so its rules are as if they were not there. */
  isInUse(selector: number): boolean {
    return (this.#counts[selector] as number) > 0;
  }

  /** Made when it is asked for: only a kernel, and a print, has to name them all. */
  membersOf(selector: number): ReadonlySet<Identity> {
    this.#members ??= membersOf(this.#byIdentity);
    return this.#members.get(selector) ?? NOBODY;
  }

  /** `roster` is as it is after the identities in `changed` were added, went, or got other labels. */
  after(roster: Roster, changed: Iterable<Identity>): ChangedRemotes {
    const counts = this.#counts.slice();
    const touched = new Set<number>();
    const changes: MapChange<Identity, Remote>[] = [];
    for (const identity of changed) {
      const before = this.#byIdentity.get(identity);
      if (before !== undefined) count(counts, before, -1);
      for (const selector of before?.selectors ?? NO_SELECTORS) touched.add(selector);
      const entry = roster.entry(identity);
      const next = entry === null ? undefined : remoteOf(entry, this.#cache);
      if (next !== undefined) count(counts, next, 1);
      for (const selector of next?.selectors ?? NO_SELECTORS) touched.add(selector);
      changes.push([identity, next]);
    }
    if (changes.length === 0) return { remotes: this, flipped: [] };
    const byIdentity = this.#byIdentity.after(changes);
    const flipped = [...touched].filter(
      (selector) => this.isInUse(selector) !== (counts[selector] as number) > 0,
    );
    const remotes = new Remotes({ cache: this.#cache, byIdentity, counts });
    return { remotes, flipped };
  }
}

const NOBODY: ReadonlySet<Identity> = new Set();

/** One that no roster knows: no selector selects it. */
export function unknownRemote(identity: Identity): Remote {
  return { identity, viewKey: identity, selectors: NO_SELECTORS };
}

/** True when `selector` is among the ascending `selectors`. */
export function isSelectedBy({ selectors }: Remote, selector: number): boolean {
  let low = 0;
  let high = selectors.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = selectors[middle] as number;
    if (found === selector) return true;
    if (found < selector) low = middle + 1;
    else high = middle - 1;
  }
  return false;
}

function remoteOf(entry: IdentityEntry, cache: SelectorCache): Remote {
  const { identity } = entry;
  return { identity, viewKey: cache.nextViewKey(), selectors: cache.selecting(entry) };
}

function count(counts: Int32Array, { selectors }: Remote, by: 1 | -1): void {
  for (const selector of selectors) counts[selector] = (counts[selector] as number) + by;
}

function membersOf(
  byIdentity: PersistentMap<Identity, Remote>,
): ReadonlyMap<number, ReadonlySet<Identity>> {
  const members = new Map<number, Set<Identity>>();
  for (const { identity, selectors } of byIdentity.values()) {
    for (const selector of selectors) {
      const own = members.get(selector);
      if (own === undefined) members.set(selector, new Set([identity]));
      else own.add(identity);
    }
  }
  return members;
}
