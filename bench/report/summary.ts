/**
 * What is told of a row: the median of its rounds, how far the rounds are apart, and how it compares with
 * the row that the scenario refers to. The table and the page say the same, so both ask here.
 */
import {
  FIGURES,
  type FigureName,
  type Machine,
  type Row,
  type Sample,
  type Scenario,
} from './report.ts';

export interface Summary {
  readonly median: number;
  readonly values: readonly number[];
  /** The round farthest from the median, as a part of it; null: a single round, or a median of zero. */
  readonly spread: number | null;
}

/** Null: no round could measure it. */
export function summarise(samples: readonly Sample[], name: FigureName): Summary | null {
  const values = samples.map((sample) => sample[name]).filter(isNumber);
  if (values.length === 0) return null;
  const median = medianOf(values);
  return { median, values, spread: spreadOf(values, median) };
}

/** A row's median as a multiple of the reference's; null: there is none, or below zero (a difference in noise). */
export function ratioToReference(scenario: Scenario, row: Row, name: FigureName): number | null {
  const reference = scenario.rows.find(({ subject }) => subject === scenario.reference);
  if (reference === undefined) return null;
  const base = summarise(reference.samples, name);
  const own = summarise(row.samples, name);
  if (base === null || own === null || base.median <= 0 || own.median < 0) return null;
  const ratio = own.median / base.median;
  return Number.isFinite(ratio) ? ratio : null;
}

/** NaN: none. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  const lower = sorted[(sorted.length >> 1) - 1] ?? Number.NaN;
  return lower / 2 + upper / 2;
}

export function spreadOf(values: readonly number[], median: number): number | null {
  if (values.length < 2 || median === 0) return null;
  const farthest = Math.max(...values.map((value) => Math.abs(value - median)));
  const spread = farthest / Math.abs(median);
  return Number.isFinite(spread) ? spread : null;
}

export function figureText(name: FigureName, value: number): string {
  const { digits } = FIGURES[name];
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** "CPU a request (µs)" */
export function figureTitle(name: FigureName): string {
  const { label, unit } = FIGURES[name];
  return unit === '' ? label : `${label} (${unit})`;
}

/** "±4 %", "±20 ×" where percent would be a long number, or nothing. */
export function spreadText({ spread }: Summary): string {
  if (spread === null) return '';
  if (spread >= 10) return `±${spread.toLocaleString('en-US', { maximumFractionDigits: 0 })} ×`;
  return `±${(spread * 100).toFixed(spread < 0.1 ? 1 : 0)} %`;
}

export function ratioText(ratio: number | null): string {
  return ratio === null ? '–' : `${ratio.toFixed(ratio < 0.1 ? 3 : 2)} ×`;
}

/** "1 h 02 min", "4 min 05 s", "12 s" */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (part: number): string => String(part).padStart(2, '0');
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  if (whole >= 60) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${whole} s`;
}

/** What the machine was, in the words of both reports. */
export function machineFacts(machine: Machine): readonly (readonly [name: string, text: string])[] {
  const { pinning } = machine;
  return [
    ['processor', `${machine.cpu}, ${machine.cores} cores`],
    ['memory', `${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB`],
    ['kernel', machine.kernel],
    ['Node.js', machine.node],
    ['revision', machine.revision],
    [
      'pinned to cores',
      pinning === null
        ? 'no: what is measured shares its core with everything else'
        : `measured on ${pinning.measured}, everything else on ${pinning.other}`,
    ],
    ['load average before', machine.loadAverage.toFixed(2)],
    ...Object.entries(machine.tools),
  ];
}

export function isNumber(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value);
}
