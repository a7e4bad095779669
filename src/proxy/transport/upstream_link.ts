/**
 * hot path
 *
 * The upstream connection of one downstream connection: connecting, connected or gone. It tells its
 * owner what happens in order and exactly once; its socket never has an unhandled error.
 */
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { Permit } from '../../model/permit.ts';
import type { Sockets } from '../../platform/sockets.ts';
import type { ConnectingStream } from '../../platform/stream.ts';
import type { Guard } from '../plane/guard.ts';
import type { ReadMemory } from '../plane/memory/read_memory.ts';
import { connect } from './connect.ts';
import { connectCause } from './connect_cause.ts';

export interface UpstreamEvents {
  onUpstreamConnected(): void;
  onUpstreamData(chunk: Buffer): void;
  onUpstreamDrain(): void;
  /** The upstream has sent its FIN. */
  onUpstreamEnd(): void;
  /** Gone without a FIN: reset; or never connected, and `cause` says why. Not told after `destroy`. */
  onUpstreamFailed(cause: Cause | null): void;
}

export class UpstreamLink {
  readonly socket: ConnectingStream;
  readonly startedMs: number;
  isConnected = false;
  /** Requests that were sent on it so far. */
  requestCount = 0;
  #isGone = false;

  constructor(
    permit: Permit,
    meta: ConnectionMeta,
    options: {
      readonly events: UpstreamEvents;
      readonly nowMs: number;
      readonly bufferBytesMax: number;
      readonly sockets: Sockets;
      readonly readMemory: ReadMemory;
      readonly guard: Guard;
      /** The policy in force: another one's permit connects nothing. */
      readonly currentSnapshot: () => object;
    },
  ) {
    const { events, readMemory, guard } = options;
    this.startedMs = options.nowMs;
    const tell = (task: () => void): void => {
      if (!this.#isGone) guard.run(task);
    };
    this.socket = connect(permit, meta, {
      ...options,
      sender: meta.sender,
      onRead: (chunk) =>
        guard.run(() => {
          if (!this.#isGone) events.onUpstreamData(chunk);
          readMemory.used(chunk.length);
        }),
    });
    this.socket.on('connect', () => {
      this.isConnected = true;
      tell(() => events.onUpstreamConnected());
    });
    this.socket.on('drain', () => tell(() => events.onUpstreamDrain()));
    this.socket.on('end', () => tell(() => events.onUpstreamEnd()));
    // 'close' follows every error; acting on it alone tells the failure once.
    let code: string | undefined;
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code;
    });
    this.socket.on('close', () => {
      tell(() => {
        this.#isGone = true;
        events.onUpstreamFailed(this.isConnected ? null : connectCause(code));
      });
    });
  }

  /** Closes it silently; nothing is told any more. */
  destroy(): void {
    this.#isGone = true;
    this.socket.destroy();
  }

  /**
   * Closes it with a reset, so that the upstream knows that the exchange was not complete. What was
   * written before it is connected is never sent: resetAndDestroy would wait for the connection,
   * which may never come, and send it first.
   */
  reset(): void {
    this.#isGone = true;
    if (this.socket.connecting) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }
}
