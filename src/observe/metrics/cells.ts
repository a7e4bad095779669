/**
 * hot path
 *
 * Numbers that a worker counts in, addressed by small integers: the labels are words known when the
 * program starts, so that counting is one addition in one array. Labels become text only when
 * somebody looks (`samples`).
 *
 *     dimensions  verdict[2] × direction[2] × layer[3]
 *     cells       [allow,ingress,network] [allow,ingress,http] ...     one number each
 */
export interface MetricSample {
  /** "" but for histograms. */
  readonly suffix: '' | '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The labels of each value that it can take: usually one, two when one follows from the other. */
export type Dimension = readonly Readonly<Record<string, string>>[];

export function dimension(label: string, values: readonly string[]): Dimension {
  return values.map((value) => ({ [label]: value }));
}

/** Counters, one for each combination of label values. */
export class CounterCells {
  readonly #dimensions: readonly Dimension[];
  readonly #cells: Float64Array;

  constructor(dimensions: readonly Dimension[]) {
    this.#dimensions = dimensions;
    this.#cells = new Float64Array(cellCount(dimensions));
  }

  /** `index`: ((i0 * n1 + i1) * n2 + i2)..., in the order of the dimensions. */
  add(index: number, amount: number): void {
    this.#cells[index] = (this.#cells[index] as number) + amount;
  }

  total(): number {
    return this.#cells.reduce((sum, value) => sum + value, 0);
  }

  /** Cells that were never counted in are left out, unless there are so few that all are shown. */
  samples(): MetricSample[] {
    const isSparse = this.#cells.length > SPARSE_CELL_COUNT;
    const samples: MetricSample[] = [];
    this.#cells.forEach((value, index) => {
      if (value === 0 && isSparse) return;
      samples.push({ suffix: '', labels: labelsAt(this.#dimensions, index), value });
    });
    return samples;
  }
}

/** Histograms, one for each combination of label values. */
export class HistogramCells {
  readonly #dimensions: readonly Dimension[];
  readonly #bounds: Float64Array;
  /** Not cumulative; the last bucket of each is +Inf. */
  readonly #counts: Float64Array;
  readonly #sums: Float64Array;
  readonly #stride: number;

  constructor(dimensions: readonly Dimension[], bounds: readonly number[]) {
    this.#dimensions = dimensions;
    this.#bounds = Float64Array.from(bounds);
    this.#stride = bounds.length + 1;
    this.#counts = new Float64Array(cellCount(dimensions) * this.#stride);
    this.#sums = new Float64Array(cellCount(dimensions));
  }

  observe(index: number, value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    const cell = index * this.#stride + bucket;
    this.#counts[cell] = (this.#counts[cell] as number) + 1;
    this.#sums[index] = (this.#sums[index] as number) + value;
  }

  samples(): MetricSample[] {
    const samples: MetricSample[] = [];
    for (let index = 0; index < this.#sums.length; index++) {
      const labels = labelsAt(this.#dimensions, index);
      let count = 0;
      for (let bucket = 0; bucket < this.#stride; bucket++) {
        count += this.#counts[index * this.#stride + bucket] as number;
        const le = bucket < this.#bounds.length ? String(this.#bounds[bucket]) : '+Inf';
        samples.push({ suffix: '_bucket', labels: { ...labels, le }, value: count });
      }
      samples.push({ suffix: '_sum', labels, value: this.#sums[index] as number });
      samples.push({ suffix: '_count', labels, value: count });
    }
    return samples;
  }
}

/** Above this many combinations only those that happened are shown. */
const SPARSE_CELL_COUNT = 16;

function cellCount(dimensions: readonly Dimension[]): number {
  return dimensions.reduce((count, values) => count * values.length, 1);
}

function labelsAt(dimensions: readonly Dimension[], index: number): Record<string, string> {
  let labels: Readonly<Record<string, string>> = {};
  let rest = index;
  for (let i = dimensions.length - 1; i >= 0; i--) {
    const values = dimensions[i] as Dimension;
    labels = { ...values[rest % values.length], ...labels };
    rest = Math.floor(rest / values.length);
  }
  return { ...labels };
}
