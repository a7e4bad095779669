/**
 * Tells what a new set changes of who is who, so that a set that changes nothing else need not be compiled. What a
 * batch cannot say (a rule, a subject that no policy was made for, a port by another name) is a set of its own.
 */
import type { Limits } from '../../model/limits.ts';
import type { Workload } from '../../policy/compiled/snapshot.ts';
import type { EndpointPlace, IdentityBatch } from '../../policy/identity/delta.ts';
import { IdentityLedger, type WhoIsWho } from '../../policy/identity/ledger.ts';
import { SubjectNumbers, subjectKey } from '../../policy/identity/subject_numbers.ts';
import { labelSetKey } from '../../policy/labels.ts';
import type { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';
import type { Inventory, InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import type { PolicySpec } from '../../policy/rule.ts';
import type { BuiltSnapshot } from './build_snapshot.ts';
import { identityTableOf, workloadsOf } from './identity_table_of.ts';
import { placedPolicies, placesOf, wholeOf } from './identity_whole.ts';
import type { PolicySet } from './policy_set.ts';
import type { ResolvedPolicies, ResolvedSet } from './resolved_set.ts';

export interface TrackedChange {
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
  readonly set: PolicySet;
  readonly table: IdentityTable;
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
  #after = 0;

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

  /** A set that is in force as a whole. */
  took(set: PolicySet, { table, resolved }: BuiltSnapshot): void {
    const { policies } = resolved.enforced;
    const whole = wholeOf(table, placesOf(policies));
    if (this.#ledger === null) this.#ledger = new IdentityLedger(whole, resolved.roster.sequence);
    else this.#ledger.replace(whole, resolved.roster.sequence);
    this.#subjects = new Set(whole.endpoints.map(({ subject }) => subject));
    const endpointIds = new Map(policies.map(({ name, endpointId }) => [name, endpointId]));
    const wires = policies.filter(({ subject }) => subject === undefined);
    const wireNames = new Set(wires.map(({ name }) => name));
    this.#tracked = { set, table, endpointIds, wireNames };
    this.#workloads = resolved.workloads;
  }

  /** Null: the set has to be taken as a whole. */
  change(set: PolicySet): TrackedChange | null {
    const { tracked, ledger } = { tracked: this.#tracked, ledger: this.#ledger };
    if (tracked === null || ledger === null || !hasSamePolicies(tracked.set, set)) return null;
    const { wireNames } = tracked;
    // Such a name may be free now, or another's: the policy in wire form is called otherwise then.
    if (hasOneNamed(tracked.set, wireNames) || hasOneNamed(set, wireNames)) return null;
    const tabled = identityTableOf(set, this.#options);
    if (tabled.kind === 'error') return null;
    const { table } = tabled;
    const endpointIds = numbered(localOf(set.inventory), tracked.endpointIds);
    if (endpointIds === null) return null;
    if (
      hasNamedEgressPorts(set.specs) &&
      namesOf(tracked.set, tracked.table) !== namesOf(set, table)
    )
      return null;
    const places = this.#places(set, endpointIds);
    if (places === null) return null;
    const batch = ledger.become(wholeOf(table, places));
    this.#tracked = { set, table, endpointIds, wireNames };
    this.#workloads = workloadsOf(set.inventory, table, this.#options);
    return { batch, workloads: this.#workloads };
  }

  /** Null: one has no policy yet, or shares an address with another or with a policy in wire form. */
  #places(
    { inventory, wirePolicies }: PolicySet,
    endpointIds: ReadonlyMap<string, number>,
  ): readonly EndpointPlace[] | null {
    const taken = new Set(wirePolicies.flatMap(({ endpointIps }) => endpointIps));
    const places: EndpointPlace[] = [];
    for (const endpoint of localOf(inventory)) {
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

/** Those that have a policy. */
function localOf({ endpoints }: Inventory): readonly InventoryEndpoint[] {
  return endpoints.filter(({ isLocal }) => isLocal);
}

function hasOneNamed({ inventory }: PolicySet, names: ReadonlySet<string>): boolean {
  return names.size > 0 && inventory.endpoints.some(({ name }) => names.has(name));
}

function hasSamePolicies(a: PolicySet, b: PolicySet): boolean {
  return (
    a.hasNodeLabels === b.hasNodeLabels &&
    hasSameItems(a.specs, b.specs) &&
    hasSameItems(a.cidrGroups, b.cidrGroups) &&
    hasSameItems(a.wirePolicies, b.wirePolicies) &&
    JSON.stringify([...a.secrets]) === JSON.stringify([...b.secrets]) &&
    surroundingsOf(a.inventory) === surroundingsOf(b.inventory)
  );
}

/** What rules are resolved by, besides endpoints and identities. */
function surroundingsOf({ cluster, services, listeners }: Inventory): string {
  const ownServices = services.map(({ ips, ...service }) => [service, ips.map(({ text }) => text)]);
  return JSON.stringify([cluster, ownServices, [...listeners]]);
}

function hasSameItems(a: readonly object[], b: readonly object[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

/** On egress a name means what destinations call so: then their ports are part of the rules. */
function hasNamedEgressPorts(specs: readonly PolicySpec[]): boolean {
  return specs.some(({ rules }) =>
    rules.some(
      ({ direction, ports }) =>
        direction === 'egress' &&
        (ports ?? []).some((element) => (element.ports ?? []).some(({ name }) => name !== null)),
    ),
  );
}

/** With the labels of the identity: those of a reserved one are what all who have it share. */
function namesOf({ inventory }: PolicySet, table: IdentityTable): string {
  const named = inventory.endpoints
    .filter(({ namedPorts }) => namedPorts.length > 0)
    .map((endpoint) => {
      const identity = table.identityOfEndpoint(endpoint.name);
      const labels = identity === null ? [] : table.labelsOf(identity);
      return `${identity} ${labelSetKey(labels)} ${subjectKey(endpoint)}`;
    });
  return [...new Set(named)].sort().join('\n');
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
