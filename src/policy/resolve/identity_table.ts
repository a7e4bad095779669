/**
 * All identities of one moment: reserved ones, those of endpoints, those set by hand, and one for
 * each CIDR that a policy or the inventory names (so that longest-prefix match can tell a prefix
 * from its exceptions, as Cilium does). Also the ipcache that goes with them. Pure.
 */
import { type IpPrefix, type IpText, parsePrefix } from '../../model/address.ts';
import { type Identity, RESERVED_IDENTITIES } from '../../model/identity.ts';
import type { IdentityEntry } from '../identity/identity_entry.ts';
import { Ipcache, type IpcacheEntry } from '../identity/ipcache.ts';
import {
  cidrLabel,
  LABEL_SOURCE_CIDR,
  LABEL_SOURCE_K8S,
  labelSetKey,
  parseLabel,
  reservedLabel,
  sortedLabels,
} from '../labels.ts';
import type { LabelLookup } from '../lookups.ts';
import { LabelSet } from '../selector.ts';
import { EntriesByLabel, type LabelledEntries } from './entries_by_label.ts';
import {
  type AllocationRequest,
  type IdentityAllocator,
  LABEL_IDENTITY_COUNT_MAX,
} from './identity_allocator.ts';
import type { Inventory, InventoryCidr, InventoryEndpoint } from './inventory.ts';
import { type LearnedGroup, learnedGroup } from './learned_addresses.ts';
import { fullPrefix } from './prefixes.ts';
import {
  isReservedSet,
  type ReservedOptions,
  reservedIdentities,
  reservedIdentityOf,
} from './reserved_identities.ts';

/** What rules are resolved by. */
export interface KnownIdentities extends LabelLookup {
  readonly entries: readonly IdentityEntry[];
  readonly ipcache: Ipcache;
  entry(identity: Identity): IdentityEntry | null;
  /** The identity of an endpoint of the inventory, by name. */
  identityOfEndpoint(name: string): Identity | null;
  /** Entries that have the label; `key` and `value` as in `LabelSet.entries`. */
  entriesWith(key: string, value: string): LabelledEntries;
}

export interface IdentityTable extends KnownIdentities {
  /** Keys of label sets of endpoints that got no number. */
  readonly unnumbered: ReadonlySet<string>;
  readonly learned: LearnedIdentities;
  /** The identity that has exactly these labels (canonical), or null. */
  identityOfLabels(labels: readonly string[]): Identity | null;
}

/** Identities of addresses that names taught. */
export interface LearnedIdentities {
  /** By the address; what names do not change is not there. */
  readonly groups: ReadonlyMap<IpText, LearnedGroup>;
  /** Who is who without them. */
  readonly base: Ipcache;
}

export interface IdentityTableInput {
  readonly inventory: Inventory;
  /** Prefixes that policies name. */
  readonly prefixes: readonly IpPrefix[];
  /** Label sets (canonical) that somebody asks about although no endpoint has them. */
  readonly extra: readonly (readonly string[])[];
  readonly allocator: IdentityAllocator;
  readonly identityCountMax: number;
  /** Label sets are many people's: an endpoint whose labels get no number is reserved:init. Absent: the table fails. */
  readonly isShared?: boolean;
  /** See `ReservedOptions`; false when absent. */
  readonly hasNodeLabels?: boolean;
}

export type IdentityTableResult =
  | { readonly kind: 'ok'; readonly table: IdentityTable }
  | { readonly kind: 'error'; readonly message: string };

/** Fails when one number would mean two label sets, or when there are no numbers left. */
export function buildIdentityTable(input: IdentityTableInput): IdentityTableResult {
  try {
    return { kind: 'ok', table: new TableBuilder(input).build() };
  } catch (error) {
    if (error instanceof TableError) return { kind: 'error', message: error.message };
    throw error;
  }
}

class TableError extends Error {}

