/** What a connection becomes once its protocol is known, and what that is given. */
import type { Decision } from '../model/decision.ts';
import type { CloseCause } from '../model/record.ts';
import type { UpstreamContext } from './http1_upstream.ts';
import type { PolicySubject } from './policy_subject.ts';

export interface Relay {
  onDownstreamData(chunk: Buffer): void;
  onDownstreamDrain(): void;
  onDownstreamEnd(): void;
  onDownstreamGone(isReset: boolean): void;
  expire(nowMs: number): void;
  /** What the policy in force says of that which is open. */
  judgeOpen(): Decision;
  /** Closed by a changed policy; true when that made a record. */
  reject(decision: Decision): boolean;
  drain(): void;
  cut(): void;
  internalError(error: unknown): void;
}

export interface RelayContext extends UpstreamContext {
  readonly subject: PolicySubject;
  /** The relay is over. `isLingering`: what was written may still be unread. */
  readonly onClose: (cause: CloseCause, how: 'linger' | 'reset' | 'destroy') => void;
}
