/**
 * What a run of the harness found, as plain data: written as JSON, and what the table and the page are
 * made of. Everything that a reader needs to doubt or repeat a figure is in it.
 *
 *     Report ── SuiteResult ── Scenario ── Row (a subject) ── Sample (a round) ── figures
 *                         └─── Plot (points made of the medians)
 */
export interface Report {
  readonly schemaVersion: 1;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly seconds: number;
  /** As it would be typed to make this report again. */
  readonly command: string;
  readonly machine: Machine;
  /** All that took part in any suite, by name. */
  readonly subjects: readonly SubjectFacts[];
  /** Peers and tools that could not be had: never dropped in silence. */
  readonly missing: readonly Missing[];
  readonly suites: readonly SuiteResult[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** `git describe --always --dirty` of the checkout, or "unknown". */
  readonly revision: string;
  /** Which cores what is measured and everything else ran on; null: not pinned. */
  readonly pinning: { readonly measured: string; readonly other: string } | null;
  /** Before the run began: what else the machine was doing. */
  readonly loadAverage: number;
  /** Of the load generators: name -> version. */
  readonly tools: Readonly<Record<string, string>>;
}

export interface SubjectFacts {
  readonly name: string;
  readonly version: string;
  /** How it was started. */
  readonly commands: readonly string[];
  /** The files that it was given. A long one is cut, and says so at its end. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
}

export interface Missing {
  readonly name: string;
  /** Why, and what would bring it. */
  readonly why: string;
}

export const SUITE_NAMES = [
  'http1',
  'h2',
  'grpc',
  'policy',
  'memory',
  'latency',
  'attacks',
  'dns',
] as const;
export type SuiteName = (typeof SUITE_NAMES)[number];

export interface SuiteResult {
  readonly name: SuiteName;
  readonly title: string;
  /** What is done and what to read from it, in a few sentences. */
  readonly about: string;
  readonly scenarios: readonly Scenario[];
  readonly plots: readonly Plot[];
}

export interface Scenario {
  /** Unique in its suite, fit for a file name: "http1-32-connections". */
  readonly id: string;
  readonly title: string;
  /** The commands that made the load, or in words what did. */
  readonly load: readonly string[];
  /** The columns, in order. */
  readonly figures: readonly FigureName[];
  /** Ratios are told against this row's subject; null: none. */
  readonly reference: string | null;
  readonly rows: readonly Row[];
  /** What makes these figures less worth: noise beyond the bound, failures, a core that was not idle. */
  readonly warnings: readonly string[];
}

export interface Row {
  readonly subject: string;
  /** One a round, in the order they were taken. */
  readonly samples: readonly Sample[];
}

/** A figure that could not be measured is absent. */
export type Sample = Readonly<Partial<Record<FigureName, number>>>;

export interface Figure {
  readonly label: string;
  readonly unit: string;
  readonly digits: number;
  readonly isLowerBetter: boolean;
}

export const FIGURES = {
  cpuMicros: figure('CPU a request', 'µs', 2),
  cpuUserMicros: figure('of it user', 'µs', 2),
  cpuSystemMicros: figure('of it kernel', 'µs', 2),
  requestsPerSecond: figure('requests', '/s', 0, false),
  megabytesPerSecond: figure('content', 'MB/s', 1, false),
  cpuNanosPerKilobyte: figure('CPU a KiB', 'ns', 0),
  p50Ms: figure('p50', 'ms', 3),
  p90Ms: figure('p90', 'ms', 3),
  p99Ms: figure('p99', 'ms', 3),
  p999Ms: figure('p99.9', 'ms', 3),
  maxMs: figure('slowest', 'ms', 1),
  addedP50Ms: figure('added at p50', 'ms', 3),
  addedP99Ms: figure('added at p99', 'ms', 3),
  loadLateP99Ms: figure('load late, p99', 'ms', 3),
  cpuShare: figure('of a core', '%', 1),
  connectionsPerSecond: figure('connections', '/s', 0),
  swapsPerSecond: figure('policy swaps', '/s', 1, false),
  failures: figure('failures', '', 0),
  rssMebibytes: figure('resident', 'MiB', 1),
  pssMebibytes: figure('shared pages divided', 'MiB', 1),
  idleConnectionKibibytes: figure('an idle connection', 'KiB', 2),
  verdictNanos: figure('a verdict', 'ns', 0),
  compileMs: figure('compile', 'ms', 1),
  swapMs: figure('until in force', 'ms', 1),
  checkMs: figure('of it read and checked', 'ms', 1),
  takeOverMs: figure('of it taken over', 'ms', 1),
  pauseMs: figure('longest pause', 'ms', 1),
  calmMs: figure('the same without a change', 'ms', 1),
  stepMs: figure('longest step of it', 'ms', 1),
  bytesPerRule: figure('memory a rule', 'B', 0),
  heapBytesPerRule: figure('of it heap', 'B', 0),
} as const satisfies Record<string, Figure>;

export type FigureName = keyof typeof FIGURES;

/** Lines over an axis, bars by category, or bars whose series add up. */
export interface Plot {
  readonly id: string;
  readonly title: string;
  readonly kind: 'lines' | 'bars' | 'stacked bars';
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface Axis {
  readonly label: string;
  readonly isLogarithmic: boolean;
  /** For bars: the names of the places 0, 1, 2… on the axis. */
  readonly categories: readonly string[];
  /** Named places instead of numbers: [10, 'p90'], [100, 'p99']. */
  readonly marks?: readonly (readonly [at: number, label: string])[];
}

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

function figure(label: string, unit: string, digits: number, isLowerBetter = true): Figure {
  return { label, unit, digits, isLowerBetter };
}
