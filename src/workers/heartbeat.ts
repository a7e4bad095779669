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
  #look: NodeJS.Immediate | null = null;
  #heardMs = performance.now();
  #beatMs = performance.now();
  /** When the oldest question was asked that has no answer yet. */
  #unansweredSinceMs: number | null = null;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#schedule();
  }

  heard(): void {
    this.#heardMs = performance.now();
    this.#unansweredSinceMs = null;
  }

  get isAnswering(): boolean {
    const { workerHeartbeatIntervalMs } = this.#options.limits;
    return performance.now() - this.#heardMs <= MISSED_MAX * workerHeartbeatIntervalMs;
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#look !== null) clearImmediate(this.#look);
    this.#look = null;
  }

  #schedule(): void {
    const { workerHeartbeatIntervalMs } = this.#options.limits;
    this.#timer = setTimeout(() => this.#beat(), workerHeartbeatIntervalMs);
    this.#timer.unref();
  }

  #beat(): void {
    const nowMs = performance.now();
    this.#allowForSleep(nowMs);
    if (this.#isSilent(nowMs)) {
      // An answer may have come while we were busy: what has come is read before this runs.
      this.#look = setImmediate(() => {
        this.#look = null;
        if (this.#isSilent(nowMs)) this.#options.onSilent();
        else this.#schedule();
      });
      return;
    }
    this.#unansweredSinceMs ??= nowMs;
    this.#options.ask();
    this.#schedule();
  }

  #allowForSleep(nowMs: number): void {
    const { workerHeartbeatIntervalMs } = this.#options.limits;
    const wasAsleep = nowMs - this.#beatMs > MISSED_MAX * workerHeartbeatIntervalMs;
    this.#beatMs = nowMs;
    if (!wasAsleep) return;
    this.#heardMs = nowMs;
    if (this.#unansweredSinceMs !== null) this.#unansweredSinceMs = nowMs;
  }

  #isSilent(nowMs: number): boolean {
    const { workerSilenceTimeoutMs } = this.#options.limits;
    const sinceMs = this.#unansweredSinceMs;
    return sinceMs !== null && nowMs - sinceMs >= workerSilenceTimeoutMs;
  }
}
