/**
 * The end of a connection whose last bytes may still be unread: it may take its time for reading them
 * (streamIdleTimeoutMs without progress), not for closing after that (delayedCloseTimeoutMs). A client
 * that still sends, and reads only after that, has longer (lingerTimeoutMs): closing would answer with a reset, which
 * overtakes the reply (RFC 9112 9.6).
 */
import type { Limits } from '../../model/limits.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Share } from '../plane/holders.ts';

export class Linger {
  readonly #socket: Stream;
  readonly #limits: Limits;
  readonly #share: Share;
  #untilMs = 0;
  #lastMs = 0;
  #unsentBytes = 0;
  #isFlushed: boolean;

  constructor(
    socket: Stream,
    options: { readonly limits: Limits; readonly share: Share; readonly nowMs: number },
  ) {
    const { nowMs } = options;
    this.#socket = socket;
    this.#limits = options.limits;
    this.#share = options.share;
    this.#isFlushed = socket.writableFinished;
    if (socket.writableLength === 0) this.#share.closing(nowMs);
    this.#extend(nowMs);
    socket.end();
    socket.resume();
  }

  /** All our bytes are out, our FIN too. Once both sides have ended, the socket closes by itself. */
  flushed(nowMs: number): void {
    this.#isFlushed = true;
    this.#share.closing(nowMs);
    this.#extend(nowMs);
  }

  /** The client is still sending; what it sends is dropped. */
  heard(nowMs: number): void {
    const { delayedCloseTimeoutMs } = this.#limits;
    if (!this.#isFlushed) return;
    this.#untilMs = Math.max(this.#untilMs, Math.min(this.#lastMs, nowMs + delayedCloseTimeoutMs));
  }

  expire(nowMs: number): void {
    if (!this.#isFlushed && this.#socket.writableLength < this.#unsentBytes) this.#extend(nowMs);
    else if (nowMs >= this.#untilMs) this.#socket.destroy();
  }

  #extend(nowMs: number): void {
    const { delayedCloseTimeoutMs, streamIdleTimeoutMs, idleTimeoutMs } = this.#limits;
    this.#lastMs = nowMs + this.#limits.lingerTimeoutMs;
    const unreadTimeoutMs = streamIdleTimeoutMs === 0 ? idleTimeoutMs : streamIdleTimeoutMs;
    this.#unsentBytes = this.#socket.writableLength;
    this.#untilMs = nowMs + (this.#isFlushed ? delayedCloseTimeoutMs : unreadTimeoutMs);
  }
}
