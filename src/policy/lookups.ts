/** Who is who: what policies and the inventory know of addresses and identities. */
import type { Identity } from '../model/identity.ts';

export interface IdentityLookup {
  /** Null when no prefix covers the address. */
  lookup(ip: string): Identity | null;
}

export interface LabelLookup {
  /** Sorted "source:key=value"; empty when the identity is not known. */
  labelsOf(identity: Identity): readonly string[];
}