class TableBuilder {
  readonly #input: IdentityTableInput;
  readonly #reservedOptions: ReservedOptions;
  readonly #entries = new Map<Identity, IdentityEntry>();
  /** Of the labels in `#entries`. */
  readonly #keys = new Map<Identity, string>();
  readonly #identityByLabels = new Map<string, Identity>();
  readonly #ipcache: IpcacheEntry[] = [];
  readonly #identityByEndpoint = new Map<string, Identity>();
  #unnumbered: ReadonlySet<string> = new Set();

  constructor(input: IdentityTableInput) {
    this.#input = input;
    this.#reservedOptions = { hasNodeLabels: input.hasNodeLabels === true };
  }

  build(): IdentityTable {
    const { inventory } = this.#input;
    const reserved = reservedIdentities(inventory, this.#reservedOptions);
    for (const [identity, labels] of reserved) this.#define(identity, labels, []);
    for (const { identity, labels } of inventory.identities) this.#define(identity, labels, []);
    for (const { identity, labels } of inventory.endpoints) {
      if (identity !== null) this.#define(identity, labels, []);
    }
    const cidrs = this.#cidrIdentities();
    const taken = this.#takenIdentities();
    this.#defineEndpoints(inventory.endpoints, taken, cidrs);
    this.#defineCidrs(cidrs, taken);
    this.#defineExtra(taken);
    const learned = this.#defineLearned(taken);
    if (this.#entries.size > this.#input.identityCountMax) {
      throw new TableError(
        `${this.#entries.size} identities are more than identityCountMax allows (${this.#input.identityCountMax})`,
      );
    }
    return new Table(this.#entries, this.#identityByLabels, {
      ...learned,
      identityByEndpoint: this.#identityByEndpoint,
      unnumbered: this.#unnumbered,
    });
  }

  /** Null: nobody has these labels yet. */
  #knownIdentity(labels: readonly string[]): Identity | null {
    const key = labelSetKey(labels);
    const known = this.#identityByLabels.get(key);
    if (known !== undefined) return known;
    const reserved = reservedIdentityOf(labels, this.#reservedOptions);
    if (reserved !== null) this.#identityByLabels.set(key, reserved);
    return reserved;
  }

  #takenIdentities(): Set<Identity> {
    const taken = new Set(this.#entries.keys());
    for (const { identity } of this.#input.inventory.cidrs) {
      if (identity !== null) taken.add(identity);
    }
    this.#input.allocator.askByHand(taken);
    return taken;
  }

