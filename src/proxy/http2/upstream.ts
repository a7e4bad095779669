/**
 * hot path
 *
 * The upstream half of the HTTP/2 relay: one connection, its streams numbered as downstream numbers
 * them. Tells its owner what happens on each stream; knows nothing of policy.
 */
import { Http2Connection } from '../../codec/http2/connection.ts';
import {
  DATA,
  FAULT,
  GOAWAY,
  HEAD,
  MALFORMED,
  NEED_MORE,
  RESET,
  SENT,
  SETTINGS,
  STREAM_ERROR,
  TRAILERS,
} from '../../codec/http2/event.ts';
import type { EventFacts } from '../../codec/http2/event_facts.ts';
import { ERROR_CODES } from '../../codec/http2/frame.ts';
import type { SlabPool } from '../../codec/http2/slab_pool.ts';
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Fault } from '../../model/fault.ts';
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import type { Permit } from '../../model/permit.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Guard } from '../plane/guard.ts';
import type { Plane } from '../plane/plane.ts';
import { UpstreamLink } from '../transport/upstream_link.ts';
import type { Http2Exchange } from './exchange.ts';

/** Of one exchange. */
export interface Http2ResponseEvents {
  onResponseHead(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void;
  onResponseData(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void;
  onResponseTrailers(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void;
  /** The upstream reset the stream. */
  onResponseReset(exchange: Http2Exchange, errorCode: number): void;
  /** The response cannot be used; the stream is reset. */
  onResponseFault(exchange: Http2Exchange, fault: Fault, cause: Cause | null): void;
  /** Content of the request has left. */
  onRequestSent(exchange: Http2Exchange, byteCount: number): void;
}

/** Of the connection. */
export interface Http2UpstreamEvents {
  /** More streams may be opened than before. */
  onRoom(): void;
  /** No new streams here; those above `lastStreamId` were not looked at. */
  onGoAway(upstream: Http2Upstream, lastStreamId: number): void;
  /** The connection is gone; told once. */
  onLost(upstream: Http2Upstream, fault: Fault, cause: Cause | null): void;
  /** The upstream reads again. */
  onUpstreamDrain(): void;
  /** Before anything of what one read brought. */
  onTurnBegin(nowMs: number): void;
  /** After everything that one read brought: write what there is to write. */
  onTurnEnd(): void;
}

export interface Http2UpstreamOptions {
  readonly permit: Permit;
  readonly meta: ConnectionMeta;
  readonly plane: Plane;
  readonly pool: SlabPool;
  readonly events: Http2UpstreamEvents;
  readonly responses: Http2ResponseEvents;
  readonly guard: Guard;
  readonly nowMs: number;
}

export class Http2Upstream {
  readonly connection: Http2Connection<Http2Exchange>;
  readonly link: UpstreamLink;
  readonly #options: Http2UpstreamOptions;
  readonly #onWritten = (): void => {
    const { guard, events } = this.#options;
    try {
      this.connection.written();
      if (!this.#isGone && !this.isCongested) events.onUpstreamDrain();
    } catch (error) {
      guard.broken(error);
    }
  };
  /** After GOAWAY it takes no new streams. */
  isLeaving = false;
  #isGone = false;

  constructor(options: Http2UpstreamOptions) {
    const { limits, behaviour } = options.plane.options;
    this.#options = options;
    this.connection = new Http2Connection<Http2Exchange>({
      role: 'client',
      limits,
      pool: options.pool,
      isPathNormalised: behaviour.isPathNormalised,
      streamWindowBytes: options.plane.contentMemory.streamWindowBytes,
    });
    this.link = new UpstreamLink(options.permit, options.meta, {
      sockets: options.plane.options.sockets,
      events: {
        onUpstreamConnected: () => this.#countConnect('connected'),
        onUpstreamData: (chunk) => this.#receive(chunk),
        onUpstreamDrain: () => options.events.onUpstreamDrain(),
        onUpstreamEnd: () => this.#lose('upstream-closed'),
        onUpstreamFailed: (cause) => this.#onFailed(cause),
      },
      nowMs: options.nowMs,
      bufferBytesMax: limits.bufferBytesMax,
      readMemory: options.plane.readMemory,
      guard: options.guard,
      currentSnapshot: options.plane.options.currentSnapshot,
    });
    this.flush();
  }

  /** Its SETTINGS are here, so its limits are known, and it takes one more stream. */
  canOpen(streamId: number): boolean {
    return (
      !this.#isGone &&
      !this.isLeaving &&
      this.connection.isGreeted &&
      this.connection.canOpenStream(streamId)
    );
  }

  /** It does not read what it is sent. What waits for the connection is bounded by what was held. */
  get isCongested(): boolean {
    const { link, connection } = this;
    return link.isConnected && (link.socket.writableNeedDrain || connection.isCongested);
  }

  get streamCount(): number {
    return this.connection.streamCount;
  }

  /** One write for all frames of a turn. */
  flush(): void {
    if (this.#isGone) return;
    writeFrames(this.link.socket, this.connection.take(), this.#onWritten);
  }

  close(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.link.destroy();
  }

  /** Acts on the time-outs of the connection itself. */
  expire(nowMs: number): void {
    const { limits } = this.#options.plane.options;
    const age = nowMs - this.link.startedMs;
    if (!this.link.isConnected && age >= limits.connectTimeoutMs) {
      this.#countConnect('timeout');
      this.#lose('connect-timeout');
    } else if (
      this.link.isConnected &&
      !this.link.socket.isPaused() &&
      !(this.connection.isGreeted && this.connection.areSettingsAcknowledged) &&
      age >= limits.h2SettingsTimeoutMs
    ) {
      this.connection.goAway(ERROR_CODES.SETTINGS_TIMEOUT);
      this.flush();
      this.#lose('upstream-http2-error', causeOf('h2-settings-timeout'));
    } else if (this.isCongested && this.streamCount === 0) {
      // It reads nothing and owes nothing, and while it is there nothing is read from the client.
      this.#lose('upstream-closed');
    }
  }

  #receive(chunk: Buffer): void {
    const { events, plane } = this.#options;
    const { clock } = plane.options.platform;
    const { connection } = this;
    const nowMs = clock.nowMs();
    events.onTurnBegin(nowMs);
    connection.receive(chunk, nowMs);
    while (!this.#isGone) {
      const event = connection.next();
      if (event === NEED_MORE) break;
      if (event === FAULT) {
        this.flush();
        this.#lose(connection.facts.fault, connection.facts.cause);
        break;
      }
      this.#tell(event);
    }
    events.onTurnEnd();
  }

  #tell(event: number): void {
    const { events, responses } = this.#options;
    const { facts } = this.connection;
    if (event === SETTINGS) {
      events.onRoom();
      return;
    }
    if (event === GOAWAY) {
      this.isLeaving = true;
      events.onGoAway(this, facts.lastStreamId);
      return;
    }
    const exchange = facts.stream.context;
    if (exchange === null) return;
    if (event === HEAD) responses.onResponseHead(exchange, facts);
    else if (event === DATA) responses.onResponseData(exchange, facts);
    else if (event === TRAILERS) responses.onResponseTrailers(exchange, facts);
    else if (event === SENT) responses.onRequestSent(exchange, facts.byteCount);
    else if (event === RESET) responses.onResponseReset(exchange, facts.errorCode);
    else if (event === STREAM_ERROR)
      responses.onResponseFault(exchange, 'malformed-response', facts.cause);
    else if (event === MALFORMED) {
      this.connection.resetStream(facts.stream, facts.errorCode);
      responses.onResponseFault(exchange, facts.fault, facts.cause);
    }
    if (facts.stream.isClosed) events.onRoom();
  }

  #onFailed(cause: Cause | null): void {
    if (this.link.isConnected) {
      this.#lose('upstream-reset');
    } else {
      this.#countConnect('failed');
      this.#lose('connect-failed', cause);
    }
  }

  #lose(fault: Fault, cause: Cause | null = null): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.link.destroy();
    this.#options.events.onLost(this, fault, cause);
    this.#options.events.onTurnEnd();
  }

  #countConnect(outcome: 'connected' | 'failed' | 'timeout'): void {
    const { meta, plane } = this.#options;
    const { recorder, platform } = plane.options;
    recorder.events.upstreamConnected(
      meta.listener,
      outcome,
      platform.clock.nowMs() - this.link.startedMs,
    );
  }
}

/** One write for all frames; `onWritten` when they have left, so that what a peer leaves unread counts. */
export function writeFrames(
  socket: Stream,
  buffers: readonly Buffer[],
  onWritten: () => void,
): void {
  const last = buffers.length - 1;
  if (last < 0) return;
  socket.cork();
  for (let i = 0; i < last; i++) socket.write(buffers[i] as Buffer);
  socket.write(buffers[last] as Buffer, onWritten);
  socket.uncork();
}
