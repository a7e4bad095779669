/**
 * A series against a budget. Pure. The ratio is the lower quartile over the rounds, each against the faster of
 * the two yardsticks beside it: a disturbance of the work makes one round worse, one of a yardstick is
 * seen past unless it lasts over both, and garbage collection, which `bytes` has budgets for, is mostly left out.
 */
import type { BytesBudget, TimeBudget } from './budgets.ts';
import type { Series } from './sampling.ts';

/** `loose`: so far below what is written down that a new budget is due. No failure. */
export type Verdict = 'ok' | 'loose' | 'exceeded';

export interface Outcome {
  /** Of the work, nanoseconds a call, the lower quartile. */
  readonly nanos: number;
  readonly ratio: number;
}

/** Less than this share of what was written down. */
const LOOSE_RATIO = 0.6;
const LOOSE_BYTES = 0.85;
/** What a figure without garbage may be off by: the counting itself. */
const BYTES_SLACK = 16;

export function outcomeOf({ work, yardstick }: Series): Outcome {
  const ratios = work.map((nanos, round) => {
    const before = yardstick[round] ?? Number.NaN;
    const after = yardstick[round + 1] ?? Number.NaN;
    return nanos / Math.min(before, after);
  });
  return { nanos: lowerQuartile(work), ratio: lowerQuartile(ratios) };
}

/** A figure that is none, such as of no rounds at all, is within no budget. */
export function judgeTime(budget: TimeBudget, ratio: number): Verdict {
  if (!(ratio <= budget.most)) return 'exceeded';
  return ratio < budget.measured * LOOSE_RATIO ? 'loose' : 'ok';
}

export function judgeBytes(budget: BytesBudget, bytes: number): Verdict {
  if (!(bytes <= budget.most)) return 'exceeded';
  return bytes + BYTES_SLACK < budget.measured * LOOSE_BYTES ? 'loose' : 'ok';
}

function lowerQuartile(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 4)] ?? Number.NaN;
}
