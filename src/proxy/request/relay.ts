/** What a connection becomes once its protocol is known, and what that is given. */
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision } from '../../model/decision.ts';
import type { CloseCause, Recorder } from '../../model/record.ts';
import type { Clock } from '../../platform/platform.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Admission } from '../judge/admission.ts';
import type { PolicySubject } from '../judge/policy_subject.ts';
import type { Guard } from '../plane/guard.ts';
import type { Share } from '../plane/holders.ts';
import type { Shared } from '../plane/shared.ts';

export type CutFault = 'draining' | 'evicted';

export const CUT_CAUSES: Readonly<Record<CutFault, CloseCause>> = {
  draining: 'drained',
  evicted: 'evicted',
};

export interface Relay {
  /** For whoever reads of an internal error. */
  readonly name: string;
  onDownstreamData(chunk: Buffer): void;
  onDownstreamDrain(): void;
  onDownstreamEnd(): void;
  onDownstreamGone(isReset: boolean): void;
  expire(nowMs: number): void;
  /** It has lived through a sweep: what it keeps is not left in memory of which it is a small part. */
  lasted(): void;
  /** Of any byte in either direction. */
  lastMoveMs(): number;
  /** Bytes that are kept for a peer or until more of them come, about; without those of the downstream socket. */
  heldBytes(): number;
  /** What the policy in force says of that which is open. */
  judgeOpen(): Decision;
  /** Closed by a changed policy; true when that made a record. */
  reject(decision: Decision): boolean;
  drain(): void;
  /** Over now, whatever is in hand. */
  cut(fault: CutFault): void;
  /** A bug of ours: over now, and what is in hand is recorded as that. */
  abandon(): void;
  /** No upstream connection of it is left, whatever state it is in. */
  sever(): void;
}

/** What the upstream half of a relay is given. */
export interface UpstreamContext {
  readonly shared: Shared;
  readonly meta: ConnectionMeta;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly downstream: Stream;
  readonly guard: Guard;
}

export interface RelayContext extends UpstreamContext {
  readonly subject: PolicySubject;
  readonly admission: Admission;
  readonly share: Share;
  /** The relay is over. `isLingering`: what was written may still be unread. */
  readonly onClose: (cause: CloseCause, how: 'linger' | 'reset' | 'destroy') => void;
}
