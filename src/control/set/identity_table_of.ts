/** Who is who in a set: what its inventory says, and the prefixes that its policies name. */

import type { Identity } from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import type { Workload } from '../../policy/compiled/snapshot.ts';
import { compareText } from '../../policy/labels.ts';
import type { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import {
  buildIdentityTable,
  type IdentityTableResult,
} from '../../policy/resolve/identity_table.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import { namedPrefixes } from '../../policy/resolve/prefixes.ts';
import type { PolicySet } from './policy_set.ts';

export interface TableOptions {
  readonly allocator: IdentityAllocator;
  readonly limits: Limits;
  /** Label sets (canonical) that a question is about although nobody has them. */
  readonly extraLabels?: readonly (readonly string[])[];
  /** Local endpoints that name no interface count as workloads: theirs is looked for. Absent is false. */
  readonly areInterfacesFound?: boolean;
}

export function identityTableOf(set: PolicySet, options: TableOptions): IdentityTableResult {
  return buildIdentityTable({
    inventory: set.inventory,
    prefixes: namedPrefixes({ ...set, services: set.inventory.services }),
    extra: options.extraLabels ?? [],
    allocator: options.allocator,
    identityCountMax: options.limits.identityCountMax,
    isShared: set.areConflictsDenied,
    hasNodeLabels: set.hasNodeLabels,
  });
}

/** Endpoints that have an interface on this node, or may have one; by name, as the order in which they came says nothing. */
export function workloadsOf(
  locals: readonly InventoryEndpoint[],
  { areInterfacesFound = false, identityOf }: WorkloadOptions,
): readonly Workload[] {
  const sorted = locals.toSorted((a, b) => compareText(a.name, b.name));
  return sorted.flatMap((endpoint) => {
    const { name, ips, interface: host, podUid } = endpoint;
    const identity = host !== null || areInterfacesFound ? identityOf(endpoint) : null;
    if (identity === null) return [];
    return { name, interface: host, podUid, ips: ips.map(({ text }) => text), identity };
  });
}

export interface WorkloadOptions extends Pick<TableOptions, 'areInterfacesFound'> {
  readonly identityOf: (endpoint: InventoryEndpoint) => Identity | null;
}
