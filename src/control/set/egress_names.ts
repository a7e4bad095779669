/**
 * Names of ports that rules use on egress, where a name means what each destination calls so: then who has a name is
 * part of the rules. Told by keys, one for each meaning that a rule hangs on: other keys are other rules.
 */

import type { IdentityEntry } from '../../policy/identity/identity_entry.ts';
import { Ipcache } from '../../policy/identity/ipcache.ts';
import { SelectorCache } from '../../policy/identity/selector_cache.ts';
import { labelSetKey } from '../../policy/labels.ts';
import type { KnownIdentities } from '../../policy/resolve/identity_table.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import { Selections } from '../../policy/resolve/selection.ts';
import type { PolicySpec } from '../../policy/rule.ts';
import type { PolicySet } from './policy_set.ts';

/** Who is asked by the rules with one name. */
interface NameUse {
  /** A rule takes any remote. */
  isAnybody: boolean;
  readonly selectors: SelectorCache;
}

export class EgressNames {
  /** By "name protocol". */
  readonly #uses = new Map<string, NameUse>();
  readonly #asked = new WeakMap<IdentityEntry, readonly string[]>();

  constructor({ specs, cidrGroups, inventory }: PolicySet) {
    const { cluster, services } = inventory;
    // Who is selected is asked later, of each who has a name.
    const selections = new Selections({ table: NO_TABLE, cluster, cidrGroups, services });
    for (const { rules } of specs) {
      for (const rule of rules) if (rule.direction === 'egress') this.#file(rule, selections);
    }
  }

  /** Rules hang on the same keys. */
  isSameAs(other: EgressNames): boolean {
    return (
      this.#uses.size === other.#uses.size &&
      [...this.#uses].every(([name, { isAnybody, selectors }]) => {
        const use = other.#uses.get(name);
        return use?.isAnybody === isAnybody && selectors.isSameAs(use.selectors);
      })
    );
  }

  get areUsed(): boolean {
    return this.#uses.size > 0;
  }

  /** What rules hang on, of an endpoint that has this identity. */
  keysOf({ namedPorts }: InventoryEndpoint, entry: IdentityEntry): readonly string[] {
    if (!this.areUsed || namedPorts.length === 0) return NONE;
    const asked = this.#askedOf(entry);
    if (asked.length === 0) return NONE;
    return namedPorts.flatMap(({ name, protocol, port }) =>
      asked.includes(`${name} ${protocol}`) ? [`${name} ${protocol} ${port} ${whoIs(entry)}`] : [],
    );
  }

  /** Names that some rule asks such an identity for. */
  #askedOf(entry: IdentityEntry): readonly string[] {
    let asked = this.#asked.get(entry);
    if (asked === undefined) {
      asked = [...this.#uses].flatMap(([name, { isAnybody, selectors }]) =>
        isAnybody || selectors.selecting(entry).length > 0 ? [name] : [],
      );
      this.#asked.set(entry, asked);
    }
    return asked;
  }

  #file({ peers, ports }: PolicySpec['rules'][number], selections: Selections): void {
    for (const { ports: elements } of ports ?? []) {
      for (const { name, protocols } of elements ?? []) {
        if (name === null) continue;
        for (const protocol of protocols) {
          const use = this.#useOf(`${name} ${protocol}`);
          if (peers === null) use.isAnybody = true;
          for (const peer of peers ?? []) {
            for (const { selector } of selections.ofPeer(peer, 'some')) {
              if (selector === null) use.isAnybody = true;
              else use.selectors.add(selector);
            }
          }
        }
      }
    }
  }

  #useOf(key: string): NameUse {
    let use = this.#uses.get(key);
    if (use === undefined) {
      use = { isAnybody: false, selectors: new SelectorCache() };
      this.#uses.set(key, use);
    }
    return use;
  }
}

const NONE: readonly string[] = [];

/** With its labels: those of a reserved identity are what all who have it share. */
function whoIs({ identity, set }: IdentityEntry): string {
  return `${identity} ${labelSetKey(set.labels)}`;
}

const NO_TABLE: KnownIdentities = {
  entries: [],
  ipcache: new Ipcache([]),
  entry: () => null,
  labelsOf: () => [],
  identityOfEndpoint: () => null,
  entriesWith: () => new Set(),
};
