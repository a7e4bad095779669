/**
 * hot path
 *
 * Where allowed HTTP/2 streams go: one upstream connection that takes new streams, those before it that
 * still finish theirs, and the queue of streams that wait to be opened. In order: a stream that must
 * wait holds those after it, as their numbers must rise upstream.
 */
import type { SendQueue } from '../../codec/http2/send_queue.ts';
import type { SlabPool } from '../../codec/http2/slab_pool.ts';
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import { assert } from '../../model/contract.ts';
import type { Permit } from '../../model/permit.ts';
import type { Guard } from '../plane/guard.ts';
import type { Plane } from '../plane/plane.ts';
import type { Http2Exchange } from './exchange.ts';
import { type Http2ResponseEvents, Http2Upstream, type Http2UpstreamEvents } from './upstream.ts';

export interface Http2OutletOptions {
  readonly plane: Plane;
  readonly meta: ConnectionMeta;
  readonly pool: SlabPool;
  readonly events: Http2UpstreamEvents;
  readonly responses: Http2ResponseEvents;
  readonly guard: Guard;
  /** Whether the rules in force still allow an exchange; if not, it has been answered. */
  readonly isStillAllowed: (exchange: Http2Exchange) => boolean;
  /** Content that was held has left: `byteCount` of it may be credited downstream. */
  readonly onHeldSent: (exchange: Http2Exchange, byteCount: number) => void;
}

export class Http2Outlet {
  readonly #options: Http2OutletOptions;
  readonly #upstreams = new Set<Http2Upstream>();
  /** Null until the first stream is allowed, and after it was lost or is leaving. */
  #current: Http2Upstream | null = null;
  readonly #waiting: Http2Exchange[] = [];
  #isPaused = false;

  constructor(options: Http2OutletOptions) {
    this.#options = options;
  }

  /**
   * Only for an exchange with its permit and its source. It is opened when `openWaiting` is called next: who
   * opens streams and resets them in one breath has not asked the upstream for anything.
   */
  admit(exchange: Http2Exchange): void {
    assert(exchange.permit !== null && exchange.source !== null, 'who is admitted may be sent');
    this.#waiting.push(exchange);
  }

  /** No connection is made and nothing is sent for what the rules of this moment deny. */
  openWaiting(): void {
    while (this.#waiting.length > 0) {
      const exchange = this.#waiting[0] as Http2Exchange;
      if (exchange.life.isFinished || exchange.permit === null) {
        this.#waiting.shift();
        continue;
      }
      if (!this.#options.isStillAllowed(exchange)) {
        this.withdraw(exchange);
        continue;
      }
      const upstream = this.#upstreamFor(exchange.permit);
      if (!upstream.canOpen(exchange.downstream.id)) return;
      this.#waiting.shift();
      this.#open(exchange, upstream);
    }
  }

  /** It is over before it was opened: what was held of it is let go at once. */
  withdraw(exchange: Http2Exchange): void {
    const at = this.#waiting.indexOf(exchange);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /**
   * Takes no new streams any more. Gives the exchanges that waited for it when it never took a stream:
   * they would wait for the same again. Others go to a fresh connection.
   */
  leave(upstream: Http2Upstream): readonly Http2Exchange[] {
    if (this.#current !== upstream) return [];
    this.#current = null;
    return upstream.connection.lastStreamId === 0 ? this.#waiting.splice(0) : [];
  }

  /** It is gone; gives what `leave` gives. */
  lost(upstream: Http2Upstream): readonly Http2Exchange[] {
    upstream.close();
    this.#upstreams.delete(upstream);
    return this.leave(upstream);
  }

  flush(): void {
    for (const upstream of this.#upstreams) {
      upstream.flush();
      if (upstream.isLeaving && upstream.streamCount === 0) this.lost(upstream);
    }
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Nothing is read from the upstreams while the client does not read. */
  setPaused(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    for (const { link } of this.#upstreams) {
      if (isPaused) link.socket.pause();
      else link.socket.resume();
    }
  }

  /** Content that waits for upstreams. */
  get heldBytes(): number {
    let byteCount = 0;
    for (const { connection } of this.#upstreams) byteCount += connection.heldBytes;
    for (const { held } of this.#waiting) byteCount += held === null ? 0 : held.byteLength;
    return byteCount;
  }

  get isCongested(): boolean {
    for (const upstream of this.#upstreams) if (upstream.isCongested) return true;
    return false;
  }

  expire(nowMs: number): void {
    for (const upstream of [...this.#upstreams]) upstream.expire(nowMs);
  }

  close(): void {
    for (const upstream of this.#upstreams) upstream.close();
    this.#upstreams.clear();
    this.#current = null;
    this.#waiting.length = 0;
  }

  #upstreamFor(permit: Permit): Http2Upstream {
    if (this.#current === null || this.#current.isLeaving) {
      const nowMs = this.#options.plane.options.platform.clock.nowMs();
      this.#current = new Http2Upstream({ ...this.#options, permit, nowMs });
      this.#upstreams.add(this.#current);
      if (this.#isPaused) this.#current.link.socket.pause();
    }
    return this.#current;
  }

  #open(exchange: Http2Exchange, upstream: Http2Upstream): void {
    const { source, held, heldTrailers } = exchange;
    if (source === null) return;
    const { connection } = upstream;
    const stream = connection.openStream(exchange.downstream.id, exchange.head.method === 'HEAD');
    stream.context = exchange;
    exchange.upstream = stream;
    exchange.connection = connection;
    exchange.held = null;
    exchange.heldTrailers = null;
    const hasContent = held !== null && held.byteLength > 0;
    const hasMore = hasContent || heldTrailers !== null;
    connection.sendHeaders(stream, source, exchange.isRequestEnded && !hasMore);
    if (hasContent) this.#sendHeld(exchange, held, heldTrailers === null);
    if (heldTrailers === null) return;
    connection.sendTrailers(stream, exchange.sentTrailers(heldTrailers));
  }

  #sendHeld(exchange: Http2Exchange, held: SendQueue, isLastPart: boolean): void {
    const { upstream, connection } = exchange;
    if (upstream === null || connection === null) return;
    for (let head = held.head(); head !== null && held.byteLength > 0; head = held.head()) {
      const { bytes, start, end } = head;
      const isLast = end - start === held.byteLength;
      const isEndStream = isLast && isLastPart && exchange.isRequestEnded;
      const left = connection.sendData(upstream, bytes, { start, end, isEndStream });
      this.#options.onHeldSent(exchange, left);
      held.drop(end - start);
    }
  }
}
