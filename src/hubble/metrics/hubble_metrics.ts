/**
 * Hubble's metrics: names, labels and meaning are Cilium's, so that its dashboards and rules read them
 * (docs/hubble.md). What is counted is chosen as in Cilium: `dns:query`, `httpV2:exemplars=true;labelsContext=…`.
 */

import type { HubbleMetricName, HubbleMetricRequest } from '../../model/hubble_metric_request.ts';
import type { ExposedFamily } from '../../observe/metrics/exposition.ts';
import type { Flow } from '../generated/flow/flow_pb.ts';
import { HandlerParts, type MetricHandler } from './handler.ts';
import { DNS } from './handlers/dns.ts';
import { DROP, FLOW, POLICY } from './handlers/flows.ts';
import { HTTP, HTTP_V2 } from './handlers/http.ts';
import { FLOWS_TO_WORLD, ICMP, PORT_DISTRIBUTION, TCP_FLAGS } from './handlers/packets.ts';
import type { CounterSeries, HistogramSeries, SeriesBounds } from './series.ts';

export const LOST_SOURCES = [
  'perf_event_ring_buffer',
  'observer_events_queue',
  'hubble_ring_buffer',
] as const;

export type LostSource = (typeof LOST_SOURCES)[number];

const HANDLERS: Readonly<Record<HubbleMetricName, MetricHandler>> = {
  dns: DNS,
  drop: DROP,
  tcp: TCP_FLAGS,
  flow: FLOW,
  icmp: ICMP,
  httpV2: HTTP_V2,
  http: HTTP,
  policy: POLICY,
  'port-distribution': PORT_DISTRIBUTION,
  'flows-to-world': FLOWS_TO_WORLD,
};

export class HubbleMetrics {
  readonly #series: readonly (CounterSeries | HistogramSeries)[];
  readonly #counters: readonly ((flow: Flow) => void)[];
  readonly #lost = new Map<LostSource, number>(LOST_SOURCES.map((source) => [source, 0]));

  constructor(requests: readonly HubbleMetricRequest[], bounds: SeriesBounds) {
    const handlers = requests.map((request) => {
      const parts = new HandlerParts(request, bounds);
      return { parts, count: HANDLERS[request.name](parts) };
    });
    this.#series = handlers.flatMap(({ parts }) => parts.series);
    this.#counters = handlers.map(({ count }) => count);
  }

  count(flow: Flow): void {
    for (const count of this.#counters) count(flow);
  }

  lost(source: LostSource, count: number): void {
    this.#lost.set(source, (this.#lost.get(source) ?? 0) + count);
  }

  families(): readonly ExposedFamily[] {
    return [
      ...this.#series.map((series) => series.family()),
      {
        name: 'hubble_lost_events_total',
        help: 'Flows that were left out, by where.',
        type: 'counter',
        samples: [...this.#lost].map(([source, value]) => sampleOf({ source }, value)),
      },
      {
        name: 'sallyport_hubble_series_cut_total',
        help: 'Times a flow was counted with "other" for its labels, as hubbleSeriesCountMax series are there.',
        type: 'counter',
        samples: this.#series.map(({ name, cutCount }) => sampleOf({ metric: name }, cutCount)),
      },
      {
        name: 'sallyport_hubble_series_evicted_total',
        help: 'Series that nothing was counted in for long and that gave their place to others.',
        type: 'counter',
        samples: this.#series.map(({ name, evictedCount }) =>
          sampleOf({ metric: name }, evictedCount),
        ),
      },
    ];
  }
}

function sampleOf(labels: Readonly<Record<string, string>>, value: number) {
  return { suffix: '' as const, labels, value, exemplar: null };
}
