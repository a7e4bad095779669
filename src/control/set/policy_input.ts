/**
 * What a source of policy offers: decoded documents, and who and what is in the cluster. No texts: an input may have
 * been read from files, watched in an API, or sent by a control plane. Plain values.
 */

import { EMPTY_INVENTORY, type Inventory } from '../../policy/resolve/inventory.ts';
import type { Place } from '../decode/place.ts';
import type { PolicyDocument } from '../decode/policy_document.ts';
import type { Problem } from '../decode/problem.ts';

export interface PolicyInput {
  /** One of a kind and name: the source sees to that. */
  readonly documents: readonly PolicyDocument[];
  readonly inventory: Inventory;
  /** Name → value, for header matches. */
  readonly secrets: ReadonlyMap<string, string>;
  /** Rules and identities know the labels of nodes (Cilium's enable-node-selector-labels). */
  readonly hasNodeLabels: boolean;
  /** Of what is valid and hardly meant, as the decoders found it. */
  readonly warnings: readonly Problem[];
  /** What the source refused alone; the rest of the input does without it. Empty for files. */
  readonly refused: readonly RefusedDocument[];
  /**
   * It is many people's: where rules exclude each other, the endpoints are denied that they meet at, and the rest is in
   * force. Absent is false: somebody wrote it as one set, which is refused.
   */
  readonly areConflictsDenied?: boolean;
  /** What it was made of. An input of the very same parts says the same. */
  readonly parts: readonly object[];
}

export interface RefusedDocument {
  readonly place: Place;
  readonly problems: readonly Problem[];
  readonly inForce: StandIn;
}

/**
 * What is in force instead of a document that was refused: its last good form; nothing, as under Cilium; or default
 * deny for what it selects.
 */
export type StandIn = 'last-good' | 'absent' | 'deny';

export const EMPTY_INPUT: PolicyInput = {
  documents: [],
  inventory: EMPTY_INVENTORY,
  secrets: new Map(),
  hasNodeLabels: false,
  warnings: [],
  refused: [],
  parts: [],
};

/** Neither would be another set than the other. */
export function isSameInput(a: PolicyInput, b: PolicyInput): boolean {
  return (
    a.hasNodeLabels === b.hasNodeLabels &&
    a.parts.length === b.parts.length &&
    a.parts.every((part, index) => part === b.parts[index])
  );
}
