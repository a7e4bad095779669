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

/** Endpoints of the inventory that have an interface on this node. */
export function workloadsOf(inventory: Inventory, table: IdentityTable): readonly Workload[] {
  return inventory.endpoints.flatMap(({ name, ips, isLocal, interface: host }) => {
    const identity = isLocal ? table.identityOfEndpoint(name) : null;
    if (host === null || identity === null) return [];
    return { name, interface: host, ips: ips.map(({ text }) => text), identity };
  });
}
