/** What counts the flows of the node, and answers who scrapes. */

import type { SocketAddress } from '../../model/address.ts';
import type { HubbleMetricRequest } from '../../model/hubble_metric_request.ts';
import type { Limits } from '../../model/limits.ts';
import { type Flow, LostEventSource } from '../generated/flow/flow_pb.ts';
import type { HubbleSink } from '../hubble_sink.ts';
import { HubbleMetrics, type LostSource } from './hubble_metrics.ts';
import { MetricsServer } from './metrics_server.ts';

export interface MetricsSinkOptions {
  readonly requests: readonly HubbleMetricRequest[];
  readonly address: SocketAddress;
  readonly hasOpenMetrics: boolean;
  readonly limits: Limits;
  readonly nowMs: () => number;
  readonly onError: (error: unknown) => void;
}

export class MetricsSink implements HubbleSink {
  readonly #metrics: HubbleMetrics;
  readonly #server: MetricsServer;

  constructor(options: MetricsSinkOptions) {
    const { requests, limits, nowMs } = options;
    const { hubbleSeriesCountMax: countMax, hubbleSeriesIdleMs: idleMs } = limits;
    this.#metrics = new HubbleMetrics(requests, { countMax, idleMs, nowMs });
    this.#server = new MetricsServer({ ...options, families: () => this.#metrics.families() });
  }

  /** The address; rejects when it cannot be bound. */
  start(): Promise<string> {
    return this.#server.listen();
  }

  flow(flow: Flow): void {
    this.#metrics.count(flow);
  }

  lost(source: LostEventSource, count: number): void {
    this.#metrics.lost(LOST_SOURCES.get(source) ?? 'observer_events_queue', count);
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}

const LOST_SOURCES: ReadonlyMap<LostEventSource, LostSource> = new Map<LostEventSource, LostSource>(
  [
    [LostEventSource.PERF_EVENT_RING_BUFFER, 'perf_event_ring_buffer'],
    [LostEventSource.OBSERVER_EVENTS_QUEUE, 'observer_events_queue'],
    [LostEventSource.HUBBLE_RING_BUFFER, 'hubble_ring_buffer'],
  ],
);
