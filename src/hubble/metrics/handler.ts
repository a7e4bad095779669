/** What one word of `hubble.metrics.enabled` counts. */
import type { HubbleMetricRequest } from '../../model/hubble_metric_request.ts';
import type { Flow } from '../generated/flow/flow_pb.ts';
import { FlowContext } from './flow_context.ts';
import { CounterSeries, HistogramSeries, type SeriesBounds, type SeriesLabel } from './series.ts';

/** Makes its series, and gives what counts a flow in them. */
export type MetricHandler = (parts: HandlerParts) => (flow: Flow) => void;

export class HandlerParts {
  readonly context: FlowContext;
  readonly series: (CounterSeries | HistogramSeries)[] = [];
  readonly #switches: ReadonlySet<string>;
  readonly #bounds: SeriesBounds;

  constructor(request: HubbleMetricRequest, bounds: SeriesBounds) {
    this.context = new FlowContext(request);
    this.#switches = request.switches;
    this.#bounds = bounds;
  }

  has(option: string): boolean {
    return this.#switches.has(option);
  }

  /** `own`: labels besides the context's; those whose values others choose end in `*`. */
  counter(name: string, help: string, own: readonly string[]): CounterSeries {
    const labels = this.#labels(own);
    const series = new CounterSeries({ name: `hubble_${name}`, help, labels }, this.#bounds);
    this.series.push(series);
    return series;
  }

  histogram(name: string, help: string, own: readonly string[]): HistogramSeries {
    const labels = this.#labels(own);
    const series = new HistogramSeries({ name: `hubble_${name}`, help, labels }, this.#bounds);
    this.series.push(series);
    return series;
  }

  #labels(own: readonly string[]): readonly SeriesLabel[] {
    return [
      ...this.context.labelNames.map((name) => ({ name, isOpen: true })),
      ...own.map((name) => ({ name: name.replace('*', ''), isOpen: name.endsWith('*') })),
    ];
  }
}
