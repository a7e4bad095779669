/**
 * hot path
 *
 * Bytes both ways between two sockets, with back-pressure and half-close, and nothing else: WebSocket
 * after its 101, and TLS on ports where only the server name is judged.
 */
import { unshared } from '../../platform/socket_reads.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Guard } from '../plane/guard.ts';

export interface TunnelEvents {
  /** Both directions have ended, or one side failed: both sockets are closed or closing. */
  onEnd(isFailure: boolean): void;
  onBytes(fromDownstream: number, fromUpstream: number): void;
}

export class Tunnel {
  readonly #downstream: Stream;
  readonly #upstream: Stream;
  readonly #events: TunnelEvents;
  #hasDownstreamEnded = false;
  #hasUpstreamEnded = false;
  #isOver = false;

  constructor(
    downstream: Stream,
    upstream: Stream,
    { events, guard }: { readonly events: TunnelEvents; readonly guard: Guard },
  ) {
    this.#downstream = downstream;
    this.#upstream = upstream;
    this.#events = events;
    upstream.on('drain', () => guard.run(() => downstream.resume()));
    downstream.on('drain', () => guard.run(() => upstream.resume()));
    upstream.on('finish', () => guard.run(() => this.#look()));
    downstream.on('finish', () => guard.run(() => this.#look()));
  }

  fromDownstream(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#events.onBytes(chunk.length, 0);
    if (!write(this.#upstream, chunk)) this.#downstream.pause();
  }

  fromUpstream(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#events.onBytes(0, chunk.length);
    if (!write(this.#downstream, chunk)) this.#upstream.pause();
  }

  downstreamEnded(): void {
    if (this.#isOver) return;
    this.#hasDownstreamEnded = true;
    this.#upstream.end();
    this.#look();
  }

  upstreamEnded(): void {
    if (this.#isOver) return;
    this.#hasUpstreamEnded = true;
    this.#downstream.end();
    this.#look();
  }

  /** A socket has closed: with both FINs exchanged that is how a side ends, else it is a failure. */
  fail(): void {
    const isDownstreamLost = this.#downstream.destroyed && !this.#isDownstreamDone();
    const isUpstreamLost = this.#upstream.destroyed && !this.#isUpstreamDone();
    if (isDownstreamLost || isUpstreamLost) this.#finish(true);
    else this.#look();
  }

  /** Over only when the last byte of both directions is out: closing earlier would drop it. */
  #look(): void {
    if (this.#isDownstreamDone() && this.#isUpstreamDone()) this.#finish(false);
  }

  #isDownstreamDone(): boolean {
    return this.#hasDownstreamEnded && this.#downstream.writableFinished;
  }

  #isUpstreamDone(): boolean {
    return this.#hasUpstreamEnded && this.#upstream.writableFinished;
  }

  #finish(isFailure: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.onEnd(isFailure);
  }
}

/** Behind bytes that wait for the other side to read, small chunks would each keep the memory they are from. */
function write(socket: Stream, chunk: Buffer): boolean {
  return socket.write(socket.writableLength > 0 ? unshared(chunk) : chunk);
}
