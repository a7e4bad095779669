/** A connection becomes a relay once its protocol is known. Here are the relay's interface and what it is given. */
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision } from '../../model/decision.ts';
import type { CloseCause, Recorder } from '../../model/record.ts';
import type { Clock } from '../../platform/platform.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Admission } from '../judge/admission.ts';
import type { PolicySubject } from '../judge/policy_subject.ts';
import type { Guard } from '../plane/guard.ts';
import type { Share } from '../plane/holders.ts';
import type { Plane } from '../plane/plane.ts';

export type CutFault = 'draining' | 'evicted';

export const CUT_CAUSES: Readonly<Record<CutFault, CloseCause>> = {
  draining: 'drained',
  evicted: 'evicted',
};

export interface Relay {
  /** For messages about internal errors. */
  readonly name: string;
  onDownstreamData(chunk: Buffer): void;
  onDownstreamDrain(): void;
  onDownstreamEnd(): void;
  onDownstreamGone(isReset: boolean): void;
  expire(nowMs: number): void;
  /** It has lived through a sweep: bytes that it keeps are copied out of larger buffers. */
  lasted(): void;
  /** Of any byte in either direction. */
  lastMoveMs(): number;
  /** About how many bytes wait for a peer or for more bytes; without those of the downstream socket. */
  heldBytes(): number;
  /** What the policy in force says about the open request, tunnel or connection. */
  judgeOpen(): Decision;
  /** Closes it because of a changed policy; true when this made a record. */
  reject(decision: Decision): boolean;
  drain(): void;
  /** Ends it now, whatever is in hand. */
  cut(fault: CutFault): void;
  /** Ends it now because of a bug of ours, and records what is in hand as such. */
  abandon(): void;
  /** Closes every upstream connection that it has, whatever state it is in. */
  sever(): void;
}

/** What the upstream half of a relay is given. */
export interface UpstreamContext {
  readonly plane: Plane;
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
