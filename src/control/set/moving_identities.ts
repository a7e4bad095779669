/**
 * Who is who of a set that is in force, as it moves: of an inventory in which little is another object it tells what
 * differs, by looking at that alone. What it does not know to tell is told by the whole (`identity_tracker.ts`).
 */
import type { IpAddress, IpPrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import type { IdentityEntry } from '../../policy/identity/identity_entry.ts';
import type { IdentityChange } from '../../policy/identity/ledger.ts';
import type { Roster } from '../../policy/identity/roster.ts';
import type { IdentityAllocator, KeptMore } from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable, KnownIdentities } from '../../policy/resolve/identity_table.ts';
import type {
  Inventory,
  InventoryCidr,
  InventoryEndpoint,
  LearnedAddress,
} from '../../policy/resolve/inventory.ts';
import { fullPrefix } from '../../policy/resolve/prefixes.ts';
import { isReservedNumber, isReservedSet } from '../../policy/resolve/reserved_identities.ts';
import { LabelSet } from '../../policy/selector.ts';
import { type ChangedItems, changedItems, editsBetween } from './edits.ts';
import { EndpointIdentities, type PlannedIdentities } from './endpoint_identities.ts';
import { MovingLearned, type PlannedLearned } from './moving_learned.ts';
import type { PolicySet } from './policy_set.ts';
import type { RuleSurroundings } from './rule_surroundings.ts';

export interface Moved {
  readonly kind: 'moved';
  /** Without the places of local endpoints. */
  readonly change: IdentityChange;
  /** For the allocator. */
  readonly keptMore: KeptMore;
  /** A local endpoint is another object. */
  readonly isLocal: boolean;
  readonly locals: ReadonlyMap<string, InventoryEndpoint>;
  identityOf(endpoint: InventoryEndpoint): Identity;
  /** Once the change is made. */
  commit(): void;
}

export type MoveResult =
  | Moved
  /** No number is left for the labels of these keys. */
  | { readonly kind: 'unnumbered'; readonly keys: ReadonlySet<string> }
  /** It is told by the whole. */
  | { readonly kind: 'untold' }
  /** Rules hang on what differs. */
  | { readonly kind: 'other-rules' };

/** Of a part of all, above which the whole is looked at. */
const PART_MAX = 1 / 8;
const COUNT_MIN = 100;

const UNTOLD: MoveResult = { kind: 'untold' };
const OTHER_RULES: MoveResult = { kind: 'other-rules' };

export class MovingIdentities {
  #surroundings: RuleSurroundings;
  readonly #identityCountMax: number;
  readonly #endpoints: EndpointIdentities;
  readonly #learned: MovingLearned;
  /** Numbers that are given to CIDRs by hand. */
  readonly #cidrsByHand: ReadonlySet<Identity | null>;
  /** How many entries of the inventory name a prefix. */
  readonly #cidrs: Map<string, number>;
  /** Addresses that several endpoints say are theirs, or an endpoint and a CIDR: prefixes of full length. */
  readonly #shared: ReadonlySet<string>;
  #names: Map<string, number>;
  #locals: ReadonlyMap<string, InventoryEndpoint>;

