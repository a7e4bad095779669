/**
 * Who is who at one moment: prefixes → identities → labels. A value: a batch makes the next one, which shares
 * nearly all of itself with this one. It knows no policy.
 */
import type { IpPrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import type { LabelLookup } from '../lookups.ts';
import { LabelSet } from '../selector.ts';
import { BrokenTableError, type IdentityBatch } from './delta.ts';
import type { IdentityEntry } from './identity_entry.ts';
import type { Ipcache, IpcacheChange } from './ipcache.ts';
import { type MapChange, PersistentMap } from './persistent_map.ts';

export class Roster implements LabelLookup {
  /** Of the last batch that is in it. */
  readonly sequence: number;
  readonly ipcache: Ipcache;
  readonly #identities: PersistentMap<Identity, IdentityEntry>;

  constructor(parts: {
    readonly sequence: number;
    readonly ipcache: Ipcache;
    readonly identities: PersistentMap<Identity, IdentityEntry>;
  }) {
    this.sequence = parts.sequence;
    this.ipcache = parts.ipcache;
    this.#identities = parts.identities;
  }

  static of(sequence: number, ipcache: Ipcache, entries: Iterable<IdentityEntry>): Roster {
    const identities = new Map<Identity, IdentityEntry>();
    for (const entry of entries) identities.set(entry.identity, entry);
    return new Roster({ sequence, ipcache, identities: PersistentMap.of(identities) });
  }

  get identityCount(): number {
    return this.#identities.size;
  }

  entry(identity: Identity): IdentityEntry | null {
    return this.#identities.get(identity) ?? null;
  }

  entries(): Iterable<IdentityEntry> {
    return this.#identities.values();
  }

  labelsOf(identity: Identity): readonly string[] {
    return this.#identities.get(identity)?.set.labels ?? NO_LABELS;
  }

  /** Throws a BrokenTableError when the batch does not fit: then nothing of it counts. */
  after(batch: IdentityBatch): Roster {
    if (batch.sequence !== this.sequence + 1) {
      throw new BrokenTableError(`batch ${batch.sequence} came after batch ${this.sequence}`);
    }
    const addresses: IpcacheChange[] = [];
    // By the text of the prefix: whether somebody has it after the deltas so far.
    const had = new Map<string, boolean>();
    const changed = new Map<Identity, IdentityEntry | undefined>();
    for (const delta of batch.deltas) {
      switch (delta.kind) {
        case 'add-identity':
          changed.set(delta.identity, entryOf(delta));
          break;
        case 'remove-identity':
          if (!this.#knows(delta.identity, changed)) failUnknown(delta.identity);
          changed.set(delta.identity, undefined);
          break;
        case 'upsert-address':
          if (!this.#knows(delta.identity, changed)) failUnknown(delta.identity);
          addresses.push(delta);
          had.set(delta.prefix.text, true);
          break;
        case 'remove-address':
          if (!(had.get(delta.prefix.text) ?? this.ipcache.exact(delta.prefix) !== null)) {
            throw new BrokenTableError(`nobody has ${delta.prefix.text}`);
          }
          addresses.push({ prefix: delta.prefix, identity: null });
          had.set(delta.prefix.text, false);
          break;
        case 'upsert-endpoint':
        case 'remove-endpoint':
          break;
      }
    }
    const changes: MapChange<Identity, IdentityEntry>[] = [...changed];
    return new Roster({
      sequence: batch.sequence,
      ipcache: addresses.length === 0 ? this.ipcache : this.ipcache.after(addresses),
      identities: this.#identities.after(changes),
    });
  }

  #knows(identity: Identity, changed: ReadonlyMap<Identity, IdentityEntry | undefined>): boolean {
    if (changed.has(identity)) return changed.get(identity) !== undefined;
    return this.#identities.get(identity) !== undefined;
  }
}

/** Those whose labels changed, were added or went. */
export function changedIdentities({ deltas }: IdentityBatch): ReadonlySet<Identity> {
  const identities = new Set<Identity>();
  for (const delta of deltas) {
    if (delta.kind === 'add-identity' || delta.kind === 'remove-identity')
      identities.add(delta.identity);
  }
  return identities;
}

const NO_LABELS: readonly string[] = Object.freeze([]);

function entryOf(delta: {
  readonly identity: Identity;
  readonly labels: readonly string[];
  readonly prefixes: readonly IpPrefix[];
}): IdentityEntry {
  const { identity, labels, prefixes } = delta;
  return { identity, set: new LabelSet(labels), prefixes };
}

function failUnknown(identity: Identity): never {
  throw new BrokenTableError(`identity ${identity} is not known`);
}
