/**
 * Whether an API server lives from which nothing is heard. One that hangs holds its connections open for ever: as
 * Cilium's agent does, all of them are given up once it does not answer (pkg/k8s/client, `k8s-heartbeat-timeout`).
 */
import type { Clock, Timers } from '../platform/platform.ts';

export interface HeartbeatOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly silenceMaxMs: number;
  /** Any answer is a sign of life. */
  readonly probe: (signal: AbortSignal) => Promise<boolean>;
  readonly dead: () => void;
}

/** Looks in one time of silence. */
const LOOK_COUNT = 6;

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #heardAtMs: number;
  /** Requests and streams that wait for something. */
  #waitingCount = 0;
  #isProbing = false;
  #stopLooks: (() => void) | null = null;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#heardAtMs = options.clock.nowMs();
  }

  readonly heard = (): void => {
    this.#heardAtMs = this.#options.clock.nowMs();
  };

  begin(): void {
    this.#waitingCount += 1;
    if (this.#stopLooks !== null) return;
    this.heard();
    const { timers, silenceMaxMs } = this.#options;
    this.#stopLooks = timers.every(silenceMaxMs / LOOK_COUNT, () => this.#look());
  }

  end(): void {
    this.#waitingCount -= 1;
    if (this.#waitingCount > 0) return;
    this.#stopLooks?.();
    this.#stopLooks = null;
  }

  #look(): void {
    const { clock, silenceMaxMs } = this.#options;
    if (this.#isProbing || clock.nowMs() - this.#heardAtMs < silenceMaxMs) return;
    this.#isProbing = true;
    this.#probe(clock.nowMs()).finally(() => {
      this.#isProbing = false;
    });
  }

  async #probe(startMs: number): Promise<void> {
    const { timers, silenceMaxMs, probe, dead } = this.#options;
    const abort = new AbortController();
    const stop = timers.after(silenceMaxMs, () => abort.abort());
    const isAlive = await probe(abort.signal);
    stop();
    if (isAlive) this.heard();
    else if (this.#heardAtMs <= startMs) dead();
  }
}
