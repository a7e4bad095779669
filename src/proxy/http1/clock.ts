/**
 * hot path
 *
 * When bytes moved on one HTTP/1.1 connection, and so which time-out has passed. One idle clock for both
 * directions; how fast content has to come is `content_pace.ts`'s to say.
 */
import type { Fault } from '../../model/fault.ts';
import { ContentPace } from '../plane/content_pace.ts';
import { NO_DEADLINE } from '../plane/deadlines.ts';
import type { UpstreamContext } from '../request/relay.ts';
import { expiredBetween, expiredFault } from '../request/timeouts.ts';
import type { Http1Exchange } from './exchange.ts';

/** What the relay knows besides. */
export interface RelayState {
  readonly isTunnel: boolean;
  readonly isDownstreamEnded: boolean;
  /** Of a connection attempt that is still going on; else null. */
  readonly connectingSinceMs: number | null;
}

export class Http1Clock {
  readonly #context: UpstreamContext;
  readonly #pace: ContentPace;
  #lastMoveMs: number;

  constructor(context: UpstreamContext) {
    this.#context = context;
    this.#lastMoveMs = context.clock.nowMs();
    this.#pace = new ContentPace(this.#lastMoveMs);
  }

  get lastMoveMs(): number {
    return this.#lastMoveMs;
  }

  /** A byte in either direction, or the end of an exchange. */
  moved(): number {
    this.#lastMoveMs = this.#context.clock.nowMs();
    return this.#lastMoveMs;
  }

  /** A head has come: its content is expected. */
  begin(): void {
    this.#pace.begin(this.#lastMoveMs);
  }

  contentCame(byteLength: number): void {
    this.#pace.received(byteLength);
  }

  /** Until now it was not the client who was waited for. */
  restartPace(): void {
    this.#pace.restart(this.#context.clock.nowMs());
  }

  expiredExchange(exchange: Http1Exchange, state: RelayState, nowMs: number): Fault | null {
    const { downstream, plane } = this.#context;
    const { limits } = plane.options;
    const { isTunnel, isDownstreamEnded, connectingSinceMs } = state;
    const isClientWaitedFor = exchange.isClientsTurn && !downstream.isPaused();
    const times = {
      startedMs: isTunnel ? NO_DEADLINE : exchange.life.startedMs,
      connectingSinceMs,
      isContentTooSlow: isClientWaitedFor && this.#pace.isTooSlow(nowMs, limits),
      lastMoveMs: this.#lastMoveMs,
      isHalfClosed: isDownstreamEnded && !isTunnel && !exchange.isResponseStarted,
    };
    return expiredFault(times, nowMs, limits);
  }

  /** `headStartedMs`: when the first byte of a head that is not complete came; 0 when there is none. */
  expiredBetween(headStartedMs: number, nowMs: number): ReturnType<typeof expiredBetween> {
    const { downstream, plane } = this.#context;
    const isReplyUnread = downstream.writableNeedDrain;
    const idle = { headStartedMs, lastMoveMs: this.#lastMoveMs, isReplyUnread };
    return expiredBetween(idle, nowMs, plane.options.limits);
  }
}