  #defineEndpoints(
    endpoints: readonly InventoryEndpoint[],
    taken: ReadonlySet<Identity>,
    cidrs: readonly InventoryCidr[],
  ): void {
    const keys = endpoints.map(({ labels }) => labelSetKey(labels));
    const missing = this.#missingKeys(endpoints, keys);
    const identities = this.#identitiesOfKeys(missing, taken, cidrs);
    endpoints.forEach(({ name, labels, ips, identity: explicit }, index) => {
      const key = keys[index] as string;
      const isUnnumbered = explicit === null && this.#unnumbered.has(key);
      const identity = isUnnumbered
        ? (RESERVED_IDENTITIES.init as Identity)
        : (explicit ?? identities.get(key) ?? this.#knownIdentity(labels));
      if (identity === null) throw new TableError(`no identity for endpoint ${name}`);
      if (!isUnnumbered) this.#define(identity, labels, [], key);
      this.#identityByEndpoint.set(name, identity);
      for (const ip of ips) {
        const prefix = { address: ip, length: ip.bytes.length * 8, text: `${ip.text}/full` };
        this.#ipcache.push({ prefix, identity });
      }
    });
  }

  /** Each is asked once, however many endpoints have it. */
  #missingKeys(
    endpoints: readonly InventoryEndpoint[],
    keys: readonly string[],
  ): ReadonlySet<string> {
    const known = new Set<string>();
    const missing = new Set<string>();
    endpoints.forEach(({ labels }, index) => {
      const key = keys[index] as string;
      if (known.has(key) || missing.has(key)) return;
      if (this.#knownIdentity(labels) === null) missing.add(key);
      else known.add(key);
    });
    return missing;
  }

  #identitiesOfKeys(
    keys: ReadonlySet<string>,
    taken: ReadonlySet<Identity>,
    cidrs: readonly InventoryCidr[],
  ): ReadonlyMap<string, Identity> {
    if (this.#input.isShared !== true) {
      const requests = Array.from(keys, (key) => ({ scope: 'cluster', key }) as const);
      return this.#allocate(requests, taken);
    }
    const { allocator, identityCountMax } = this.#input;
    // Prefixes in force keep theirs; one more of a policy that finds no room is refused with the policy.
    const prefixes = cidrs.filter((cidr) =>
      allocator.isInUse({ scope: 'local', key: cidrKey(cidr) }),
    );
    const countMax = identityCountMax - this.#entries.size - prefixes.length;
    const { identities, without } = allocator.allocateSome([...keys], { taken, countMax });
    this.#unnumbered = without;
    return identities;
  }

  /** Behind all others, whom they are beside their names. */
  #defineLearned(taken: ReadonlySet<Identity>): Pick<TableRest, 'ipcache' | 'learned'> {
    const base = new Ipcache(this.#ipcache);
    const { learned = [], cidrs } = this.#input.inventory;
    const groups = new Map<IpText, LearnedGroup>();
    const byKey = new Map<string, LearnedGroup>();
    if (learned.length === 0) return { ipcache: base, learned: { groups, base } };
    const byHand = new Set(cidrs.map(({ identity }) => identity));
    for (const { address, labels } of learned) {
      const cover = base.cover(address, address.bytes.length * 8);
      const entry = cover === null ? null : (this.#entries.get(cover.identity) ?? null);
      const isByHand = cover !== null && byHand.has(cover.identity);
      const group = learnedGroup(address, labels, { cover, entry, isByHand });
      if (group === null) continue;
      const shared = byKey.get(group.request.key) ?? group;
      byKey.set(shared.request.key, shared);
      groups.set(address.text, shared);
    }
    const identities = this.#allocate(
      Array.from(byKey.values(), ({ request }) => request),
      taken,
    );
    for (const [key, { labels, prefixes }] of byKey) {
      this.#define(identities.get(key) as Identity, labels, prefixes);
    }
    const changes = learned.flatMap(({ address }) => {
      const group = groups.get(address.text);
      if (group === undefined) return [];
      return {
        prefix: fullPrefix(address),
        identity: identities.get(group.request.key) as Identity,
      };
    });
    return { ipcache: base.after(changes), learned: { groups, base } };
  }

  #defineExtra(taken: ReadonlySet<Identity>): void {
    const missing = this.#input.extra.filter((labels) => this.#knownIdentity(labels) === null);
    const requests = missing.map((labels) => ({
      scope: 'cluster' as const,
      key: labelSetKey(labels),
    }));
    const allocated = this.#allocate(requests, taken);
    for (const labels of missing) {
      const identity = allocated.get(labelSetKey(labels));
      if (identity !== undefined) this.#define(identity, labels, prefixesOfLabels(labels));
    }
  }

  /** CIDRs of the inventory first, so that their identities and labels win; then the policies'. */
  #cidrIdentities(): readonly InventoryCidr[] {
    const byText = new Map<string, InventoryCidr>();
    for (const cidr of this.#input.inventory.cidrs) byText.set(cidr.prefix.text, cidr);
    for (const prefix of this.#input.prefixes) {
      if (!byText.has(prefix.text)) byText.set(prefix.text, { prefix, identity: null, labels: [] });
    }
    return [...byText.values()];
  }

  #defineCidrs(cidrs: readonly InventoryCidr[], taken: ReadonlySet<Identity>): void {
    const requests: AllocationRequest[] = [];
    const own: InventoryCidr[] = [];
    for (const cidr of cidrs) {
      const alias = this.#aliasOf(cidr);
      if (alias !== null) {
        this.#ipcache.push({ prefix: cidr.prefix, identity: alias });
        continue;
      }
      own.push(cidr);
      if (cidr.identity === null) requests.push({ scope: 'local', key: cidrKey(cidr) });
    }
    const allocated = this.#allocate(requests, taken);
    const prefixesByIdentity = new Map<Identity, InventoryCidr[]>();
    for (const cidr of own) {
      const identity = cidr.identity ?? allocated.get(cidrKey(cidr));
      if (identity === undefined) throw new TableError(`no identity for ${cidr.prefix.text}`);
      this.#ipcache.push({ prefix: cidr.prefix, identity });
      const known = prefixesByIdentity.get(identity);
      if (known === undefined) prefixesByIdentity.set(identity, [cidr]);
      else known.push(cidr);
    }
    const covering = new CoveringLabels(own.map(({ prefix }) => prefix));
    for (const [identity, members] of prefixesByIdentity) {
      const labels = members.flatMap((cidr) => [...cidr.labels, ...covering.of(cidr.prefix)]);
      this.#define(
        identity,
        sortedLabels(labels),
        members.map(({ prefix }) => prefix),
      );
    }
  }

  /** The identity, defined elsewhere, whose address range the CIDR is; null for a CIDR identity. */
  #aliasOf({ prefix, identity, labels }: InventoryCidr): Identity | null {
    if (identity === null) {
      // As in Cilium the whole of a family is a reserved identity, not an allocated one.
      if (prefix.length > 0 || labels.length > 0) return null;
      const name = prefix.address.family === 4 ? 'world-ipv4' : 'world-ipv6';
      return RESERVED_IDENTITIES[name] as Identity;
    }
    const isDefined = this.#entries.has(identity);
    if (isDefined && labels.length > 0) {
      const known = this.#entries.get(identity)?.set.labels ?? [];
      const isSame = labelSetKey(known) === labelSetKey(labels) || isReservedSet(identity, labels);
      if (!isSame) this.#failTwice(identity, known, labels);
    }
    if (isDefined) return identity;
    if (!labels.some((label) => parseLabel(label)?.source === LABEL_SOURCE_K8S)) return null;
    this.#define(identity, labels, []);
    return identity;
  }

  #define(
    identity: Identity,
    labels: readonly string[],
    prefixes: readonly IpPrefix[],
    key = labelSetKey(labels),
  ): void {
    const known = this.#entries.get(identity);
    if (known === undefined) {
      const set = new LabelSet(sortedLabels(labels));
      this.#entries.set(identity, { identity, set, prefixes });
      this.#keys.set(identity, key);
    } else if (this.#keys.get(identity) !== key && !isReservedSet(identity, labels)) {
      this.#failTwice(identity, known.set.labels, labels);
    }
    if (!this.#identityByLabels.has(key)) this.#identityByLabels.set(key, identity);
  }

  #failTwice(identity: Identity, first: readonly string[], second: readonly string[]): never {
    throw new TableError(
      `identity ${identity} would mean two label sets: ${sortedLabels(first).join(', ') || 'no labels'} and ${sortedLabels(second).join(', ') || 'no labels'}`,
    );
  }

  #allocate(
    requests: readonly AllocationRequest[],
    taken: ReadonlySet<Identity>,
  ): ReadonlyMap<string, Identity> {
    const { allocator, identityCountMax } = this.#input;
    const allocated = allocator.allocate(requests, taken);
    if (allocated === null) {
      const { kept, heldBack } = allocator.counts;
      throw new TableError(
        `no identity is left for new labels or prefixes: ${kept} are in use (identityCountMax: ${identityCountMax}; of labels at most ` +
          `${LABEL_IDENTITY_COUNT_MAX}), and ${heldBack} are held back for a while, as nobody else may have them yet (identityGraceMs)`,
      );
    }
    return allocated;
  }
}

