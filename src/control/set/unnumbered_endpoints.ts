/**
 * Endpoints whose labels got no number: each is `reserved:init`, as under Cilium when an identity cannot be allocated.
 * No rule that is for its labels lets it do anything, and on its own node it is in default deny.
 */
import { labelSetKey, reservedLabel } from '../../policy/labels.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';
import type { RefusedDocument } from './policy_input.ts';
import type { PolicySet } from './policy_set.ts';
import { refusedEndpoint } from './refused_endpoint.ts';

/** The set with `reserved:init` where labels have no number. `keys`: of the labels. */
export function withoutNumbers(set: PolicySet, keys: ReadonlySet<string>): PolicySet {
  if (keys.size === 0) return set;
  const endpoints = set.inventory.endpoints.map((endpoint) => {
    const hasNone = endpoint.identity === null && keys.has(labelSetKey(endpoint.labels));
    return hasNone ? standInOf(endpoint) : endpoint;
  });
  return set.withInventory({ ...set.inventory, endpoints });
}

/** Those of this node that are told by name. */
export function unnumberedEndpoints({ inventory }: PolicySet): readonly RefusedDocument[] {
  return inventory.endpoints.flatMap((endpoint) => {
    const told = endpoint.isLocal ? TOLD.get(endpoint) : undefined;
    return told === undefined ? [] : [told];
  });
}

/** The same object for the same endpoint: what did not change is not looked at. */
const STAND_INS = new WeakMap<InventoryEndpoint, InventoryEndpoint>();
/** By the stand-in. */
const TOLD = new WeakMap<InventoryEndpoint, RefusedDocument>();
const INIT: readonly string[] = Object.freeze([reservedLabel('init')]);
const MESSAGE =
  'no number is left for its labels: its namespace has as many as it may have (identityNamespaceCountMax), or all are in ' +
  'use or held back for a while (identityGraceMs); it is reserved:init until one is free';

function standInOf(endpoint: InventoryEndpoint): InventoryEndpoint {
  let standIn = STAND_INS.get(endpoint);
  if (standIn === undefined) {
    standIn = { ...endpoint, labels: INIT, namedPorts: [] };
    STAND_INS.set(endpoint, standIn);
    TOLD.set(standIn, refusedEndpoint(endpoint.name, MESSAGE));
  }
  return standIn;
}
