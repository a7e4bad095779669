/**
 * What observation needs to know of the policy in force: names for numbers. A `PolicySnapshot` fits
 * as it is; this layer does not know the engine.
 */

import type { SocketAddress } from '../model/address.ts';
import type { RuleRef } from '../model/decision.ts';
import type { Identity } from '../model/identity.ts';

export interface ObservedPolicy {
  readonly revision: number;
  readonly rules: readonly RuleRef[];
  /** Of the user's documents: rules of any other policy are made by the engine itself. */
  readonly policyNames: readonly string[];
  readonly ipcache: { lookup(ip: string): Identity | null };
  readonly labels: { labelsOf(identity: Identity): readonly string[] };
  /** Addresses of Services, of whichever protocol. */
  readonly services: {
    /** "namespace/name"; null: of none. */
    named(address: SocketAddress, isNode: boolean): string | null;
  };
  /** "" for an address without policy. */
  endpoint(ip: string): { readonly name: string };
  readonly shadow: Pick<ObservedPolicy, 'rules' | 'policyNames'> | null;
}
