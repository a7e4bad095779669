/**
 * Bytes both ways between two sockets, with back-pressure and half-close, and nothing else: WebSocket
 * after its 101, and TLS on ports where only the server name is judged.
 */
import type { Socket } from 'node:net';

export interface TunnelEvents {
  /** Both directions have ended, or one side failed: both sockets are closed or closing. */
  onEnd(isFailure: boolean): void;
  onBytes(fromDownstream: number, fromUpstream: number): void;
}

export class Tunnel {
  readonly #downstream: Socket;
  readonly #upstream: Socket;
  readonly #events: TunnelEvents;
  #openSides = 2;
  #isOver = false;

  constructor(downstream: Socket, upstream: Socket, events: TunnelEvents) {
    this.#downstream = downstream;
    this.#upstream = upstream;
    this.#events = events;
    upstream.on('drain', () => downstream.resume());
    downstream.on('drain', () => upstream.resume());
  }

  fromDownstream(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#events.onBytes(chunk.length, 0);
    if (!this.#upstream.write(chunk)) this.#downstream.pause();
  }

  fromUpstream(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#events.onBytes(0, chunk.length);
    if (!this.#downstream.write(chunk)) this.#upstream.pause();
  }

  downstreamEnded(): void {
    if (this.#isOver) return;
    this.#upstream.end();
    this.#sideEnded();
  }

  upstreamEnded(): void {
    if (this.#isOver) return;
    this.#downstream.end();
    this.#sideEnded();
  }

  /** An error or an early close of one side ends both. */
  fail(): void {
    this.#finish(true);
  }

  #sideEnded(): void {
    this.#openSides -= 1;
    if (this.#openSides === 0) this.#finish(false);
  }

  #finish(isFailure: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.onEnd(isFailure);
  }
}
