/** Which measurements are taken again, and what is believed in the end. */
import { describe, expect, it } from 'vitest';
import type { BytesBudget, TimeBudget } from '../../../bench/micro/budgets.ts';
import { ATTEMPTS_MAX, checkGroup, type Measurer } from '../../../bench/micro/check_group.ts';

const FIRST: TimeBudget = budgetOf('first');
const SECOND: TimeBudget = budgetOf('second');
const BYTES: BytesBudget = { group: 'parse', work: 'first', measured: 400, most: 500, why: '' };

describe('what surprises', () => {
  it('is not measured again when it does not', async () => {
    const { orders, times } = await checked({ first: [4], second: [4] });
    expect(orders).toEqual([['first', 'second']]);
    expect(times.map(({ verdict }) => verdict)).toEqual(['ok', 'ok']);
  });

  it('is measured again alone, and forgiven when it was noise', async () => {
    const { orders, times } = await checked({ first: [4], second: [9, 8, 4.2] });
    expect(orders).toEqual([['first', 'second'], ['second'], ['second']]);
    expect(times).toMatchObject([
      { verdict: 'ok', attempts: 1 },
      { verdict: 'ok', attempts: 3, figure: 4.2 },
    ]);
  });

  it('fails when it does every time', async () => {
    const { orders, times } = await checked({ first: [8], second: [4] });
    expect(orders).toHaveLength(ATTEMPTS_MAX);
    expect(times[0]).toMatchObject({ verdict: 'exceeded', figure: 8, attempts: ATTEMPTS_MAX });
    expect(times[1]?.verdict).toBe('ok');
  });

  it('is not believed for being fast, either: a yardstick may have been slow', async () => {
    const slowYardstick = await checked({ first: [1, 8], second: [4] });
    expect(slowYardstick.times[0]?.verdict).toBe('exceeded');
    const faster = await checked({ first: [1], second: [4] });
    expect(faster.times[0]?.verdict).toBe('loose');
  });

  it('is measured longer each time, after the same warming up', async () => {
    const { rounds, warmed } = await checked({ first: [8], second: [4] });
    expect(rounds).toEqual(rounds.toSorted((a, b) => a - b));
    expect(rounds[1]).toBeGreaterThan(rounds[0] as number);
    expect(new Set(warmed)).toEqual(new Set(['first,second']));
  });
});

describe('bytes', () => {
  it('are judged beside', async () => {
    const { bytes } = await checked({ first: [4], second: [4] }, 501);
    expect(bytes).toMatchObject([{ verdict: 'exceeded', figure: 501 }]);
  });
});

describe('a measurement that is missing', () => {
  it('is within no budget', async () => {
    const nothing: Measurer = {
      times: async () => ({ series: [] }),
      bytes: async () => ({ bytes: [] }),
    };
    const budgets = { group: 'parse', times: [FIRST], bytes: [BYTES] } as const;
    const { times, bytes } = await checkGroup(budgets, nothing, 1);
    expect([...times, ...bytes].map(({ verdict }) => verdict)).toEqual(['exceeded', 'exceeded']);
  });
});

function budgetOf(work: string): TimeBudget {
  return { group: 'parse', work, of: 'byte loop', measured: 4, most: 6, why: '' };
}

/** By work the ratios of one attempt after the other; the last one goes on. */
async function checked(ratios: Readonly<Record<string, readonly number[]>>, bytesPerCall = 400) {
  const orders: string[][] = [];
  const rounds: number[] = [];
  const warmed: string[] = [];
  const measurer: Measurer = {
    times: async ({ pairs, warm, ...order }) => {
      const attempt = orders.length;
      orders.push(pairs.map(({ work }) => work));
      rounds.push(order.rounds);
      warmed.push(warm.join());
      const series = pairs.map(({ work }) => {
        const ratio = ratios[work]?.[attempt] ?? ratios[work]?.at(-1) ?? Number.NaN;
        return { work: [ratio * 100], yardstick: [100, 100] };
      });
      return { series };
    },
    bytes: async ({ allocating }) => ({ bytes: allocating.map(() => bytesPerCall) }),
  };
  const budgets = { group: 'parse', times: [FIRST, SECOND], bytes: [BYTES] } as const;
  const result = await checkGroup(budgets, measurer, 1);
  return { ...result, orders, rounds, warmed };
}
