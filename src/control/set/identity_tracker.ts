/**
 * Tells what a new set changes of who is who, so that a set that changes nothing else need not be compiled. What a
 * batch cannot say (a rule, a subject that no policy was made for, a port by another name) is a set of its own. Where
 * few things are another object only those are looked at (`moving_identities.ts`); else the whole of who is who is
 * made and compared.
 */
import type { IpPrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import type { Workload } from '../../policy/compiled/snapshot.ts';
import type { EndpointPlace, IdentityBatch } from '../../policy/identity/delta.ts';
import { IdentityLedger, type WhoIsWho } from '../../policy/identity/ledger.ts';
import type { Roster } from '../../policy/identity/roster.ts';
import { SubjectNumbers } from '../../policy/identity/subject_numbers.ts';
import type { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import { namedPrefixes } from '../../policy/resolve/prefixes.ts';
import { RosterIdentities } from '../../policy/resolve/roster_identities.ts';
import type { BuiltRules, BuiltSnapshot, KnownWho } from './build_snapshot.ts';
import { DeniedEndpoints } from './denied_endpoints.ts';
import { identityTableOf, workloadsOf } from './identity_table_of.ts';
import { placedPolicies, placesOf, wholeOf } from './identity_whole.ts';
import {
  changedInventory,
  egressKeys,
  hasSameItems,
  localOf,
  type Moved,
  MovingIdentities,
} from './moving_identities.ts';
import type { RefusedDocument } from './policy_input.ts';
import type { PolicySet } from './policy_set.ts';
import type { ResolvedPolicies, ResolvedSet } from './resolved_set.ts';
import { RuleSurroundings } from './rule_surroundings.ts';
import { unnumberedEndpoints, withoutNumbers } from './unnumbered_endpoints.ts';

export interface TrackedChange {
  /** As it is in force: with `reserved:init` for endpoints whose labels got no number. */
  readonly set: PolicySet;
  /** Null: nobody is anybody else. */
  readonly batch: IdentityBatch | null;
  readonly workloads: readonly Workload[];
}

export interface TrackerOptions {
  readonly allocator: IdentityAllocator;
  readonly limits: Limits;
  /** See `TableOptions.areInterfacesFound`. */
  readonly areInterfacesFound?: boolean;
}

/** What was taken last as a whole, and by batches since. */
interface Tracked {
  /** As in `TrackedChange`. */
  readonly set: PolicySet;
  /** Keys of labels of endpoints that got no number. */
  readonly unnumbered: ReadonlySet<string>;
  readonly surroundings: RuleSurroundings;
  /** The table that was made last, until something moves: most sets of files never do. */
  readonly who: IdentityTable | MovingIdentities;
  readonly endpointIds: ReadonlyMap<string, number>;
  /** Of policies in wire form, which have the names of endpoints at their addresses. */
  readonly wireNames: ReadonlySet<string>;
}

export class IdentityTracker {
  readonly subjects = new SubjectNumbers();
  readonly #options: TrackerOptions;
  #ledger: IdentityLedger | null = null;
  #tracked: Tracked | null = null;
  /** Those that the set in force has policies for. */
  #subjects: ReadonlySet<number> = new Set();
  #workloads: readonly Workload[] = [];
  #denied = new DeniedEndpoints([]);
  #after = 0;
  readonly #rosterIdentities = new RosterIdentities();

  constructor(options: TrackerOptions) {
    this.#options = options;
  }

  /** Of the last batch. */
  get sequence(): number {
    return Math.max(this.#after, this.#ledger?.roster.sequence ?? 0);
  }

  /** The number of a whole set with this table: one more than the last when it is another table. */
  sequenceOf(whole: WhoIsWho): number {
    if (this.#ledger === null || this.#tracked === null) return this.sequence + 1;
    return this.sequence + (this.#ledger.differences(whole).length > 0 ? 1 : 0);
  }

  /** Numbers of subjects may be others now: the next set is taken as a whole, and numbered after these. */
  goOnAfter(sequence: number): void {
    this.#after = Math.max(this.#after, sequence);
    this.#tracked = null;
  }

  /** Made by the snapshot in force, of the same batches: who is who is kept once. */
  share(roster: Roster): void {
    this.#ledger?.share(roster);
  }

  /** `resolved` with who is who now. */
  current(resolved: ResolvedSet): ResolvedSet {
    const { ledger, workloads } = { ledger: this.#ledger, workloads: this.#workloads };
    if (ledger === null) return resolved;
    const places = ledger.endpoints();
    const placed = (set: ResolvedPolicies): ResolvedPolicies => ({
      ...set,
      policies: placedPolicies(set.policies, places),
    });
    return {
      ...resolved,
      enforced: placed(resolved.enforced),
      shadow: resolved.shadow === null ? null : placed(resolved.shadow),
      roster: ledger.roster,
      workloads,
    };
  }

  /**
   * Who is who of a set in which nothing is another than before but what rules say, in so far as none names another
   * prefix. Null: a table has to be made of it.
   */
  known(set: PolicySet): KnownWho | null {
    const { tracked, ledger } = { tracked: this.#tracked, ledger: this.#ledger };
    if (tracked === null || ledger === null || tracked.unnumbered.size > 0) return null;
    if (!isOfSameWho(tracked.set, set)) return null;
    // Policies in wire form say themselves whose they are.
    if (tracked.set.wirePolicies.length > 0 || set.wirePolicies.length > 0) return null;
    const prefixes = namedPrefixes({ ...set, services: set.inventory.services });
    if (!isSameTexts(tracked.surroundings.prefixes, prefixes)) return null;
    const { who, endpointIds } = tracked;
    const { roster } = ledger;
    const identities =
      who instanceof MovingIdentities
        ? this.#rosterIdentities.of(roster, identitiesOf(set.inventory.endpoints, who))
        : who;
    return { identities, roster, endpointIds, workloads: this.#workloads };
  }

  /** Other rules about `known`, which are in force. */
  tookRules({ set, resolved, denied }: BuiltRules, { identities }: KnownWho): void {
    const tracked = this.#tracked;
    if (tracked === null) throw new Error('rules about nobody');
    const { policies } = resolved.enforced;
    this.#subjects = new Set(placesOf(policies).map(({ subject }) => subject));
    const surroundings = new RuleSurroundings(set, tracked.surroundings);
    if (tracked.who instanceof MovingIdentities) {
      tracked.who.takeRules(set.inventory, identities, surroundings);
    }
    this.#tracked = { ...tracked, set, surroundings };
    this.#denied = new DeniedEndpoints(denied);
  }

  /** A set that is in force as a whole. */
  took({ set, table, resolved, denied }: BuiltSnapshot): void {
    this.#options.allocator.keepAsked();
    const { policies } = resolved.enforced;
    const { roster } = resolved;
    const whole = wholeOf(table, placesOf(policies));
    if (this.#ledger === null) this.#ledger = new IdentityLedger(whole, roster.sequence, roster);
    else this.#ledger.replace(whole, roster);
    this.#subjects = new Set(whole.endpoints.map(({ subject }) => subject));
    const endpointIds = new Map(policies.map(({ name, endpointId }) => [name, endpointId]));
    const wires = policies.filter(({ subject }) => subject === undefined);
    const wireNames = new Set(wires.map(({ name }) => name));
    const surroundings = new RuleSurroundings(set);
    const { unnumbered } = table;
    this.#tracked = { set, unnumbered, surroundings, who: table, endpointIds, wireNames };
    this.#workloads = resolved.workloads;
    this.#denied = new DeniedEndpoints(denied);
  }

  /** Endpoints that are denied now: rules exclude each other there, or no number is left for their labels. */
  refused(): readonly RefusedDocument[] {
    const denied = this.#ledger === null ? [] : this.#denied.among(this.#ledger.endpoints());
    const tracked = this.#tracked;
    if (tracked === null || tracked.unnumbered.size === 0) return denied;
    return [...denied, ...unnumberedEndpoints(tracked.set)];
  }

  /** Null: the set has to be taken as a whole. */
  change(set: PolicySet): TrackedChange | null {
    const { tracked, ledger } = { tracked: this.#tracked, ledger: this.#ledger };
    if (tracked === null || ledger === null || !tracked.surroundings.areOf(tracked.set, set)) {
      return null;
    }
    const { wireNames } = tracked;
    // Such a name may be free now, or another's: the policy in wire form is called otherwise then.
    if (hasOneNamed(tracked.set, wireNames) || hasOneNamed(set, wireNames)) return null;
    const unnumbered = this.#stillUnnumbered(tracked.unnumbered);
    return this.#changes(set, { ledger, tracked: { ...tracked, unnumbered } });
  }

  /** Those that may get a number now are tried. */
  #stillUnnumbered(keys: ReadonlySet<string>): ReadonlySet<string> {
    if (keys.size === 0) return keys;
    return new Set([...keys].filter((key) => !this.#options.allocator.mayGive(key)));
  }

  /** `tracked.unnumbered`: of the labels that get no number in `given` either. */
  #changes(
    given: PolicySet,
    { ledger, tracked }: { readonly ledger: IdentityLedger; readonly tracked: Tracked },
    isAgain = false,
  ): TrackedChange | null {
    const { unnumbered } = tracked;
    const set = withoutNumbers(given, unnumbered);
    const changed = changedInventory(tracked.set.inventory, set.inventory);
    if (changed === null) return this.#becomes(given, { ledger, tracked });
    const who = this.#movingOf(tracked);
    const moved = who.move(changed, ledger.roster);
    if (moved.kind === 'other-rules') return null;
    if (moved.kind === 'moved') {
      return this.#moves(set, moved, { ledger, tracked: { ...tracked, who } });
    }
    if (moved.kind === 'untold' || isAgain) return this.#becomes(given, { ledger, tracked });
    const all = new Set([...unnumbered, ...moved.keys]);
    return this.#changes(given, { ledger, tracked: { ...tracked, who, unnumbered: all } }, true);
  }

  #movingOf({ set, who, surroundings }: Tracked): MovingIdentities {
    if (who instanceof MovingIdentities) return who;
    const { allocator, limits } = this.#options;
    const { identityCountMax } = limits;
    return new MovingIdentities(set, who, { surroundings, allocator, identityCountMax });
  }

  /** By what differs. */
  #moves(
    set: PolicySet,
    moved: Moved,
    { ledger, tracked }: { readonly ledger: IdentityLedger; readonly tracked: Tracked },
  ): TrackedChange | null {
    const { change, commit, isLocal, identityOf } = moved;
    let { endpointIds } = tracked;
    let batch: IdentityBatch | null;
    if (isLocal) {
      const locals = [...moved.locals.values()];
      const placed = this.#placed(set, locals, tracked.endpointIds);
      if (placed === null) return null;
      const goneEndpoints = [...endpointIds.keys()].filter((name) => !placed.endpointIds.has(name));
      endpointIds = placed.endpointIds;
      batch = ledger.change({ ...change, endpoints: placed.places, goneEndpoints });
      this.#workloads = workloadsOf(locals, { ...this.#options, identityOf });
    } else batch = ledger.change(change);
    commit();
    this.#options.allocator.keepMore(moved.keptMore);
    this.#tracked = { ...tracked, set, endpointIds };
    return { set, batch, workloads: this.#workloads };
  }

  /** By the whole. */
  #becomes(
    given: PolicySet,
    { ledger, tracked }: { readonly ledger: IdentityLedger; readonly tracked: Tracked },
  ): TrackedChange | null {
    const tabled = identityTableOf(given, this.#options);
    if (tabled.kind === 'error') return null;
    const { table } = tabled;
    const { unnumbered } = table;
    const set = withoutNumbers(given, unnumbered);
    const locals = localOf(set.inventory.endpoints);
    const placed = this.#placed(set, locals, tracked.endpointIds);
    if (placed === null) return null;
    const { surroundings } = tracked;
    if (!hasSameKeys(namesOf(tracked), egressKeys(set.inventory, table, surroundings))) return null;
    const { endpointIds, places } = placed;
    const batch = ledger.become(wholeOf(table, places));
    this.#options.allocator.keepAsked();
    this.#tracked = { ...tracked, set, unnumbered, who: table, endpointIds };
    this.#workloads = workloadsOf(locals, {
      ...this.#options,
      identityOf: ({ name }) => table.identityOfEndpoint(name),
    });
    return { set, batch, workloads: this.#workloads };
  }

  #placed(
    { wirePolicies }: PolicySet,
    locals: readonly InventoryEndpoint[],
    before: ReadonlyMap<string, number>,
  ): Placed | null {
    const endpointIds = numbered(locals, before);
    const taken = new Set(wirePolicies.flatMap(({ endpointIps }) => endpointIps));
    const places = endpointIds === null ? null : this.#places(locals, endpointIds, taken);
    return places === null || endpointIds === null ? null : { endpointIds, places };
  }

  /** Null: one has no policy yet, or shares an address with another or with a policy in wire form. */
  #places(
    locals: readonly InventoryEndpoint[],
    endpointIds: ReadonlyMap<string, number>,
    taken: Set<string>,
  ): readonly EndpointPlace[] | null {
    const places: EndpointPlace[] = [];
    for (const endpoint of locals) {
      const { name } = endpoint;
      const subject = this.subjects.of(endpoint);
      if (!this.#subjects.has(subject)) return null;
      const ips = endpoint.ips.map(({ text }) => text);
      for (const ip of ips) {
        if (taken.has(ip)) return null;
        taken.add(ip);
      }
      places.push({ name, endpointId: endpointIds.get(name) as number, ips, subject });
    }
    return places;
  }
}

interface Placed {
  readonly endpointIds: ReadonlyMap<string, number>;
  readonly places: readonly EndpointPlace[];
}

/** The same things are there. */
function isOfSameWho(a: PolicySet, b: PolicySet): boolean {
  const { inventory: before } = a;
  const { inventory: after } = b;
  return (
    a.hasNodeLabels === b.hasNodeLabels &&
    before.cluster === after.cluster &&
    hasSameItems(before.endpoints, after.endpoints) &&
    hasSameItems(before.identities, after.identities) &&
    hasSameItems(before.cidrs, after.cidrs) &&
    hasSameItems(before.learned ?? [], after.learned ?? [])
  );
}

function isSameTexts(known: ReadonlySet<string>, prefixes: readonly IpPrefix[]): boolean {
  return known.size === prefixes.length && prefixes.every(({ text }) => known.has(text));
}

/** By name; the names are looked up when somebody asks, as few rules need it. */
function identitiesOf(
  endpoints: readonly InventoryEndpoint[],
  who: MovingIdentities,
): (name: string) => Identity | null {
  let byName: ReadonlyMap<string, InventoryEndpoint> | null = null;
  // Pods of one Deployment share the list of their labels.
  const byLabels = new Map<readonly string[], Identity>();
  const ofLabels = (endpoint: InventoryEndpoint): Identity => {
    const known = byLabels.get(endpoint.labels);
    if (known !== undefined) return known;
    const identity = who.identityOf(endpoint);
    byLabels.set(endpoint.labels, identity);
    return identity;
  };
  return (name) => {
    byName ??= new Map(endpoints.map((one) => [one.name, one]));
    const endpoint = byName.get(name);
    if (endpoint === undefined) return null;
    return endpoint.identity ?? ofLabels(endpoint);
  };
}

function namesOf({ who, set, surroundings }: Tracked): ReadonlyMap<string, number> {
  return who instanceof MovingIdentities ? who.names : egressKeys(set.inventory, who, surroundings);
}

function hasOneNamed({ inventory }: PolicySet, names: ReadonlySet<string>): boolean {
  return names.size > 0 && inventory.endpoints.some(({ name }) => names.has(name));
}

function hasSameKeys(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a.keys()].every((key) => b.has(key));
}

/** An endpoint keeps its number, whoever comes; null: one asks for a number that another has. */
function numbered(
  endpoints: readonly InventoryEndpoint[],
  before: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> | null {
  const numbers = new Map<string, number>();
  const taken = new Set<number>();
  const waiting: string[] = [];
  for (const { name, endpointId } of endpoints) {
    const number = endpointId === 0 ? before.get(name) : endpointId;
    if (number === undefined) {
      waiting.push(name);
      continue;
    }
    if (taken.has(number)) return null;
    taken.add(number);
    numbers.set(name, number);
  }
  let next = 1;
  for (const name of waiting.sort()) {
    while (taken.has(next)) next++;
    numbers.set(name, next++);
  }
  return numbers;
}
