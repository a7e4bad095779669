/** Which time-out has passed, during an exchange or between two. Pure: the relay acts on it. */
import type { Fault } from '../../model/fault.ts';
import type { Limits } from '../../model/limits.ts';
import { deadlineAfter } from '../plane/deadlines.ts';

export interface ExchangeTimes {
  readonly startedMs: number;
  /** Of a connection attempt that is still going on; else null. */
  readonly connectingSinceMs: number | null;
  /** It is the client who could go on, and its content has come too slowly (content_pace.ts). */
  readonly isContentTooSlow: boolean;
  /** Of any byte in either direction. */
  readonly lastMoveMs: number;
  /** The client has sent its FIN, and no response has begun. */
  readonly isHalfClosed: boolean;
}

/** The most telling one first; null when none has passed. */
export function expiredFault(times: ExchangeTimes, nowMs: number, limits: Limits): Fault | null {
  const { connectingSinceMs } = times;
  if (connectingSinceMs !== null && nowMs >= connectingSinceMs + limits.connectTimeoutMs) {
    return 'connect-timeout';
  }
  if (nowMs >= deadlineAfter(times.startedMs, limits.requestTimeoutMs)) return 'request-timeout';
  if (times.isContentTooSlow) return 'body-timeout';
  const halfClosedTimeoutMs = times.isHalfClosed ? limits.halfClosedTimeoutMs : 0;
  if (nowMs >= deadlineAfter(times.lastMoveMs, halfClosedTimeoutMs)) return 'downstream-gave-up';
  if (nowMs >= deadlineAfter(times.lastMoveMs, limits.streamIdleTimeoutMs)) {
    return 'stream-idle-timeout';
  }
  return null;
}

export interface IdleTimes {
  /** When the first byte of a head that is not complete came; 0 when there is none. */
  readonly headStartedMs: number;
  readonly lastMoveMs: number;
  /** Replies are waiting for the client to read them, and its next requests with them. */
  readonly isReplyUnread: boolean;
}

export function expiredBetween(
  times: IdleTimes,
  nowMs: number,
  limits: Limits,
): 'unread' | 'head-timeout' | 'idle' | null {
  const { headStartedMs, lastMoveMs } = times;
  if (times.isReplyUnread) {
    return nowMs >= deadlineAfter(lastMoveMs, limits.streamIdleTimeoutMs) ? 'unread' : null;
  }
  if (headStartedMs !== 0) {
    return nowMs >= headStartedMs + limits.headTimeoutMs ? 'head-timeout' : null;
  }
  return nowMs >= lastMoveMs + limits.idleTimeoutMs ? 'idle' : null;
}
