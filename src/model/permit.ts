/**
 * Proof that the bytes of one connection may go to one destination. Only `proxy/judge/admission.ts` makes one, and
 * `proxy/transport/connect.ts` asks for it: forwarding what nobody has admitted does not compile.
 */
import type { SocketAddress } from './address.ts';
import type { Brand } from './brand.ts';
import type { Identity } from './identity.ts';

export type Permit = Brand<PermitFacts, 'Permit'>;

export interface PermitFacts {
  readonly connectionId: number;
  /** The identity that the connection's policy was asked about, and the other side's where both were. */
  readonly remoteIdentity: Identity;
  readonly secondIdentity: Identity | null;
  /** Where to. */
  readonly upstream: SocketAddress;
  /** Of the policy that was asked. */
  readonly revision: number;
  /** That policy itself: a permit is worth nothing once another one is in force. */
  readonly judgedBy: object;
  /** The policy denies it, and dry-run lets it through. */
  readonly isDryRun: boolean;
}
