/**
 * hot path
 *
 * If one side stops reading, we stop reading the other side, for every stream. Windows alone do not do this, because a
 * peer may open them at will. A client paused this way gets PINGs, because otherwise we would not notice that it has gone.
 */
import type { Http2Connection } from '../../codec/http2/connection.ts';
import type { Limits } from '../../model/limits.ts';
import type { Clock } from '../../platform/platform.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Http2Exchange } from './exchange.ts';
import type { Http2Outlet } from './outlet.ts';

export interface Http2PressureOptions {
  readonly downstream: Stream;
  readonly connection: Http2Connection<Http2Exchange>;
  readonly outlet: Http2Outlet;
  readonly clock: Clock;
  readonly limits: Limits;
}

export class Http2Pressure {
  readonly #options: Http2PressureOptions;
  /** Nothing is read from the client, as an upstream does not read. */
  isPaused = false;
  /** Since when, or when it was last sent a PING meanwhile. */
  #pausedMs = 0;

  constructor(options: Http2PressureOptions) {
    this.#options = options;
  }

  balance(): void {
    const { downstream, connection, outlet, clock } = this.#options;
    outlet.setPaused(downstream.writableNeedDrain || connection.isCongested);
    const { isCongested } = outlet;
    if (isCongested === this.isPaused) return;
    this.isPaused = isCongested;
    this.#pausedMs = clock.nowMs();
    if (isCongested) downstream.pause();
    else downstream.resume();
  }

  /**
   * The end of a client that is not read shows only in what is written to it: a PING brings the reset of
   * one that is gone, and the next one meets it. What is being written already tells as well.
   */
  probe(nowMs: number): void {
    const { downstream, connection, limits } = this.#options;
    if (!this.isPaused || downstream.writableLength > 0) return;
    if (nowMs < this.#pausedMs + limits.h2StallPingIntervalMs) return;
    this.#pausedMs = nowMs;
    connection.ping();
  }
}
