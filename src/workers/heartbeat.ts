/**
 * Signs of life of one worker. A worker that dies is seen by its end; one that hangs (an endless loop, SIGSTOP, a
 * disk that does not answer) would hold its connections for ever. Asked each interval; any message is an answer.
 *
 * Silence is only held against a worker while we were awake ourselves: after a suspend, or when this process
 * was stopped, its answers may just not have been read yet.
 */
import type { Limits } from '../model/limits.ts';

export interface HeartbeatOptions {
  readonly limits: Pick<Limits, 'workerHeartbeatIntervalMs' | 'workerSilenceTimeoutMs'>;
  readonly ask: () => void;
  /** Once; nothing is asked any more. */
  readonly onSilent: () => void;
}

/** Heartbeats that may be missed before a worker counts as one that does not answer. */
const MISSED_MAX = 3;

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | null = null;
  #heardMs = performance.now();
  #askedMs = performance.now();

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#schedule();
  }

  heard(): void {
    this.#heardMs = performance.now();
  }

  get isAnswering(): boolean {
    const { workerHeartbeatIntervalMs } = this.#options.limits;
    return performance.now() - this.#heardMs <= MISSED_MAX * workerHeartbeatIntervalMs;
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #schedule(): void {
    const { workerHeartbeatIntervalMs } = this.#options.limits;
    this.#timer = setTimeout(() => this.#beat(), workerHeartbeatIntervalMs);
    this.#timer.unref();
  }

  #beat(): void {
    const { workerHeartbeatIntervalMs, workerSilenceTimeoutMs } = this.#options.limits;
    const nowMs = performance.now();
    const wasAsleep = nowMs - this.#askedMs > MISSED_MAX * workerHeartbeatIntervalMs;
    if (wasAsleep) this.#heardMs = nowMs;
    this.#askedMs = nowMs;
    if (nowMs - this.#heardMs >= workerSilenceTimeoutMs) {
      this.stop();
      this.#options.onSilent();
      return;
    }
    this.#options.ask();
    this.#schedule();
  }
}
