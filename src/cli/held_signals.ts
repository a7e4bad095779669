/**
 * Signals that come while the program is still being loaded. Without a handler SIGTERM would end it with a failure, or,
 * where it is process 1 of a container, do nothing at all; SIGUSR1 would open Node's debugger. So this file is loaded
 * before all others, and imports none of them.
 */

const SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'];

export class HeldSignals {
  readonly #held: NodeJS.Signals[] = [];
  readonly #hold = (signal: NodeJS.Signals): void => {
    this.#held.push(signal);
  };

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#hold);
  }

  /** Those that came, in order; from now on they are the caller's, who has handlers of its own. */
  handOver(): readonly NodeJS.Signals[] {
    for (const signal of SIGNALS) process.off(signal, this.#hold);
    return this.#held.splice(0);
  }
}
