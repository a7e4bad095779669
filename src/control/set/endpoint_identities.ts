/**
 * Which identity each endpoint has, by counts of who has which labels: so that an endpoint that comes or goes is told
 * without looking at all others. Says what `buildIdentityTable` says; where a change is of a kind that is rare (a
 * number that is set by hand for labels that others have, a reserved identity that gets other labels), it says nothing.
 */
import type { Identity } from '../../model/identity.ts';
import type { IdentityFacts } from '../../policy/identity/ledger.ts';
import type { Roster } from '../../policy/identity/roster.ts';
import { labelSetKey, sortedLabels } from '../../policy/labels.ts';
import type {
  IdentityAllocator,
  KeptMore,
  PartlyAllocated,
} from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';
import type { Inventory, InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import {
  isReservedNumber,
  isReservedSet,
  reservedIdentities,
  reservedIdentityOf,
} from '../../policy/resolve/reserved_identities.ts';
import type { ChangedItems } from './edits.ts';

/** What endpoints without a number of their own have by their labels. */
interface LabelSetUse {
  readonly identity: Identity;
  readonly count: number;
  /** It was given for the labels; else somebody set it by hand. */
  readonly isGiven: boolean;
}

/** A number that endpoints bring with them. */
interface NumberUse {
  readonly key: string;
  readonly count: number;
}

export interface PlannedIdentities {
  readonly kind: 'planned';
  readonly kept: readonly IdentityFacts[];
  readonly gone: readonly Identity[];
  /** For the allocator. */
  readonly keptMore: KeptMore;
  identityOf(endpoint: InventoryEndpoint): Identity;
  commit(): void;
}

/** No number is left for the labels of these keys. */
export interface UnnumberedLabels {
  readonly kind: 'unnumbered';
  readonly keys: ReadonlySet<string>;
}

export interface EndpointIdentitiesOptions {
  readonly allocator: IdentityAllocator;
  readonly hasNodeLabels: boolean;
  readonly identityCountMax: number;
  /** See `IdentityTableInput`. */
  readonly isShared: boolean;
}

export class EndpointIdentities {
  readonly #options: EndpointIdentitiesOptions;
  readonly #inventory: Pick<Inventory, 'identities'>;
  readonly #sets = new Map<string, LabelSetUse>();
  readonly #numbers = new Map<Identity, NumberUse>();
  /** Numbers of endpoints by their labels. */
  readonly #numbersByKey = new Map<string, ReadonlySet<Identity>>();
  /** Labels that the inventory gives a number by itself. */
  readonly #keysByHand: ReadonlySet<string>;
  /** Set by hand elsewhere: by the inventory, also for CIDRs. */
  readonly #numbersByHand: ReadonlySet<Identity>;
  readonly #reserved: Set<InventoryEndpoint> = new Set();
  /** Somebody brings another number for labels that have a reserved one. */
  readonly #isOdd: boolean;

  constructor(inventory: Inventory, table: IdentityTable, options: EndpointIdentitiesOptions) {
    const { identities, cidrs } = inventory;
    this.#options = options;
    this.#inventory = { identities };
    this.#keysByHand = new Set(identities.map(({ labels }) => labelSetKey(labels)));
    this.#numbersByHand = new Set([
      ...identities.map(({ identity }) => identity),
      ...cidrs.flatMap(({ identity }) => (identity === null ? [] : [identity])),
    ]);
    this.#isOdd = inventory.endpoints.some((endpoint) => this.#kindOf(endpoint) === 'odd');
    for (const endpoint of inventory.endpoints) {
      const identity = table.identityOfEndpoint(endpoint.name);
      if (identity === null) throw new Error(`${endpoint.name} has no identity`);
      if (isReservedNumber(identity)) this.#reserved.add(endpoint);
      else if (endpoint.identity !== null)
        this.#addNumber(identity, labelSetKey(endpoint.labels), 1);
    }
    for (const { name, identity: explicit, labels } of inventory.endpoints) {
      const identity = table.identityOfEndpoint(name) as Identity;
      if (explicit !== null || isReservedNumber(identity)) continue;
      const key = labelSetKey(labels);
      const isGiven = !this.#keysByHand.has(key) && !this.#numbersByKey.has(key);
      this.#sets.set(key, { identity, isGiven, count: (this.#sets.get(key)?.count ?? 0) + 1 });
    }
  }

  identityOf(endpoint: InventoryEndpoint): Identity {
    const { identity, labels } = endpoint;
    const known = identity ?? this.#sets.get(labelSetKey(labels))?.identity;
    const own = known ?? reservedIdentityOf(labels, this.#options);
    if (own === null) throw new Error(`${endpoint.name} has no identity`);
    return own;
  }

  /** Null: look at the whole. Nothing is changed before `commit`. */
  plan(
    { gone, come }: ChangedItems<InventoryEndpoint>,
    roster: Roster,
  ): PlannedIdentities | UnnumberedLabels | null {
    if (this.#isOdd || come.some((endpoint) => this.#kindOf(endpoint) === 'odd')) return null;
    const step = new Step();
    for (const endpoint of gone) step.add(endpoint, -1, this.#kindOf(endpoint));
    for (const endpoint of come) step.add(endpoint, 1, this.#kindOf(endpoint));
    if (!this.#areReservedSame(step, roster)) return null;
    const numbers = this.#planNumbers(step, roster);
    if (numbers === null) return null;
    const countMax = this.#options.identityCountMax - roster.identityCount - numbers.kept.length;
    const sets = this.#planSets(step, countMax);
    if (sets === null) return null;
    if (sets.unnumbered.size > 0) return { kind: 'unnumbered', keys: sets.unnumbered };
    return {
      kind: 'planned',
      kept: [...numbers.kept, ...sets.kept],
      gone: [...numbers.gone, ...sets.gone],
      keptMore: {
        gone: sets.goneKeys.map((key) => ({ scope: 'cluster', key })),
        goneByHand: numbers.gone,
        byHand: numbers.kept.map(({ identity }) => identity),
      },
      identityOf: (endpoint) =>
        endpoint.identity ??
        sets.identities.get(labelSetKey(endpoint.labels)) ??
        this.identityOf(endpoint),
      commit: () => this.#commit(step, sets.identities),
    };
  }

  #kindOf({ identity, labels }: InventoryEndpoint): Kind {
    const isReserved = reservedIdentityOf(labels, this.#options) !== null;
    if (identity === null) return isReserved ? 'reserved' : 'labels';
    if (isReservedNumber(identity)) return 'reserved';
    return isReserved ? 'odd' : 'number';
  }

  /** What those share who have a reserved identity is what it was. */
  #areReservedSame({ reserved }: Step, roster: Roster): boolean {
    if (reserved.size === 0) return true;
    const endpoints = new Set(this.#reserved);
    for (const [endpoint, by] of reserved) {
      const { identity, labels } = endpoint;
      if (this.#keysByHand.has(labelSetKey(labels))) return false;
      if (identity !== null && !isReservedSet(identity, labels)) return false;
      if (by > 0) endpoints.add(endpoint);
      else endpoints.delete(endpoint);
    }
    const all = { ...this.#inventory, endpoints: [...endpoints] };
    return [...reservedIdentities(all, this.#options)].every(([identity, labels]) => {
      const entry = roster.entry(identity);
      return entry !== null && labelSetKey(entry.set.labels) === labelSetKey(labels);
    });
  }

  #planNumbers({ numbers }: Step, roster: Roster): Planned | null {
    const kept: IdentityFacts[] = [];
    const gone: Identity[] = [];
    for (const [identity, { labels, key, by, isMixed }] of numbers) {
      const known = this.#numbers.get(identity);
      const isKnown = known !== undefined;
      if (isMixed || (isKnown && known.key !== key)) return null;
      const count = (known?.count ?? 0) + by;
      if (isKnown === count > 0) continue;
      // Whose number it is otherwise, and who has such labels otherwise, is told by the whole.
      if (this.#sets.has(key) || this.#numbersByHand.has(identity)) return null;
      if (isKnown) gone.push(identity);
      else if (roster.entry(identity) !== null) return null;
      else kept.push({ identity, labels: sortedLabels(labels), prefixes: [] });
    }
    return { kept, gone };
  }

  #planSets({ sets, numbers }: Step, countMax: number): PlannedSets | null {
    const kept: IdentityFacts[] = [];
    const gone: Identity[] = [];
    const goneKeys: string[] = [];
    const identities = new Map<string, Identity>();
    const asking: (readonly [key: string, labels: readonly string[]])[] = [];
    const comingKeys = new Set(Array.from(numbers.values(), ({ key }) => key));
    for (const [key, { labels, by }] of sets) {
      const known = this.#sets.get(key);
      if (known !== undefined) {
        identities.set(key, known.identity);
        if (known.count + by > 0 || !known.isGiven) continue;
        gone.push(known.identity);
        goneKeys.push(key);
      } else if (by > 0) {
        // The labels of somebody who brings a number.
        const numbered = this.#numbersByKey.get(key);
        const [only] = numbered ?? [];
        if (this.#keysByHand.has(key) || comingKeys.has(key)) return null;
        if (numbered === undefined) asking.push([key, labels]);
        else if (numbered.size > 1 || only === undefined) return null;
        else identities.set(key, only);
      }
    }
    const given = this.#allocated(
      asking.map(([key]) => key),
      { numbers, countMax },
    );
    if (given === null) return null;
    for (const [key, labels] of asking) {
      const identity = given.identities.get(key);
      if (identity === undefined) continue;
      identities.set(key, identity);
      kept.push({ identity, labels: sortedLabels(labels), prefixes: [] });
    }
    return { kept, gone, goneKeys, identities, unnumbered: given.without };
  }

  #allocated(
    keys: readonly string[],
    { numbers, countMax }: { readonly numbers: Step['numbers']; readonly countMax: number },
  ): PartlyAllocated | null {
    if (keys.length === 0) return NONE_ASKED;
    const { allocator, isShared } = this.#options;
    const taken = { has: (one: Identity): boolean => this.isTaken(one) || numbers.has(one) };
    if (isShared) return allocator.allocateSome(keys, { taken, countMax });
    const requests = keys.map((key) => ({ scope: 'cluster', key }) as const);
    const identities = allocator.allocate(requests, taken);
    return identities === null ? null : { identities, without: NONE_ASKED.without };
  }

  /** Somebody set it by hand. */
  isTaken(identity: Identity): boolean {
    return this.#numbers.has(identity) || this.#numbersByHand.has(identity);
  }

  #commit({ reserved, numbers, sets }: Step, identities: ReadonlyMap<string, Identity>): void {
    for (const [endpoint, by] of reserved) {
      if (by > 0) this.#reserved.add(endpoint);
      else this.#reserved.delete(endpoint);
    }
    for (const [identity, { key, by }] of numbers) this.#addNumber(identity, key, by);
    for (const [key, { by }] of sets) {
      const known = this.#sets.get(key);
      const count = (known?.count ?? 0) + by;
      if (count === 0) this.#sets.delete(key);
      else if (known !== undefined) this.#sets.set(key, { ...known, count });
      else {
        const identity = identities.get(key) as Identity;
        this.#sets.set(key, { identity, count, isGiven: !this.#numbersByKey.has(key) });
      }
    }
  }

  #addNumber(identity: Identity, key: string, by: number): void {
    const count = (this.#numbers.get(identity)?.count ?? 0) + by;
    const others = [...(this.#numbersByKey.get(key) ?? [])].filter((one) => one !== identity);
    if (count > 0) {
      this.#numbers.set(identity, { key, count });
      this.#numbersByKey.set(key, new Set([...others, identity]));
    } else {
      this.#numbers.delete(identity);
      if (others.length > 0) this.#numbersByKey.set(key, new Set(others));
      else this.#numbersByKey.delete(key);
    }
  }
}

const NONE_ASKED: PartlyAllocated = { identities: new Map(), without: new Set() };

/** How an endpoint comes to its identity. */
type Kind = 'reserved' | 'number' | 'labels' | 'odd';

interface Planned {
  readonly kept: readonly IdentityFacts[];
  readonly gone: readonly Identity[];
}

interface PlannedSets extends Planned {
  /** Keys of labels that no number is left for. */
  readonly unnumbered: ReadonlySet<string>;
  readonly goneKeys: readonly string[];
  /** Of the labels of those that come or go. */
  readonly identities: ReadonlyMap<string, Identity>;
}

interface CountedLabels {
  readonly labels: readonly string[];
  readonly key: string;
  readonly by: number;
  /** One number with several sets of labels. */
  readonly isMixed: boolean;
}

/** What comes and goes, counted. */
class Step {
  readonly reserved = new Map<InventoryEndpoint, 1 | -1>();
  readonly numbers = new Map<Identity, CountedLabels>();
  readonly sets = new Map<string, CountedLabels>();

  add(endpoint: InventoryEndpoint, by: 1 | -1, kind: Kind): void {
    const { identity, labels } = endpoint;
    const key = labelSetKey(labels);
    if (kind === 'reserved') this.reserved.set(endpoint, by);
    else if (kind === 'labels') {
      const before = this.sets.get(key)?.by ?? 0;
      this.sets.set(key, { labels, key, by: before + by, isMixed: false });
    } else {
      const before = this.numbers.get(identity as Identity);
      const isMixed = before?.isMixed === true || (before !== undefined && before.key !== key);
      this.numbers.set(identity as Identity, { labels, key, by: (before?.by ?? 0) + by, isMixed });
    }
  }
}
