/**
 * What making a whole set leaves behind in the policy thread. V8 looks for it when the heap has become some times as
 * large, and keeps pages that are nearly empty: among 50,000 pods that was twice of what is in use after a start, and
 * five times after ten policies. It is given back a while after a set, in one go: the thread answers nobody meanwhile,
 * for less time than a set takes.
 */
import type { Memory, Timers } from '../platform/platform.ts';

/** Several sets that come one after the other leave it once. */
const WAIT_MS = 5000;
/** Less is not worth the time; a small set never leaves as much. */
const SPENT_BYTES_MIN = 32 * 1024 * 1024;

export class SpentMemory {
  readonly #memory: Memory | null;
  readonly #timers: Pick<Timers, 'after'>;
  #isAwaited = false;
  #heldBytes = 0;

  /** `memory` null: the platform has no way to do it. */
  constructor(memory: Memory | null, timers: Pick<Timers, 'after'>) {
    this.#memory = memory;
    this.#timers = timers;
  }

  /** To be told of each set that was made. */
  spent(): void {
    const memory = this.#memory;
    if (memory === null || this.#isAwaited) return;
    this.#isAwaited = true;
    this.#timers.after(WAIT_MS, () => {
      this.#isAwaited = false;
      this.#release(memory);
    });
  }

  #release(memory: Memory): void {
    if (memory.heapBytes() < this.#heldBytes + SPENT_BYTES_MIN) return;
    memory.giveBack();
    this.#heldBytes = memory.heapBytes();
  }
}
