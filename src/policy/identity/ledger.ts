/**
 * Where batches are made: it holds who is who, is told what changes, and numbers what everybody else has to be told.
 * An identity that nobody has an address of any more goes, unless it is kept: those that the inventory, a policy or the
 * engine itself defines.
 */
import type { IpPrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import { labelSetKey } from '../labels.ts';
import type { EndpointPlace, IdentityBatch, IdentityDelta } from './delta.ts';
import type { IdentityEntry } from './identity_entry.ts';
import type { Ipcache } from './ipcache.ts';
import { Roster } from './roster.ts';

/** Who is who, whole. */
export interface WhoIsWho {
  readonly ipcache: Ipcache;
  readonly entries: readonly IdentityEntry[];
  readonly endpoints: readonly EndpointPlace[];
}

export type IdentityFacts = Pick<IdentityEntry, 'identity' | 'prefixes'> & {
  readonly labels: readonly string[];
};

/** What a source says has changed. Identities that an address needs come with it, or are known. */
export interface IdentityChange {
  readonly identities?: readonly IdentityFacts[];
  /** As `identities`; they stay without an address, until they are among `gone`. */
  readonly kept?: readonly IdentityFacts[];
  /** Kept ones that go. Nobody has an address of theirs any more. */
  readonly gone?: readonly Identity[];
  readonly addresses?: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  readonly goneAddresses?: readonly IpPrefix[];
  readonly endpoints?: readonly EndpointPlace[];
  readonly goneEndpoints?: readonly string[];
}

export class IdentityLedger {
  #roster: Roster;
  /** Defined by a whole, or by a change that says so: they stay without an address. */
  #kept: Set<Identity>;
  readonly #addressCounts = new Map<Identity, number>();
  readonly #endpoints = new Map<string, EndpointPlace>();

  /** `roster`: of the whole, where somebody has it already. */
  constructor(whole: WhoIsWho, sequence = 0, roster?: Roster) {
    this.#roster = roster ?? Roster.of(sequence, whole.ipcache, whole.entries);
    this.#kept = keptBy(whole);
    this.#count(whole);
  }

  get roster(): Roster {
    return this.#roster;
  }

  endpoints(): readonly EndpointPlace[] {
    return [...this.#endpoints.values()];
  }

  /** Null: nothing is new. */
  change(change: IdentityChange): IdentityBatch | null {
    const deltas: IdentityDelta[] = [];
    for (const { identity } of change.kept ?? []) this.#kept.add(identity);
    for (const identity of change.gone ?? []) this.#kept.delete(identity);
    for (const facts of [...(change.identities ?? []), ...(change.kept ?? [])]) {
      if (!isSameEntry(this.#roster.entry(facts.identity), facts)) {
        deltas.push({ kind: 'add-identity', ...facts });
      }
    }
    const changed = new Map<string, Identity | null>();
    const before = (prefix: IpPrefix): Identity | null =>
      changed.has(prefix.text)
        ? (changed.get(prefix.text) ?? null)
        : this.#roster.ipcache.exact(prefix);
    const move = (prefix: IpPrefix, identity: Identity | null): void => {
      const had = before(prefix);
      if (had === identity) return;
      changed.set(prefix.text, identity);
      if (had !== null) this.#addAddresses(had, -1);
      if (identity !== null) this.#addAddresses(identity, 1);
      deltas.push(
        identity === null
          ? { kind: 'remove-address', prefix }
          : { kind: 'upsert-address', prefix, identity },
      );
    };
    for (const { prefix, identity } of change.addresses ?? []) move(prefix, identity);
    for (const prefix of change.goneAddresses ?? []) move(prefix, null);
    deltas.push(...this.#endpointDeltas(change), ...this.#unusedDeltas(deltas, change.gone ?? []));
    return this.#commit(deltas);
  }

  /** As a source has it that only tells the whole; null: nothing is new. */
  become(whole: WhoIsWho): IdentityBatch | null {
    const deltas = this.differences(whole);
    this.#kept = keptBy(whole);
    this.#count(whole);
    return this.#commit(deltas);
  }

  /** A whole that goes to everybody as such: what comes next is numbered after it. */
  replace(whole: WhoIsWho, roster: Roster): void {
    this.#roster = roster;
    this.#kept = keptBy(whole);
    this.#count(whole);
  }

  /** Made by somebody else of the same batches: it takes the place of our own. */
  share(roster: Roster): void {
    if (roster.sequence === this.#roster.sequence) this.#roster = roster;
  }

  /** What would make the whole of what there is. */
  differences(whole: WhoIsWho): readonly IdentityDelta[] {
    const wanted = new Set(whole.entries.map(({ identity }) => identity));
    const added = whole.entries
      .filter((entry) => !isSameEntry(this.#roster.entry(entry.identity), factsOf(entry)))
      .map((entry): IdentityDelta => ({ kind: 'add-identity', ...factsOf(entry) }));
    const gone = Array.from(this.#roster.entries())
      .filter(({ identity }) => !wanted.has(identity))
      .map(({ identity }): IdentityDelta => ({ kind: 'remove-identity', identity }));
    return [
      ...added,
      ...this.#addressDifferences(whole.ipcache),
      ...this.#endpointDeltas({
        endpoints: whole.endpoints,
        goneEndpoints: this.#goneEndpoints(whole.endpoints),
      }),
      ...gone,
    ];
  }

  #addressDifferences(next: Ipcache): IdentityDelta[] {
    const { ipcache } = this.#roster;
    const deltas: IdentityDelta[] = [];
    for (const { prefix, identity } of next.entries) {
      if (ipcache.exact(prefix) !== identity)
        deltas.push({ kind: 'upsert-address', prefix, identity });
    }
    for (const { prefix } of ipcache.entries) {
      if (next.exact(prefix) === null) deltas.push({ kind: 'remove-address', prefix });
    }
    return deltas;
  }

  #goneEndpoints(wanted: readonly EndpointPlace[]): string[] {
    const names = new Set(wanted.map(({ name }) => name));
    return [...this.#endpoints.keys()].filter((name) => !names.has(name));
  }

  /** Those that go come first: their addresses may be others' right away. */
  #endpointDeltas(change: IdentityChange): IdentityDelta[] {
    const moved = (change.endpoints ?? []).filter(
      (place) => !isSamePlace(this.#endpoints.get(place.name), place),
    );
    // Two may change places: each leaves its own before one takes another.
    const leaving = [...(change.goneEndpoints ?? []), ...moved.map(({ name }) => name)];
    return [
      ...leaving.flatMap((name): IdentityDelta[] => {
        const ips = this.#endpoints.get(name)?.ips;
        return ips === undefined ? [] : [{ kind: 'remove-endpoint', name, ips }];
      }),
      ...moved.map((endpoint): IdentityDelta => ({ kind: 'upsert-endpoint', endpoint })),
    ];
  }

  #unusedDeltas(deltas: readonly IdentityDelta[], gone: readonly Identity[]): IdentityDelta[] {
    const touched = new Set(gone);
    for (const delta of deltas) {
      if (delta.kind !== 'upsert-address' && delta.kind !== 'remove-address') continue;
      const had = this.#roster.ipcache.exact(delta.prefix);
      if (had !== null) touched.add(had);
    }
    return [...touched]
      .filter((identity) => !this.#kept.has(identity) && !this.#addressCounts.has(identity))
      .map((identity) => ({ kind: 'remove-identity', identity }));
  }

  #commit(deltas: readonly IdentityDelta[]): IdentityBatch | null {
    if (deltas.length === 0) return null;
    const batch = { sequence: this.#roster.sequence + 1, deltas };
    this.#roster = this.#roster.after(batch);
    for (const delta of deltas) {
      if (delta.kind === 'upsert-endpoint') {
        this.#endpoints.set(delta.endpoint.name, delta.endpoint);
      } else if (delta.kind === 'remove-endpoint') {
        this.#endpoints.delete(delta.name);
      }
    }
    return batch;
  }

  #addAddresses(identity: Identity, by: 1 | -1): void {
    const count = (this.#addressCounts.get(identity) ?? 0) + by;
    if (count === 0) this.#addressCounts.delete(identity);
    else this.#addressCounts.set(identity, count);
  }

  #count({ ipcache, endpoints }: WhoIsWho): void {
    this.#addressCounts.clear();
    for (const { identity } of ipcache.entries) this.#addAddresses(identity, 1);
    this.#endpoints.clear();
    for (const place of endpoints) this.#endpoints.set(place.name, place);
  }
}

function keptBy({ entries }: WhoIsWho): Set<Identity> {
  return new Set(entries.map(({ identity }) => identity));
}

function factsOf({ identity, set, prefixes }: IdentityEntry): IdentityFacts {
  return { identity, labels: set.labels, prefixes };
}

function isSameEntry(entry: IdentityEntry | null, facts: IdentityFacts): boolean {
  if (entry === null) return false;
  const textOf = (prefixes: readonly IpPrefix[]): string =>
    prefixes
      .map(({ text }) => text)
      .sort()
      .join();
  return (
    labelSetKey(entry.set.labels) === labelSetKey(facts.labels) &&
    textOf(entry.prefixes) === textOf(facts.prefixes)
  );
}

function isSamePlace(known: EndpointPlace | undefined, place: EndpointPlace): boolean {
  return (
    known !== undefined &&
    known.subject === place.subject &&
    known.endpointId === place.endpointId &&
    known.ips.join() === place.ips.join()
  );
}
