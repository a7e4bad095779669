/** Who is who in a set: what its inventory says, and the prefixes that its policies name. */
import type { Limits } from '../../model/limits.ts';
import type { Workload } from '../../policy/compiled/snapshot.ts';
import type { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import {
  buildIdentityTable,
  type IdentityTable,
  type IdentityTableResult,
} from '../../policy/resolve/identity_table.ts';
import type { Inventory } from '../../policy/resolve/inventory.ts';
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
    hasNodeLabels: set.hasNodeLabels,
  });
}

/** Endpoints of the inventory that have an interface on this node, or may have one. */
export function workloadsOf(
  inventory: Inventory,
  table: IdentityTable,
  { areInterfacesFound = false }: Pick<TableOptions, 'areInterfacesFound'>,
): readonly Workload[] {
  return inventory.endpoints.flatMap(({ name, ips, isLocal, interface: host, podUid }) => {
    const isHere = isLocal && (host !== null || areInterfacesFound);
    const identity = isHere ? table.identityOfEndpoint(name) : null;
    if (identity === null) return [];
    return { name, interface: host, podUid, ips: ips.map(({ text }) => text), identity };
  });
}
