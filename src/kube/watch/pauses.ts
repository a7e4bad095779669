/** Waits of one who may be stopped at any time. */
import type { Timers } from '../../platform/platform.ts';

/** Calls `wake` once, unless the returned function is called before. */
export type Waker = (wake: () => void) => () => void;

export class Pauses {
  readonly #timers: Timers;
  readonly #stopped: AbortSignal;

  constructor(timers: Timers, stopped: AbortSignal) {
    this.#timers = timers;
    this.#stopped = stopped;
  }

  /** True: `waker` has ended it. */
  async pause(delayMs: number, waker: Waker = () => () => {}): Promise<boolean> {
    let stopTimer = (): void => {};
    let stopWaker = (): void => {};
    const waited = new Promise<boolean>((resolve) => {
      stopTimer = this.#timers.after(delayMs, () => resolve(false));
      stopWaker = waker(() => resolve(true));
    });
    const isWoken = await this.untilStopped(waited);
    stopTimer();
    stopWaker();
    return isWoken === true;
  }

  /** Null: it was stopped before. */
  untilStopped<T>(waited: Promise<T>): Promise<T | null> {
    const stopped = this.#stopped;
    if (stopped.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const give = (): void => resolve(null);
      stopped.addEventListener('abort', give);
      const done = (value: T | null): void => {
        stopped.removeEventListener('abort', give);
        resolve(value);
      };
      waited.then(done, () => done(null));
    });
  }
}
