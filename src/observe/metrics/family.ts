/** One metric with its samples, as plain data: what is merged over workers and written as text. */
import type { MetricSample } from './cells.ts';
import type { MetricName } from './table.ts';

export interface MetricFamily {
  readonly name: MetricName;
  readonly samples: readonly MetricSample[];
}

/** A family of one sample. */
export function familyOf(
  name: MetricName,
  value: number,
  labels: Readonly<Record<string, string>> = {},
): MetricFamily {
  return { name, samples: [{ suffix: '', labels, value }] };
}
