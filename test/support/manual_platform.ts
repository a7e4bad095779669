/** Time that stands still until a test moves it. */
import type { Platform } from '../../src/platform/platform.ts';

interface Timer {
  dueMs: number;
  readonly intervalMs: number | null;
  readonly task: () => void;
}

export class ManualPlatform implements Platform {
  #nowMs = 10_000;
  readonly #timers = new Set<Timer>();
  readonly clock = { nowMs: () => this.#nowMs, wallMs: () => 1_700_000_000_000 + this.#nowMs };
  readonly soon = (task: () => void): void => {
    setImmediate(task);
  };
  readonly timers = {
    every: (intervalMs: number, task: () => void) => this.#add(intervalMs, intervalMs, task),
    after: (delayMs: number, task: () => void) => this.#add(delayMs, null, task),
  };

  /** Runs what is due on the way, once each. */
  advance(byMs: number): void {
    this.#nowMs += byMs;
    for (const timer of [...this.#timers]) {
      if (timer.dueMs > this.#nowMs || !this.#timers.has(timer)) continue;
      if (timer.intervalMs === null) this.#timers.delete(timer);
      else timer.dueMs = this.#nowMs + timer.intervalMs;
      timer.task();
    }
  }

  #add(delayMs: number, intervalMs: number | null, task: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + delayMs, intervalMs, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}
