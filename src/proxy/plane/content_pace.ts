/**
 * hot path
 *
 * How fast the content of a request comes, over the whole of it: a pause of a client that had sent much is no
 * fault, a client that drips is. Whichever HTTP version it came by:
 *
 *     allowed waiting = bodyTimeoutMs + what has come so far at bodyBytesPerSecondMin
 *
 * Waiting counts only while it is the client who could go on: not while the upstream takes no more, nor before
 * a 100 (Continue). Who owns the clock asks it only until the response has begun: from then on both sides may
 * pause as they like, and the idle clock of the whole exchange (streamIdleTimeoutMs) is the only one. The same
 * holds for gRPC, whose requests stay open for as long as the call.
 */
import type { Limits } from '../../model/limits.ts';

export class ContentPace {
  #sinceMs: number;
  #byteLength = 0;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** For the content of another request. */
  begin(nowMs: number): void {
    this.#sinceMs = nowMs;
    this.#byteLength = 0;
  }

  received(byteLength: number): void {
    this.#byteLength += byteLength;
  }

  /** Until now it was not the client who was waited for. */
  restart(nowMs: number): void {
    this.#sinceMs = nowMs;
  }

  /** Whether the client has been waited for longer than what it sent allows. */
  isTooSlow(nowMs: number, { bodyTimeoutMs, bodyBytesPerSecondMin }: Limits): boolean {
    const waitedMs = nowMs - this.#sinceMs;
    if (bodyBytesPerSecondMin === 0 || waitedMs < bodyTimeoutMs) return false;
    return waitedMs >= bodyTimeoutMs + (this.#byteLength * 1000) / bodyBytesPerSecondMin;
  }
}
