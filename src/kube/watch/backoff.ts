/** How long to wait after a failure, as client-go's reflector does: so that a server that comes back is not run over. */
import { randomInt } from 'node:crypto';
import type { Clock } from '../../platform/platform.ts';

const FIRST_MS = 800;
const MAX_MS = 30_000;
/** Without a failure for so long, it begins anew. */
const RESET_MS = 120_000;

/** From 0 to below 1. */
export type Random = () => number;

export const cryptoRandom: Random = () => randomInt(2 ** 32) / 2 ** 32;

export class Backoff {
  readonly #clock: Clock;
  readonly #random: Random;
  #nextMs = FIRST_MS;
  #lastAtMs: number;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.#lastAtMs = clock.nowMs();
  }

  /** What failed before says nothing any more. */
  reset(): void {
    this.#nextMs = FIRST_MS;
  }

  /** Up to twice as long, each by its own chance. */
  delayMs(): number {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#lastAtMs > RESET_MS) this.#nextMs = FIRST_MS;
    this.#lastAtMs = nowMs;
    const delayMs = this.#nextMs * (1 + this.#random());
    this.#nextMs = Math.min(MAX_MS, 2 * this.#nextMs);
    return delayMs;
  }
}
