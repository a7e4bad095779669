/** The table of budgets itself, and that a doubling is really seen: measured, with as much work once and twice. */
import { describe, expect, it } from 'vitest';
import { BYTES_BUDGETS, TIME_BUDGETS } from '../../../bench/micro/budgets.ts';
import { checkGroup, type GroupBudgets } from '../../../bench/micro/check_group.ts';
import { measureBytes, measureTimes } from '../../../bench/micro/measure_group.ts';
import { GROUPS, loadGroup } from '../../../bench/micro/work.ts';
import { YARDSTICKS } from '../../../bench/micro/yardsticks.ts';

const MEASURER = { times: measureTimes, bytes: measureBytes };
const MEASURED_MS = 120_000;

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

describe('the same work, measured', () => {
  const budgets: GroupBudgets = {
    group: 'http2',
    times: TIME_BUDGETS.filter(({ work }) => work.startsWith('write 16 frames')),
    bytes: BYTES_BUDGETS.filter(({ group }) => group === 'http2'),
  };

  it('is within its budgets when it is done once', { timeout: MEASURED_MS }, async () => {
    expect(verdicts(await checkGroup(budgets, MEASURER, 1))).toEqual(['ok', 'ok']);
  });

  it('is not when it is done twice', { timeout: MEASURED_MS }, async () => {
    expect(verdicts(await checkGroup(budgets, MEASURER, 2))).toEqual(['exceeded', 'exceeded']);
  });
});

function verdicts({ times, bytes }: Awaited<ReturnType<typeof checkGroup>>): readonly string[] {
  return [...times, ...bytes].map(({ verdict }) => verdict);
}
