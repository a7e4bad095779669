/**
 * The flows of all workers in the supervisor: says whether workers are to send any, and hands them to who asks for
 * them.
 */
import type { FlowFeed } from '../admin/backend.ts';
import type { Flow } from '../model/flow.ts';
import type { Limits } from '../model/limits.ts';
import { FlowStream } from '../observe/flow/flow_stream.ts';
import type { Logger } from '../observe/log/logger.ts';
import { familyOf, type MetricFamily } from '../observe/metrics/family.ts';

export interface FlowHubOptions {
  readonly limits: Limits;
  readonly log: Logger;
  /** Workers are to send flows from now on, or none any more. */
  readonly onDemand: (isWanted: boolean) => void;
}

export class FlowHub {
  readonly #limits: Limits;
  readonly #stream: FlowStream;

  constructor(options: FlowHubOptions) {
    const { limits, log, onDemand } = options;
    this.#limits = limits;
    this.#stream = new FlowStream({
      ringCountMax: limits.flowRingCountMax,
      subscriberCountMax: limits.flowFollowerCountMax,
      onDemand,
      onError: (err) => log.error({ where: 'flows', err }, 'internal error'),
    });
  }

  /** Some are kept all the time. */
  get isWantedFromStart(): boolean {
    return this.#stream.isKept;
  }

  push(batch: Uint8Array): void {
    this.#stream.push(batch);
  }

  last(count: number): readonly Flow[] | null {
    return this.#stream.isKept ? this.#stream.last(count) : null;
  }

  follow(onReady: () => void): FlowFeed | null {
    const { flowQueueCountMax: queueCountMax } = this.#limits;
    return this.#stream.subscribe({ filter: () => true, queueCountMax, onReady });
  }

  families(): readonly MetricFamily[] {
    return [
      familyOf('sallyport_flows_dropped_total', this.#stream.lostCount, { at: 'supervisor' }),
    ];
  }

  /** Whoever follows gets what waits for it, and its reply ends. */
  end(): void {
    this.#stream.end();
  }
}
