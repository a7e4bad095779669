/** Which time-out of an exchange has passed. Pure: the relay acts on it. */
import type { Fault } from '../model/fault.ts';
import type { Limits } from '../model/limits.ts';
import { deadlineAfter } from './deadlines.ts';

export interface ExchangeTimes {
  readonly startedMs: number;
  /** Of a connection attempt that is still going on; else null. */
  readonly connectingSinceMs: number | null;
  /** The request is not complete and it is the client who could go on. */
  readonly isWaitingForClient: boolean;
  readonly lastRequestByteMs: number;
  /** Of any byte in either direction. */
  readonly lastMoveMs: number;
}

/** The most telling one first; null when none has passed. */
export function expiredFault(times: ExchangeTimes, nowMs: number, limits: Limits): Fault | null {
  const { connectingSinceMs } = times;
  if (connectingSinceMs !== null && nowMs >= connectingSinceMs + limits.connectTimeoutMs) {
    return 'connect-timeout';
  }
  if (nowMs >= deadlineAfter(times.startedMs, limits.requestTimeoutMs)) return 'request-timeout';
  if (times.isWaitingForClient && nowMs >= times.lastRequestByteMs + limits.bodyTimeoutMs) {
    return 'body-timeout';
  }
  if (nowMs >= deadlineAfter(times.lastMoveMs, limits.streamIdleTimeoutMs)) {
    return 'stream-idle-timeout';
  }
  return null;
}
