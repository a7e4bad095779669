/** Which time-out of the HTTP/2 relay has run out: of the connection as a whole, and of one exchange. */
import type { Http2Connection } from '../../codec/http2/connection.ts';
import { ERROR_CODES } from '../../codec/http2/frame.ts';
import type { Fault } from '../../model/fault.ts';
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import type { Limits } from '../../model/limits.ts';
import { deadlineAfter } from '../plane/deadlines.ts';
import type { Http2Exchange } from './exchange.ts';

export interface ConnectionTimeout {
  /** Null: it was idle, which is nobody's fault. */
  readonly fault: Fault | null;
  readonly errorCode: number;
  readonly cause: Cause | null;
}

const HEAD_TIMEOUT: ConnectionTimeout = {
  fault: 'head-timeout',
  errorCode: ERROR_CODES.PROTOCOL_ERROR,
  cause: null,
};
const SETTINGS_TIMEOUT: ConnectionTimeout = {
  fault: 'head-timeout',
  errorCode: ERROR_CODES.SETTINGS_TIMEOUT,
  cause: causeOf('h2-settings-timeout'),
};
/** RFC 9113 6.5.3. */
const ACKNOWLEDGEMENT_TIMEOUT: ConnectionTimeout = {
  fault: 'http2-error',
  errorCode: ERROR_CODES.SETTINGS_TIMEOUT,
  cause: causeOf('h2-settings-timeout'),
};
const IDLE: ConnectionTimeout = {
  fault: null,
  errorCode: ERROR_CODES.NO_ERROR,
  cause: null,
};

export interface ConnectionTimes {
  readonly nowMs: number;
  readonly startedMs: number;
  readonly lastMoveMs: number;
  /** Counted from the first piece of a head: pieces that drip in do not put it off. */
  readonly headSinceMs: number;
  /** We do not read: what is late may be there. */
  readonly isPaused: boolean;
}

export function connectionTimeout(
  connection: Http2Connection<Http2Exchange>,
  limits: Limits,
  times: ConnectionTimes,
): ConnectionTimeout | null {
  const { nowMs, startedMs, lastMoveMs, headSinceMs, isPaused } = times;
  if (isPaused) return null;
  if (nowMs >= deadlineAfter(headSinceMs, limits.headTimeoutMs)) return HEAD_TIMEOUT;
  if (nowMs - startedMs >= limits.h2SettingsTimeoutMs) {
    if (!connection.isGreeted) return SETTINGS_TIMEOUT;
    if (!connection.areSettingsAcknowledged) return ACKNOWLEDGEMENT_TIMEOUT;
  }
  const isIdle = nowMs >= deadlineAfter(lastMoveMs, limits.idleTimeoutMs);
  return connection.streamCount === 0 && isIdle ? IDLE : null;
}

/** `isPaused`: the client is not read, so it is not the one who is waited for. */
export function exchangeTimeout(
  exchange: Http2Exchange,
  limits: Limits,
  { nowMs, isPaused }: { readonly nowMs: number; readonly isPaused: boolean },
): Fault | null {
  const { life, lastMoveMs, pace } = exchange;
  if (nowMs >= deadlineAfter(life.startedMs, limits.requestTimeoutMs)) return 'request-timeout';
  if (pace !== null) {
    if (isPaused || !exchange.isClientsTurn) pace.restart(nowMs);
    else if (pace.isTooSlow(nowMs, limits)) return 'body-timeout';
  }
  const isIdle = nowMs >= deadlineAfter(lastMoveMs, limits.streamIdleTimeoutMs);
  return isIdle ? 'stream-idle-timeout' : null;
}
