/**
 * The budgets of one group held against measurements. What surprises, in either direction, is measured again,
 * longer and in a fresh process: only what does so every time is believed.
 */
import type { BytesBudget, TimeBudget } from './budgets.ts';
import type { GroupFigures, GroupOrder } from './group_main.ts';
import { judgeBytes, judgeTime, outcomeOf, type Verdict } from './judge.ts';
import type { GroupName } from './work.ts';

/** How figures are had; `measure_group.ts` outside of tests. */
export interface Measurer {
  times(order: Omit<GroupOrder, 'allocating'>): Promise<Pick<GroupFigures, 'series'>>;
  bytes(
    order: Pick<GroupOrder, 'group' | 'warm' | 'times' | 'allocating'>,
  ): Promise<Pick<GroupFigures, 'bytes'>>;
}

export interface GroupBudgets {
  readonly group: GroupName;
  readonly times: readonly TimeBudget[];
  readonly bytes: readonly BytesBudget[];
}

export interface Judged<Budget> {
  readonly budget: Budget;
  /** The ratio, or bytes. */
  readonly figure: number;
  /** Of a work's call; NaN where that was not measured. */
  readonly nanos: number;
  readonly verdict: Verdict;
  readonly attempts: number;
}

export interface GroupResult {
  readonly times: readonly Judged<TimeBudget>[];
  readonly bytes: readonly Judged<BytesBudget>[];
}

export const ATTEMPTS_MAX = 5;
const ROUNDS = 60;
const ROUNDS_MAX = 480;

/** `workFactor`: how often the work is done for once, to see that the budgets notice. */
export async function checkGroup(
  { group, times, bytes }: GroupBudgets,
  measurer: Measurer,
  workFactor: number,
): Promise<GroupResult> {
  const warm = [...new Set(times.map(({ work }) => work))];
  const common = { group, times: workFactor };
  return {
    times: await settled(times, judgeTime, async (budgets, attempt) => {
      const rounds = Math.min(ROUNDS_MAX, ROUNDS * 2 ** attempt);
      const { series } = await measurer.times({ ...common, warm, pairs: budgets, rounds });
      return series.map(outcomeOf).map(({ ratio, nanos }) => ({ figure: ratio, nanos }));
    }),
    bytes: await settled(bytes, judgeBytes, async (budgets) => {
      const allocating = budgets.map(({ work }) => work);
      const figures = await measurer.bytes({ ...common, warm: allocating, allocating });
      return figures.bytes.map((figure) => ({ figure, nanos: Number.NaN }));
    }),
  };
}

interface Figure {
  readonly figure: number;
  readonly nanos: number;
}

async function settled<Budget>(
  budgets: readonly Budget[],
  judge: (budget: Budget, figure: number) => Verdict,
  measure: (budgets: readonly Budget[], attempt: number) => Promise<readonly Figure[]>,
): Promise<readonly Judged<Budget>[]> {
  const judged = new Map<Budget, Judged<Budget>>();
  let open = budgets;
  for (let attempt = 0; attempt < ATTEMPTS_MAX && open.length > 0; attempt++) {
    const figures = await measure(open, attempt);
    for (const [i, budget] of open.entries()) {
      const { figure, nanos } = figures[i] ?? { figure: Number.NaN, nanos: Number.NaN };
      const verdict = judge(budget, figure);
      judged.set(budget, { budget, figure, nanos, verdict, attempts: attempt + 1 });
    }
    open = open.filter((budget) => judged.get(budget)?.verdict !== 'ok');
  }
  return [...judged.values()];
}