  constructor(
    { inventory, hasNodeLabels, areConflictsDenied }: PolicySet,
    table: IdentityTable,
    parts: {
      readonly surroundings: RuleSurroundings;
      readonly allocator: IdentityAllocator;
      readonly identityCountMax: number;
    },
  ) {
    const { surroundings, allocator, identityCountMax } = parts;
    this.#identityCountMax = identityCountMax;
    this.#surroundings = surroundings;
    this.#endpoints = new EndpointIdentities(inventory, table, {
      ...{ allocator, hasNodeLabels, identityCountMax },
      isShared: areConflictsDenied,
    });
    this.#cidrs = counted(inventory.cidrs.map(({ prefix }) => prefix.text));
    this.#shared = sharedAddresses(inventory);
    this.#cidrsByHand = new Set(inventory.cidrs.map(({ identity }) => identity));
    this.#learned = new MovingLearned(table, {
      allocator,
      items: inventory.learned ?? [],
      prefixes: [...surroundings.prefixes, ...this.#cidrs.keys()],
    });
    this.#names = egressKeys(inventory, table, surroundings);
    this.#locals = new Map(localOf(inventory.endpoints).map((one) => [one.name, one]));
  }

  /** What rules hang on of the names of ports. */
  get names(): ReadonlyMap<string, number> {
    return this.#names;
  }

  identityOf(endpoint: InventoryEndpoint): Identity {
    return this.#endpoints.identityOf(endpoint);
  }

  /** Other rules about the same. */
  takeRules(inventory: Inventory, known: KnownIdentities, surroundings: RuleSurroundings): void {
    const isSame = this.#surroundings.egressNames === surroundings.egressNames;
    this.#surroundings = surroundings;
    if (!isSame) this.#names = egressKeys(inventory, known, surroundings);
  }

  /** Changes nothing. `roster`: as it was before. */
  move({ endpoints, ...others }: ChangedInventory, roster: Roster): MoveResult {
    const cidrs = this.#cidrAddresses(others.cidrs, roster);
    if (cidrs === null || isOfBoth(endpoints, cidrs.counts)) return UNTOLD;
    if (!this.#areAddressesTold(endpoints, roster)) return UNTOLD;
    if (this.#areLearnedMet(endpoints, others)) return UNTOLD;
    const planned = this.#endpoints.plan(endpoints, roster);
    if (planned === null) return UNTOLD;
    if (planned.kind === 'unnumbered') return planned;
    const learned = this.#plannedLearned(others.learned, planned, roster);
    if (learned === null) return UNTOLD;
    const keptCount = planned.kept.length + learned.kept.length;
    if (roster.identityCount + keptCount > this.#identityCountMax) return UNTOLD;
    const names = this.#movedNames(endpoints, planned, roster);
    if (names === null) return OTHER_RULES;
    const locals = this.#movedLocals(endpoints);
    return {
      kind: 'moved',
      change: {
        kept: [...planned.kept, ...learned.kept],
        gone: [...planned.gone, ...learned.gone],
        addresses: [...addressesOf(endpoints.come, planned), ...cidrs.come, ...learned.addresses],
        goneAddresses: [...goneAddresses(endpoints), ...cidrs.gone, ...learned.goneAddresses],
      },
      keptMore: {
        ...planned.keptMore,
        gone: [...planned.keptMore.gone, ...learned.goneRequests],
      },
      isLocal: locals !== this.#locals,
      locals,
      identityOf: (endpoint) => planned.identityOf(endpoint),
      commit: () => {
        planned.commit();
        learned.commit();
        this.#locals = locals;
        addAll(this.#names, names);
        addAll(this.#cidrs, cidrs.counts);
      },
    };
  }

  /** What names taught is who it is without them: what changes that is told by the whole. */
  #areLearnedMet(
    { gone, come }: ChangedItems<InventoryEndpoint>,
    { cidrs, learned }: Pick<ChangedInventory, 'cidrs' | 'learned'>,
  ): boolean {
    const moved = [...cidrs.gone, ...cidrs.come];
    const items = [...learned.gone, ...learned.come];
    if (this.#learned.isEmpty && items.length === 0) return false;
    const texts = new Set(items.map(({ address }) => address.text));
    const isMet = ({ text }: IpAddress): boolean => texts.has(text) || this.#learned.has(text);
    if (moved.some(({ prefix }) => prefix.length < prefix.address.bytes.length * 8)) return true;
    if (moved.some(({ prefix }) => isMet(prefix.address))) return true;
    return [...ipsOf(gone), ...ipsOf(come)].some(isMet);
  }

  #plannedLearned(
    changed: ChangedItems<LearnedAddress>,
    planned: PlannedIdentities,
    roster: Roster,
  ): PlannedLearned | null {
    const coming = new Set(planned.kept.map(({ identity }) => identity));
    return this.#learned.plan(changed, {
      roster,
      isByHand: (identity) => this.#cidrsByHand.has(identity),
      taken: { has: (one) => coming.has(one) || this.#endpoints.isTaken(one) },
    });
  }

  /** Each address is one endpoint's, before and after, and nobody else's. */
  #areAddressesTold({ gone, come }: ChangedItems<InventoryEndpoint>, roster: Roster): boolean {
    const leaving = new Set<string>();
    for (const ip of ipsOf(gone)) {
      const { text } = fullPrefix(ip);
      if (this.#isShared(ip) || leaving.has(text)) return false;
      leaving.add(text);
    }
    const taken = new Set<string>();
    for (const ip of ipsOf(come)) {
      const prefix = fullPrefix(ip);
      if (this.#isShared(ip) || taken.has(prefix.text)) return false;
      if (!leaving.has(prefix.text) && roster.ipcache.exact(prefix) !== null) return false;
      taken.add(prefix.text);
    }
    return true;
  }

  #isShared(ip: IpAddress): boolean {
    const { text } = fullPrefix(ip);
    return this.#shared.has(text) || this.#surroundings.prefixes.has(text) || this.#cidrs.has(text);
  }

  /** Addresses of nodes: prefixes that are of a reserved identity, and of nobody else. Null: there are others. */
  #cidrAddresses({ gone, come }: ChangedItems<InventoryCidr>, roster: Roster): MovedCidrs | null {
    const counts = new Map<string, number>();
    for (const [items, by] of [
      [gone, -1],
      [come, 1],
    ] as const) {
      for (const cidr of items) {
        const { text } = cidr.prefix;
        if (!isNodeAddress(cidr) || this.#surroundings.prefixes.has(text)) return null;
        if (this.#shared.has(text) || (this.#cidrs.get(text) ?? 0) > 1) return null;
        counts.set(text, (counts.get(text) ?? 0) + by);
      }
    }
    const leaving = new Set(gone.map(({ prefix }) => prefix.text));
    const coming = new Set(come.map(({ prefix }) => prefix.text));
    if (coming.size < come.length || leaving.size < gone.length) return null;
    const isFree = ({ prefix }: InventoryCidr): boolean =>
      leaving.has(prefix.text) || roster.ipcache.exact(prefix) === null;
    if (!come.every(isFree)) return null;
    const isOwn = ({ prefix, identity }: InventoryCidr): boolean =>
      roster.ipcache.exact(prefix) === identity;
    if (!gone.every(isOwn)) return null;
    return {
      come: come.map(({ prefix, identity }) => ({ prefix, identity: identity as Identity })),
      gone: gone.map(({ prefix }) => prefix).filter(({ text }) => !coming.has(text)),
      counts,
    };
  }

  /** What changes in the counts of names; null: a rule hangs on it. */
  #movedNames(
    { gone, come }: ChangedItems<InventoryEndpoint>,
    planned: PlannedIdentities,
    roster: Roster,
  ): ReadonlyMap<string, number> | null {
    const { egressNames } = this.#surroundings;
    const moved = new Map<string, number>();
    if (!egressNames.areUsed) return moved;
    const fresh = new Map(planned.kept.map((facts) => [facts.identity, entryOf(facts)]));
    const count = (endpoint: InventoryEndpoint, identity: Identity, by: 1 | -1): void => {
      const entry = fresh.get(identity) ?? roster.entry(identity);
      if (entry === null) return;
      for (const key of egressNames.keysOf(endpoint, entry)) {
        moved.set(key, (moved.get(key) ?? 0) + by);
      }
    };
    for (const endpoint of gone) count(endpoint, this.#endpoints.identityOf(endpoint), -1);
    for (const endpoint of come) count(endpoint, planned.identityOf(endpoint), 1);
    for (const [key, by] of moved) {
      const before = this.#names.get(key) ?? 0;
      if (before > 0 !== before + by > 0) return null;
    }
    return moved;
  }

  #movedLocals({
    gone,
    come,
  }: ChangedItems<InventoryEndpoint>): ReadonlyMap<string, InventoryEndpoint> {
    const goneLocals = localOf(gone);
    const comeLocals = localOf(come);
    if (goneLocals.length === 0 && comeLocals.length === 0) return this.#locals;
    const locals = new Map(this.#locals);
    for (const { name } of goneLocals) locals.delete(name);
    for (const endpoint of comeLocals) locals.set(endpoint.name, endpoint);
    return locals;
  }
}

interface MovedCidrs {
  readonly come: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  readonly gone: readonly IpPrefix[];
  readonly counts: ReadonlyMap<string, number>;
}

export interface ChangedInventory {
  readonly endpoints: ChangedItems<InventoryEndpoint>;
  readonly cidrs: ChangedItems<InventoryCidr>;
  readonly learned: ChangedItems<LearnedAddress>;
}

/** Null: so much differs that the whole is looked at. */
export function changedInventory(before: Inventory, after: Inventory): ChangedInventory | null {
  if (!hasSameItems(before.identities, after.identities)) return null;
  const endpoints = changedItems(editsBetween(before.endpoints, after.endpoints));
  const countMax = Math.max(COUNT_MIN, before.endpoints.length * PART_MAX);
  if (endpoints.gone.length + endpoints.come.length > countMax) return null;
  return {
    endpoints,
    cidrs: changedItems(editsBetween(before.cidrs, after.cidrs)),
    learned: changedItems(editsBetween(before.learned ?? NONE, after.learned ?? NONE)),
  };
}

/** Those that policy is made for here. */
export function localOf(endpoints: readonly InventoryEndpoint[]): readonly InventoryEndpoint[] {
  return endpoints.filter(({ isLocal }) => isLocal);
}

/** What of the names of ports rules hang on; see `EgressNames`. */
export function egressKeys(
  { endpoints }: Inventory,
  table: KnownIdentities,
  { egressNames }: RuleSurroundings,
): Map<string, number> {
  if (!egressNames.areUsed) return new Map();
  return counted(
    endpoints.flatMap((endpoint) => {
      const identity = table.identityOfEndpoint(endpoint.name);
      const entry = identity === null ? null : table.entry(identity);
      return entry === null ? [] : egressNames.keysOf(endpoint, entry);
    }),
  );
}

const NONE: readonly never[] = [];

function isNodeAddress({ identity, labels, prefix }: InventoryCidr): boolean {
  if (identity === null || !isReservedNumber(identity) || prefix.length === 0) return false;
  return labels.length === 0 || isReservedSet(identity, labels);
}

/** An address goes from an endpoint to a CIDR, or the other way round. */
function isOfBoth(
  { gone, come }: ChangedItems<InventoryEndpoint>,
  cidrs: ReadonlyMap<string, number>,
): boolean {
  if (cidrs.size === 0) return false;
  return [...ipsOf(gone), ...ipsOf(come)].some((ip) => cidrs.has(fullPrefix(ip).text));
}

function* ipsOf(endpoints: readonly InventoryEndpoint[]): Generator<IpAddress> {
  for (const { ips } of endpoints) yield* ips;
}

function addressesOf(
  endpoints: readonly InventoryEndpoint[],
  planned: PlannedIdentities,
): readonly { readonly prefix: IpPrefix; readonly identity: Identity }[] {
  return endpoints.flatMap((endpoint) => {
    const identity = planned.identityOf(endpoint);
    return endpoint.ips.map((ip) => ({ prefix: fullPrefix(ip), identity }));
  });
}

function goneAddresses({ gone, come }: ChangedItems<InventoryEndpoint>): readonly IpPrefix[] {
  const taken = new Set(Array.from(ipsOf(come), ({ text }) => text));
  return [...ipsOf(gone)].filter(({ text }) => !taken.has(text)).map(fullPrefix);
}

function sharedAddresses({ endpoints, cidrs }: Inventory): ReadonlySet<string> {
  const seen = new Set(cidrs.map(({ prefix }) => prefix.text));
  const shared = new Set<string>();
  for (const ip of ipsOf(endpoints)) {
    const { text } = fullPrefix(ip);
    if (seen.has(text)) shared.add(text);
    seen.add(text);
  }
  return shared;
}

function entryOf({
  identity,
  labels,
  prefixes,
}: NonNullable<IdentityChange['kept']>[number]): IdentityEntry {
  return { identity, set: new LabelSet(labels), prefixes };
}

function counted(keys: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

function addAll(counts: Map<string, number>, changes: ReadonlyMap<string, number>): void {
  for (const [key, by] of changes) {
    const count = (counts.get(key) ?? 0) + by;
    if (count === 0) counts.delete(key);
    else counts.set(key, count);
  }
}

export function hasSameItems(a: readonly object[], b: readonly object[]): boolean {
  return a === b || (a.length === b.length && a.every((item, index) => item === b[index]));
}
