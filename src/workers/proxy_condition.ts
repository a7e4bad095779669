/**
 * Whether something is wrong with the workers that does not mend itself: told once when it begins and once when it is
 * over. A worker that dies once is started again, and is no news.
 */
import type { Limits } from '../model/limits.ts';
import type { Platform } from '../platform/platform.ts';

export interface ProxyConditionOptions {
  readonly platform: Pick<Platform, 'clock' | 'timers'>;
  readonly limits: Pick<Limits, 'kubeNotReadyMs' | 'kubeWorkerDeathCount'>;
  readonly isReady: () => boolean;
  /** One line; null: it is well again. */
  readonly tell: (problem: string | null) => void;
}

interface Death {
  readonly atMs: number;
  /** "worker 1: signal SIGKILL". */
  readonly text: string;
}

type Trouble = 'none' | 'not-ready' | 'dying';

const LOOK_MS = 1_000;
/** Deaths in it count. */
const WINDOW_MS = 600_000;
/** Of a worker's own words. */
const HOW_CHARACTERS_MAX = 200;

export class ProxyCondition {
  readonly #options: ProxyConditionOptions;
  #deaths: readonly Death[] = [];
  #readyAtMs = 0;
  #told: Trouble = 'none';
  #stopLooks: (() => void) | null = null;

  constructor(options: ProxyConditionOptions) {
    this.#options = options;
  }

  /** It has been ready. */
  start(): void {
    const { clock, timers } = this.#options.platform;
    this.#readyAtMs = clock.nowMs();
    this.#stopLooks = timers.every(LOOK_MS, () => this.#look());
  }

  stop(): void {
    this.#stopLooks?.();
  }

  died(worker: number, how: string): void {
    const atMs = this.#options.platform.clock.nowMs();
    const text = `worker ${worker}: ${how.slice(0, HOW_CHARACTERS_MAX)}`;
    this.#deaths = [...this.#deaths, { atMs, text }].slice(
      -this.#options.limits.kubeWorkerDeathCount,
    );
  }

  #look(): void {
    const { platform, isReady, tell } = this.#options;
    const nowMs = platform.clock.nowMs();
    if (isReady()) this.#readyAtMs = nowMs;
    const trouble = this.#trouble(nowMs);
    if (trouble === this.#told) return;
    this.#told = trouble;
    tell(this.#textOf(trouble));
  }

  #trouble(nowMs: number): Trouble {
    const { kubeNotReadyMs, kubeWorkerDeathCount } = this.#options.limits;
    if (nowMs - this.#readyAtMs > kubeNotReadyMs) return 'not-ready';
    const [first] = this.#deaths;
    const areMany = this.#deaths.length === kubeWorkerDeathCount;
    return areMany && first !== undefined && nowMs - first.atMs < WINDOW_MS ? 'dying' : 'none';
  }

  /** Without what changes each time: other words would be another Event. */
  #textOf(trouble: Trouble): string | null {
    if (trouble === 'none') return null;
    const { kubeNotReadyMs, kubeWorkerDeathCount } = this.#options.limits;
    const last = this.#deaths.at(-1);
    const death = last === undefined ? '' : `; the last one that died: ${last.text}`;
    return trouble === 'not-ready'
      ? `the proxy has not been ready for ${kubeNotReadyMs / 1000} s: not all workers listen with the policy in force${death}`
      : `workers die and are started again, ${kubeWorkerDeathCount} times or more within ${WINDOW_MS / 60_000} minutes${death}`;
  }
}
