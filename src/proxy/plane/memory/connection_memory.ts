/**
 * Connections that have ended leave memory behind that V8 does not look for while little happens: after ten
 * thousand idle ones a worker kept a hundred MiB for as long as nobody came. It is taken back when most of many are
 * gone, in one go: those that are left are few, and wait some tens of milliseconds once.
 */

/** Fewer leave too little to be worth it. */
const PEAK_COUNT_MIN = 1000;
const GONE_SHARE = 0.75;

export class ConnectionMemory {
  readonly #release: (() => void) | null;
  #peakCount = 0;

  /** `release` null: the platform has no way to do it. */
  constructor(release: (() => void) | null) {
    this.#release = release;
  }

  /** To be told now and then how many are open. */
  counted(count: number): void {
    this.#peakCount = Math.max(this.#peakCount, count);
    if (this.#peakCount < PEAK_COUNT_MIN || count > this.#peakCount * (1 - GONE_SHARE)) return;
    this.#peakCount = count;
    this.#release?.();
  }
}
