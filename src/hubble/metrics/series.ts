/**
 * Counters and histograms whose labels name pods, addresses and names: others choose them, so how many series a metric has
 * is bounded. Where there is no room, series that nobody has counted in for long go. What still has none is counted with
 * `other` for every label that others choose: sums stay right, and `cutCount` tells.
 */
import { shownLine } from '../../model/shown_text.ts';
import type { Exemplar, ExposedFamily, ExposedSample } from '../../observe/metrics/exposition.ts';

export interface SeriesLabel {
  readonly name: string;
  /** Others choose it: pods, names, addresses. */
  readonly isOpen: boolean;
}

export interface SeriesSpec {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly SeriesLabel[];
}

export interface SeriesBounds {
  readonly countMax: number;
  /** A series that nobody counted in for so long gives its place to a new one. */
  readonly idleMs: number;
  readonly nowMs: () => number;
}

export const OTHER = 'other';
/** Longer than any name of Kubernetes or DNS; of identities with many labels it is the beginning. */
const VALUE_LENGTH_MAX = 1024;
/** No label has one: see `cleanValue`. */
const SEPARATOR = '\n';
/** Between two looks for idle series, which read all of them. */
const LOOK_INTERVAL_MS = 1000;

interface Cell {
  readonly labels: Readonly<Record<string, string>>;
  touchedMs: number;
}

abstract class SeriesSet<C extends Cell> {
  protected readonly spec: SeriesSpec;
  protected readonly cells = new Map<string, C>();
  readonly #bounds: SeriesBounds;
  #overflowCount = 0;
  #cutCount = 0;
  #evictedCount = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(spec: SeriesSpec, bounds: SeriesBounds) {
    this.spec = spec;
    this.#bounds = bounds;
  }

  get name(): string {
    return this.spec.name;
  }

  /** Counted without labels of their own. */
  get cutCount(): number {
    return this.#cutCount;
  }

  /** Series that gave their place to others. */
  get evictedCount(): number {
    return this.#evictedCount;
  }

  abstract family(): ExposedFamily;

  protected abstract newCell(labels: Cell['labels'], nowMs: number): C;

  /** `values`: one for each label, in their order. */
  protected cellOf(values: string[]): C {
    const { labels } = this.spec;
    for (let i = 0; i < labels.length; i++) values[i] = cleanValue(values[i] as string);
    const nowMs = this.#bounds.nowMs();
    const key = values.join(SEPARATOR);
    const found = this.cells.get(key);
    if (found !== undefined) {
      found.touchedMs = nowMs;
      return found;
    }
    if (this.#hasRoom(nowMs)) return this.#add(key, values, nowMs);
    this.#cutCount++;
    return this.#overflowCell(values, nowMs);
  }

  #add(key: string, values: readonly string[], nowMs: number): C {
    const labels = Object.fromEntries(
      this.spec.labels.map(({ name }, i) => [name, values[i] as string]),
    );
    const cell = this.newCell(labels, nowMs);
    this.cells.set(key, cell);
    return cell;
  }

  /** There are only as many as words of this program combine to; they have a place beyond the bound. */
  #overflowCell(values: readonly string[], nowMs: number): C {
    const { labels } = this.spec;
    const kept = values.map((value, i) => (labels[i]?.isOpen === true ? OTHER : value));
    const key = `${SEPARATOR}${kept.join(SEPARATOR)}`;
    const found = this.cells.get(key);
    if (found !== undefined) {
      found.touchedMs = nowMs;
      return found;
    }
    this.#overflowCount++;
    return this.#add(key, kept, nowMs);
  }

  #hasRoom(nowMs: number): boolean {
    const { countMax, idleMs } = this.#bounds;
    if (this.cells.size - this.#overflowCount < countMax) return true;
    if (nowMs - this.#lookedMs < LOOK_INTERVAL_MS) return false;
    this.#lookedMs = nowMs;
    for (const [key, { touchedMs }] of this.cells) {
      if (nowMs - touchedMs <= idleMs || key.startsWith(SEPARATOR)) continue;
      this.cells.delete(key);
      this.#evictedCount++;
    }
    return this.cells.size - this.#overflowCount < countMax;
  }
}

interface CounterCell extends Cell {
  value: number;
  exemplar: Exemplar | null;
}

export class CounterSeries extends SeriesSet<CounterCell> {
  /** `values` become the series' own. */
  add(values: string[], exemplar: Exemplar | null = null): void {
    const cell = this.cellOf(values);
    cell.value++;
    if (exemplar !== null) cell.exemplar = exemplar;
  }

  override family(): ExposedFamily {
    const samples = [...this.cells.values()].map(({ labels, value, exemplar }) => ({
      suffix: '' as const,
      labels,
      value,
      exemplar,
    }));
    return { name: this.spec.name, help: this.spec.help, type: 'counter', samples };
  }

  protected override newCell(labels: Cell['labels'], touchedMs: number): CounterCell {
    return { labels, touchedMs, value: 0, exemplar: null };
  }
}

/** Prometheus' own default. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface HistogramCell extends Cell {
  /** Not cumulative; the last one is +Inf. */
  readonly counts: Float64Array;
  readonly exemplars: (Exemplar | null)[];
  sum: number;
}

export class HistogramSeries extends SeriesSet<HistogramCell> {
  observe(values: string[], value: number, exemplar: Exemplar | null = null): void {
    const cell = this.cellOf(values);
    const found = BOUNDS.findIndex((bound) => value <= bound);
    const bucket = found === -1 ? BOUNDS.length : found;
    cell.counts[bucket] = (cell.counts[bucket] as number) + 1;
    cell.sum += value;
    if (exemplar !== null) cell.exemplars[bucket] = exemplar;
  }

  override family(): ExposedFamily {
    const samples = [...this.cells.values()].flatMap(samplesOf);
    return { name: this.spec.name, help: this.spec.help, type: 'histogram', samples };
  }

  protected override newCell(labels: Cell['labels'], touchedMs: number): HistogramCell {
    const count = BOUNDS.length + 1;
    const exemplars = new Array<Exemplar | null>(count).fill(null);
    return { labels, touchedMs, counts: new Float64Array(count), exemplars, sum: 0 };
  }
}

function samplesOf({ labels, counts, exemplars, sum }: HistogramCell): ExposedSample[] {
  const samples: ExposedSample[] = [];
  let count = 0;
  for (const [bucket, own] of counts.entries()) {
    count += own;
    const le = bucket < BOUNDS.length ? String(BOUNDS[bucket]) : '+Inf';
    const exemplar = exemplars[bucket] ?? null;
    samples.push({ suffix: '_bucket', labels: { ...labels, le }, value: count, exemplar });
  }
  samples.push({ suffix: '_sum', labels, value: sum, exemplar: null });
  samples.push({ suffix: '_count', labels, value: count, exemplar: null });
  return samples;
}

/** One line of readable text: what others chose is in it. */
function cleanValue(value: string): string {
  if (isPlain(value)) return value;
  return shownLine(value.slice(0, VALUE_LENGTH_MAX)).toWellFormed();
}

/** Nearly all are: short, of visible ASCII. */
function isPlain(value: string): boolean {
  if (value.length > VALUE_LENGTH_MAX) return false;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}
