/**
 * One change of the identity table. Deltas come in batches that are numbered without a gap. A reader is at the end of
 * one batch or of another, never in between. Deltas name no policy, so the same batch is right for every policy set.
 */
import type { IpPrefix } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';

export type IdentityDelta =
  /** A new identity, or one that has other labels from now on. */
  | {
      readonly kind: 'add-identity';
      readonly identity: Identity;
      readonly labels: readonly string[];
      readonly prefixes: readonly IpPrefix[];
    }
  /** No address has it any more. */
  | { readonly kind: 'remove-identity'; readonly identity: Identity }
  /** From now on the prefix belongs to this identity, whichever identity had it before. */
  | { readonly kind: 'upsert-address'; readonly prefix: IpPrefix; readonly identity: Identity }
  /** From now on a shorter prefix, or none, gives the identity of the addresses. */
  | { readonly kind: 'remove-address'; readonly prefix: IpPrefix }
  | { readonly kind: 'upsert-endpoint'; readonly endpoint: EndpointPlace }
  | { readonly kind: 'remove-endpoint'; readonly name: string; readonly ips: readonly string[] };

/** An endpoint, by what its policy hangs on. */
export interface EndpointPlace {
  /** "namespace/name". */
  readonly name: string;
  readonly endpointId: number;
  /** Canonical text of each address. */
  readonly ips: readonly string[];
  /** Endpoints of one subject have one policy in every set: see `EndpointPolicy.subject`. */
  readonly subject: number;
}

export interface IdentityBatch {
  /** One more than that of the batch before. */
  readonly sequence: number;
  readonly deltas: readonly IdentityDelta[];
}

/** A batch that does not fit the reader's table: the reader needs the whole table again. */
export class BrokenTableError extends Error {}
