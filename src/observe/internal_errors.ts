/** Bugs of ours: all are counted, and told at a bounded rate, as one may come with every request. */
import type { Clock } from '../platform/platform.ts';
import type { Logger } from './log/logger.ts';

export interface InternalErrorsOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  /** `limits.internalErrorLogIntervalMs`. */
  readonly intervalMs: number;
  readonly onCounted: () => void;
}

export class InternalErrors {
  readonly #options: InternalErrorsOptions;
  #lastAtMs = Number.NEGATIVE_INFINITY;
  #suppressed = 0;

  constructor(options: InternalErrorsOptions) {
    this.#options = options;
  }

  tell(where: string, error: unknown): void {
    const { logger, clock, intervalMs, onCounted } = this.#options;
    onCounted();
    const nowMs = clock.nowMs();
    if (nowMs - this.#lastAtMs < intervalMs) {
      this.#suppressed++;
      return;
    }
    const suppressed = this.#suppressed;
    this.#lastAtMs = nowMs;
    this.#suppressed = 0;
    try {
      const err = error instanceof Error ? error : new Error(String(error));
      logger.error({ where, suppressed, err }, 'internal error');
    } catch {
      // Nothing is left that could be told to anybody; it is counted.
    }
  }
}
