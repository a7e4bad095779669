/**
 * Waiting until a batch of identities is in force in every worker that runs: for who must not let an answer go before
 * that. A worker that is being started counts, as it listens with everything that was told before.
 */
import { PatientTimeout } from './patient_timeout.ts';

interface Waiting {
  readonly sequence: number;
  readonly resolve: (isInForce: boolean) => void;
  readonly timeout: PatientTimeout;
}

export class InForce {
  readonly #sequence: () => number;
  readonly #waiting = new Set<Waiting>();

  /** `sequence`: up to which all batches are in force in all workers. */
  constructor(sequence: () => number) {
    this.#sequence = sequence;
  }

  isReached(sequence: number): boolean {
    return this.#sequence() >= sequence;
  }

  /** False: not within that time. */
  wait(sequence: number, timeoutMs: number): Promise<boolean> {
    if (this.isReached(sequence)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiting = { sequence, resolve, timeout: new PatientTimeout() };
      this.#waiting.add(waiting);
      waiting.timeout.start(timeoutMs, () => {
        this.#waiting.delete(waiting);
        resolve(this.isReached(sequence));
      });
    });
  }

  /** To be called when the sequence may be another. */
  look(): void {
    if (this.#waiting.size === 0) return;
    const reached = this.#sequence();
    for (const waiting of this.#waiting) {
      if (waiting.sequence > reached) continue;
      this.#waiting.delete(waiting);
      waiting.timeout.clear();
      waiting.resolve(true);
    }
  }

  /** Nothing will be in force any more. */
  stop(): void {
    for (const { timeout, resolve } of this.#waiting) {
      timeout.clear();
      resolve(false);
    }
    this.#waiting.clear();
  }
}
