/** The table of budgets itself. That a doubling is seen, `bench:check -- --times 2` shows by measuring. */
import { describe, expect, it } from 'vitest';
import { BYTES_BUDGETS, TIME_BUDGETS } from '../../../bench/micro/budgets.ts';
import { GROUPS, loadGroup } from '../../../bench/micro/work.ts';
import { YARDSTICKS } from '../../../bench/micro/yardsticks.ts';

describe('the table', () => {
  it('names works and yardsticks that there are', async () => {
    for (const group of GROUPS) {
      const works = Object.keys(await loadGroup(group));
      const known = [...works, ...Object.keys(YARDSTICKS)];
      const named = [
        ...TIME_BUDGETS.filter((one) => one.group === group).flatMap(({ work, of }) => [work, of]),
        ...BYTES_BUDGETS.filter((one) => one.group === group).map(({ work }) => work),
      ];
      expect(named.filter((name) => !known.includes(name))).toEqual([]);
      expect(named.length).toBeGreaterThan(0);
    }
  });

  it.each(TIME_BUDGETS)('$group: $work leaves room for noise, and none for twice', (budget) => {
    const headroom = budget.most / budget.measured;
    expect(headroom).toBeGreaterThanOrEqual(1.35);
    expect(headroom).toBeLessThanOrEqual(1.65);
    expect(budget.why).not.toBe('');
  });

  it.each(BYTES_BUDGETS)('$group: $work has no room for twice the bytes', (budget) => {
    expect(budget.most).toBeGreaterThanOrEqual(budget.measured);
    expect(budget.most).toBeLessThanOrEqual(Math.max(32, budget.measured * 1.3));
    expect(budget.why).not.toBe('');
  });
});
