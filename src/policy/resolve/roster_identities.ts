/**
 * Who is who as rules are resolved by it, from a roster: it says what a table of the same moment says. It goes on from
 * roster to roster, by the entries that are others.
 */
import type { Identity } from '../../model/identity.ts';
import type { IdentityEntry } from '../identity/identity_entry.ts';
import type { Roster } from '../identity/roster.ts';
import { EntriesByLabel, type LabelledEntries } from './entries_by_label.ts';
import type { KnownIdentities } from './identity_table.ts';

export class RosterIdentities {
  readonly #byLabel = new EntriesByLabel();

  /** To be asked before the next is made. `identityOfEndpoint`: of an endpoint of the inventory that the roster is of. */
  of(roster: Roster, identityOfEndpoint: (name: string) => Identity | null): KnownIdentities {
    const entries = [...roster.entries()];
    this.#byLabel.become(entries);
    return {
      entries,
      ipcache: roster.ipcache,
      entry: (identity: Identity): IdentityEntry | null => roster.entry(identity),
      labelsOf: (identity) => roster.labelsOf(identity),
      identityOfEndpoint,
      entriesWith: (key: string, value: string): LabelledEntries => this.#byLabel.with(key, value),
    };
  }
}