/** Sticky: what other prefixes are known must not move it, so only its own label counts. */
function cidrKey({ prefix, labels }: InventoryCidr): string {
  return labelSetKey([cidrLabel(prefix), ...labels]);
}

/** The longest prefix among "cidr:" labels: the one that the identity stands for. */
function prefixesOfLabels(labels: readonly string[]): readonly IpPrefix[] {
  let longest: IpPrefix | null = null;
  for (const text of labels) {
    const label = parseLabel(text);
    if (label?.source !== LABEL_SOURCE_CIDR) continue;
    const options = { allowBare: true, allowHostBits: true };
    const prefix = parsePrefix(label.key.replaceAll('-', ':'), options);
    if (prefix !== null && (longest === null || prefix.length > longest.length)) longest = prefix;
  }
  return longest === null ? [] : [longest];
}

/** Labels of a CIDR identity: each known prefix that covers it, and the world. */
class CoveringLabels {
  readonly #lengths: readonly number[];
  readonly #known: ReadonlySet<string>;

  constructor(prefixes: readonly IpPrefix[]) {
    this.#known = new Set(prefixes.map(({ text }) => text));
    this.#lengths = [...new Set(prefixes.map(({ length }) => length))];
  }

  of(prefix: IpPrefix): string[] {
    const { family } = prefix.address;
    const labels = [
      cidrLabel(prefix),
      reservedLabel('world'),
      reservedLabel(family === 4 ? 'world-ipv4' : 'world-ipv6'),
    ];
    for (const length of this.#lengths) {
      if (length >= prefix.length) continue;
      const text = `${prefix.address.text}/${length}`;
      const cover = parsePrefix(text, { allowBare: false, allowHostBits: true });
      if (cover !== null && this.#known.has(cover.text)) labels.push(cidrLabel(cover));
    }
    return labels;
  }
}

interface TableRest {
  readonly ipcache: Ipcache;
  readonly learned: LearnedIdentities;
  readonly identityByEndpoint: ReadonlyMap<string, Identity>;
  readonly unnumbered: ReadonlySet<string>;
}

class Table implements IdentityTable {
  readonly entries: readonly IdentityEntry[];
  readonly ipcache: Ipcache;
  readonly unnumbered: ReadonlySet<string>;
  readonly learned: LearnedIdentities;
  readonly #byIdentity: ReadonlyMap<Identity, IdentityEntry>;
  readonly #byLabels: ReadonlyMap<string, Identity>;
  readonly #byEndpoint: ReadonlyMap<string, Identity>;
  readonly #byLabel = new EntriesByLabel();

  constructor(
    entries: ReadonlyMap<Identity, IdentityEntry>,
    byLabels: ReadonlyMap<string, Identity>,
    rest: TableRest,
  ) {
    this.#byIdentity = entries;
    this.#byLabels = byLabels;
    this.#byEndpoint = rest.identityByEndpoint;
    this.ipcache = rest.ipcache;
    this.unnumbered = rest.unnumbered;
    this.learned = rest.learned;
    this.entries = [...entries.values()];
    this.#byLabel.become(this.entries);
  }

  entry(identity: Identity): IdentityEntry | null {
    return this.#byIdentity.get(identity) ?? null;
  }

  labelsOf(identity: Identity): readonly string[] {
    return this.entry(identity)?.set.labels ?? [];
  }

  identityOfEndpoint(name: string): Identity | null {
    return this.#byEndpoint.get(name) ?? null;
  }

  identityOfLabels(labels: readonly string[]): Identity | null {
    return this.#byLabels.get(labelSetKey(labels)) ?? null;
  }

  entriesWith(key: string, value: string): LabelledEntries {
    return this.#byLabel.with(key, value);
  }
}
