/**
 * What the rules of a set are resolved by, besides endpoints and identities: where it is another, they are other rules.
 * Of services only those count that a rule names.
 */

import type { InventoryService } from '../../policy/resolve/inventory.ts';
import { namedPrefixes } from '../../policy/resolve/prefixes.ts';
import { ServicePeers } from '../../policy/resolve/service_peers.ts';
import { changedItems, editsBetween } from './edits.ts';
import { EgressNames } from './egress_names.ts';
import type { PolicySet } from './policy_set.ts';

export class RuleSurroundings {
  readonly egressNames: EgressNames;
  /** Texts of the prefixes that rules name. */
  readonly prefixes: ReadonlySet<string>;
  readonly #peers: ServicePeers;

  /** `before`: names that are used as they were are the same object. */
  constructor(set: PolicySet, before?: RuleSurroundings) {
    const { services } = set.inventory;
    const names = new EgressNames(set);
    this.egressNames = before?.egressNames.isSameAs(names) === true ? before.egressNames : names;
    this.prefixes = new Set(namedPrefixes({ ...set, services }).map(({ text }) => text));
    this.#peers = new ServicePeers(set.specs);
  }

  /** True when the rules of `after` are those of `before`, which these surroundings are of. */
  areOf(before: PolicySet, after: PolicySet): boolean {
    return (
      before.hasNodeLabels === after.hasNodeLabels &&
      before.areConflictsDenied === after.areConflictsDenied &&
      hasSameItems(before.specs, after.specs) &&
      hasSameItems(before.cidrGroups, after.cidrGroups) &&
      hasSameItems(before.wirePolicies, after.wirePolicies) &&
      hasSamePairs(before.secrets, after.secrets) &&
      before.inventory.cluster === after.inventory.cluster &&
      hasSamePairs(before.inventory.listeners, after.inventory.listeners) &&
      this.#hasSameServices(before.inventory.services, after.inventory.services)
    );
  }

  #hasSameServices(
    before: readonly InventoryService[],
    after: readonly InventoryService[],
  ): boolean {
    const { gone, come } = changedItems(editsBetween(before, after));
    return this.#textOf(gone) === this.#textOf(come);
  }

  #textOf(services: readonly InventoryService[]): string {
    return services
      .filter((service) => this.#peers.select(service))
      .map(serviceText)
      .sort()
      .join();
  }
}

/** One with a selector stands for endpoints, whatever its addresses are. */
function serviceText({ namespace, name, labels, selector, ips }: InventoryService): string {
  const addresses = selector === null ? ips.map(({ text }) => text) : [];
  return JSON.stringify([namespace, name, labels, selector, addresses]);
}

function hasSameItems(a: readonly object[], b: readonly object[]): boolean {
  return a === b || (a.length === b.length && a.every((item, index) => item === b[index]));
}

function hasSamePairs<Value>(
  a: ReadonlyMap<string, Value>,
  b: ReadonlyMap<string, Value>,
): boolean {
  if (a === b) return true;
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
