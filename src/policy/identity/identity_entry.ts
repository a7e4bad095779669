/** What is known of one identity: its labels, and of a CIDR identity the prefixes that it stands for. */
import type { IpPrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import type { LabelSet } from '../selector.ts';

export interface IdentityEntry {
  readonly identity: Identity;
  readonly set: LabelSet;
  /** Of a CIDR identity: what a CIDR rule must cover to select it. Empty for all others. */
  readonly prefixes: readonly IpPrefix[];
}
