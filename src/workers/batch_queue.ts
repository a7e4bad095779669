/**
 * Batches on their way to one worker: what was sent, what is in force there, and whether it falls too far behind. A
 * worker that does not say that they are in force is one that hangs, whatever else it says.
 */
import type { Limits } from '../model/limits.ts';
import { PatientTimeout } from './patient_timeout.ts';

export interface BatchQueueOptions {
  readonly limits: Pick<Limits, 'workerUpdateTimeoutMs' | 'identityBatchesWaitingMax'>;
  /** For people: "identities". */
  readonly what: string;
  /** Why, for people. */
  readonly onBehind: (why: string) => void;
}

export class BatchQueue {
  readonly #options: BatchQueueOptions;
  readonly #timeout = new PatientTimeout();
  #sent = 0;
  #inForce = 0;
  #waitingCount = 0;

  constructor(options: BatchQueueOptions) {
    this.#options = options;
  }

  /** All batches up to this one are in force in the worker. */
  get inForce(): number {
    return this.#inForce;
  }

  sent(sequence: number): void {
    this.#sent = sequence;
    this.#waitingCount += 1;
    const { identityBatchesWaitingMax } = this.#options.limits;
    if (this.#waitingCount > identityBatchesWaitingMax) {
      this.#timeout.clear();
      const { what, onBehind } = this.#options;
      onBehind(`more than ${identityBatchesWaitingMax} batches of ${what} wait`);
    } else if (!this.#timeout.isRunning) this.#await();
  }

  acknowledged(sequence: number): void {
    this.#inForce = Math.max(this.#inForce, sequence);
    this.#waitingCount = Math.max(0, this.#sent - this.#inForce);
    this.#timeout.clear();
    if (this.#waitingCount > 0) this.#await();
  }

  /** The worker is another now, or none. */
  reset(): void {
    this.#timeout.clear();
    this.#sent = 0;
    this.#inForce = 0;
    this.#waitingCount = 0;
  }

  #await(): void {
    const timeoutMs = this.#options.limits.workerUpdateTimeoutMs;
    this.#timeout.start(timeoutMs, () => {
      const { what, onBehind } = this.#options;
      onBehind(`${what} are not in force within ${timeoutMs} ms`);
    });
  }
}
