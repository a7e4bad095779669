/** Metrics as text: the exposition format of Prometheus, or OpenMetrics, which alone has exemplars. By prom-client. */
import { type Metric, Registry } from 'prom-client';

export type ExpositionFormat = 'prometheus' | 'openmetrics';

export interface ExposedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly ExposedSample[];
}

export interface ExposedSample {
  readonly suffix: '' | '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly exemplar: Exemplar | null;
}

/** One of what was counted, by which it can be found elsewhere. */
export interface Exemplar {
  readonly labelSet: Readonly<Record<string, string>>;
  readonly value: number;
  /** Seconds since the epoch. */
  readonly timestamp: number;
}

export const EXPOSITION_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

export function expositionText(
  families: readonly ExposedFamily[],
  format: ExpositionFormat,
): Promise<string> {
  const registry = new Registry();
  registry.setContentType(EXPOSITION_TYPES[format] as typeof Registry.PROMETHEUS_CONTENT_TYPE);
  for (const family of families) registry.registerMetric(new Exposed(family) as unknown as Metric);
  return registry.metrics();
}

/** What the registry asks of a metric. It shortens the names of counters for OpenMetrics. */
class Exposed {
  name: string;
  readonly type: ExposedFamily['type'];
  readonly #family: ExposedFamily;

  constructor(family: ExposedFamily) {
    this.name = family.name;
    this.type = family.type;
    this.#family = family;
  }

  get(): Promise<object> {
    const { help, samples } = this.#family;
    const { name, type } = this;
    const values = samples.map(({ suffix, labels, value, exemplar }) => ({
      labels,
      value,
      ...(suffix === '' ? {} : { metricName: `${name}${suffix}` }),
      ...(exemplar === null ? {} : { exemplar }),
    }));
    return Promise.resolve({ name, help, type, values });
  }
}
