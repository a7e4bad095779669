/**
 * One change of who is who. Deltas come in batches that are numbered without a gap: a reader is at one batch's end
 * or at another's, never in between. They name no policy, so the same batch is right for every policy set.
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
  /** Nobody has it any more. */
  | { readonly kind: 'remove-identity'; readonly identity: Identity }
  /** The prefix is of this identity from now on, whoever had it before. */
  | { readonly kind: 'upsert-address'; readonly prefix: IpPrefix; readonly identity: Identity }
  /** A shorter prefix, or nothing, says from now on who has the addresses. */
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

/** A batch that does not fit what the reader has: it has to be given the whole table again. */
export class BrokenTableError extends Error {}
