/**
 * The upstream connection of one downstream connection: connecting, connected or gone. It tells its
 * owner what happens in order and exactly once; its socket never has an unhandled error.
 */
import type { Socket } from 'node:net';
import type { SocketAddress } from '../model/address.ts';
import type { Permit } from '../model/decision.ts';
import { connect } from '../upstream/connect.ts';

export interface UpstreamEvents {
  onUpstreamConnected(): void;
  onUpstreamData(chunk: Buffer): void;
  onUpstreamDrain(): void;
  /** The upstream has sent its FIN. */
  onUpstreamEnd(): void;
  /** Gone without a FIN: refused, reset, unreachable. Not told after `destroy`. */
  onUpstreamFailed(): void;
}

export class UpstreamLink {
  readonly socket: Socket;
  readonly startedMs: number;
  isConnected = false;
  /** Requests that were sent on it so far. */
  requestCount = 0;
  #isGone = false;

  constructor(
    permit: Permit,
    target: SocketAddress,
    options: {
      readonly events: UpstreamEvents;
      readonly nowMs: number;
      readonly bufferBytesMax: number;
    },
  ) {
    const { events } = options;
    this.startedMs = options.nowMs;
    this.socket = connect(permit, target, options);
    this.socket.on('connect', () => {
      this.isConnected = true;
      events.onUpstreamConnected();
    });
    this.socket.on('data', (chunk: Buffer) => {
      if (!this.#isGone) events.onUpstreamData(chunk);
    });
    this.socket.on('drain', () => {
      if (!this.#isGone) events.onUpstreamDrain();
    });
    this.socket.on('end', () => {
      if (!this.#isGone) events.onUpstreamEnd();
    });
    // 'close' follows every error; acting on it alone tells the failure once.
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      if (this.#isGone) return;
      this.#isGone = true;
      events.onUpstreamFailed();
    });
  }

  /** Closes it silently; nothing is told any more. */
  destroy(): void {
    this.#isGone = true;
    this.socket.destroy();
  }

  /** Closes it with a reset, so that the upstream knows that the exchange was not complete. */
  reset(): void {
    this.#isGone = true;
    this.socket.resetAndDestroy();
  }
}
