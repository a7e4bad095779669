/**
 * A benchmark and its yardstick by turns, in slices far shorter than what the scheduler gives to others:
 *
 *     yardstick, work, yardstick, work, ... yardstick
 *
 * CPU time, so that waiting for the core does not count; what others do to caches and clock rate does, but
 * to both sides of a ratio.
 */
import type { Work } from './work.ts';

export interface Series {
  /** Nanoseconds a call, by round. */
  readonly work: readonly number[];
  /** Before each round, and after the last one. */
  readonly yardstick: readonly number[];
}

export interface SamplingOptions {
  readonly rounds: number;
}

const SLICE_MICROS = 600;
const YARDSTICK_SLICE_MICROS = 300;
/** Of a work that takes longer than a slice, its yardstick gets this share. */
const YARDSTICK_SHARE = 0.2;
/** A benchmark whose single call is long gets fewer rounds. */
const ROUNDS_MIN = 7;
const LONG_MICROS_MAX = 400_000;

export function sample(work: Work, yardstick: Work, { rounds }: SamplingOptions): Series {
  const calls = callsFor(work, SLICE_MICROS);
  const workMicros = microsOf(work, calls);
  const yardstickMicros = Math.max(YARDSTICK_SLICE_MICROS, workMicros * YARDSTICK_SHARE);
  const yardstickCalls = callsFor(yardstick, yardstickMicros);
  const isLong = workMicros * rounds > LONG_MICROS_MAX;
  const count = isLong ? Math.max(ROUNDS_MIN, Math.floor(LONG_MICROS_MAX / workMicros)) : rounds;
  const series = { work: [] as number[], yardstick: [] as number[] };
  series.yardstick.push(nanosPerCall(yardstick, yardstickCalls));
  for (let round = 0; round < count; round++) {
    series.work.push(nanosPerCall(work, calls));
    series.yardstick.push(nanosPerCall(yardstick, yardstickCalls));
  }
  return series;
}

/** All of a group, in turns, before any is measured: shared code knows all kinds of objects by then. */
export function warmUp(works: ReadonlySet<Work>): void {
  for (let pass = 0; pass < WARM_PASSES; pass++) {
    for (const work of works) {
      let micros = 0;
      // By doubling, so that one that is long is called once in a pass.
      for (let calls = 1; micros < WARM_PASS_MICROS; calls *= 2) micros += microsOf(work, calls);
    }
  }
}

const WARM_PASSES = 3;
const WARM_PASS_MICROS = 12_000;

/** The work twice and more instead of once: for who wants to see a budget exceeded. */
export function repeated(work: Work, times: number): Work {
  if (times === 1) return work;
  return () => {
    let sum = 0;
    for (let i = 0; i < times; i++) sum = (sum + work()) | 0;
    return sum;
  };
}

/** Where results go. */
let sink = 0;

export function sunk(): number {
  return sink;
}

function nanosPerCall(work: Work, calls: number): number {
  return (microsOf(work, calls) * 1000) / calls;
}

function microsOf(work: Work, calls: number): number {
  const before = process.cpuUsage();
  let sum = 0;
  for (let i = 0; i < calls; i++) sum = (sum + work()) | 0;
  const { user, system } = process.cpuUsage(before);
  sink = (sink + sum) | 0;
  return user + system;
}

/**
 * At least 1. Grows by doubling, until two in a row say that it is enough: CPU time of a compiler or collector on
 * another thread can make one call look long.
 */
function callsFor(work: Work, micros: number): number {
  for (let calls = 1; ; calls *= 2) {
    const taken = Math.min(microsOf(work, calls), microsOf(work, calls));
    if (taken >= micros / 2) return Math.max(1, Math.round((calls * micros) / taken));
  }
}
