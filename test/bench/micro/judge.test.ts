/** What is made of a series of measurements, on series that were made up. */
import { describe, expect, it } from 'vitest';
import type { BytesBudget, TimeBudget } from '../../../bench/micro/budgets.ts';
import { judgeBytes, judgeTime, outcomeOf } from '../../../bench/micro/judge.ts';
import type { Series } from '../../../bench/micro/sampling.ts';
import { SeededRandom } from '../../support/seeded_random.ts';

const PLACE = { group: 'parse', work: 'a head', why: '' } as const;
const TIME: TimeBudget = { ...PLACE, of: 'byte loop', measured: 4, most: 6 };
const BYTES: BytesBudget = { ...PLACE, measured: 400, most: 500 };
const ROUNDS = 60;
const YARDSTICK_NANOS = 100;

describe('a ratio', () => {
  it('is that of the work to its yardstick', () => {
    expect(outcomeOf(seriesOf(() => ({ work: 400, yardstick: 100 })))).toEqual({
      ratio: 4,
      nanos: 400,
    });
  });

  it('stays when the machine becomes slower in the middle', () => {
    const slowed = seriesOf((round) => {
      const factor = round < ROUNDS / 2 ? 1 : 3;
      return { work: 400 * factor, yardstick: 100 * factor };
    });
    expect(outcomeOf(slowed).ratio).toBe(4);
  });

  it.each([1, 2, 3, 4, 5])('is told from its double under noise, seed %i', (seed) => {
    const once = outcomeOf(noisySeries(400, seed)).ratio;
    const twice = outcomeOf(noisySeries(800, seed)).ratio;
    expect(judgeTime(TIME, once)).toBe('ok');
    expect(judgeTime(TIME, twice)).toBe('exceeded');
  });

  it('does not fall because every other yardstick was disturbed', () => {
    const disturbed = seriesOf((round) => ({
      work: 800,
      yardstick: round % 2 === 0 ? 100 : 1000,
    }));
    expect(outcomeOf(disturbed).ratio).toBe(8);
  });

  it('of nothing measured is within no budget', () => {
    expect(judgeTime(TIME, outcomeOf({ work: [], yardstick: [] }).ratio)).toBe('exceeded');
    expect(judgeBytes(BYTES, Number.NaN)).toBe('exceeded');
  });
});

describe('a budget', () => {
  it.each([
    [6.01, 'exceeded'],
    [6, 'ok'],
    [4, 'ok'],
    [2.5, 'ok'],
    [2.3, 'loose'],
  ])('of 4, at most 6: %d is %s', (ratio, verdict) => {
    expect(judgeTime(TIME, ratio)).toBe(verdict);
  });

  it.each([
    [501, 'exceeded'],
    [500, 'ok'],
    [330, 'ok'],
    [320, 'loose'],
  ])('of 400 bytes, at most 500: %d is %s', (bytes, verdict) => {
    expect(judgeBytes(BYTES, bytes)).toBe(verdict);
  });

  it('of no bytes at all is never loose', () => {
    expect(judgeBytes({ ...BYTES, measured: 0, most: 32 }, 0)).toBe('ok');
  });
});

function seriesOf(at: (round: number) => { work: number; yardstick: number }): Series {
  const rounds = Array.from({ length: ROUNDS + 1 }, (_, round) => at(round));
  return {
    work: rounds.slice(0, ROUNDS).map(({ work }) => work),
    yardstick: rounds.map(({ yardstick }) => yardstick),
  };
}

/** A third of all slices takes up to four times as long, work and yardstick on their own. */
function noisySeries(workNanos: number, seed: number): Series {
  const seeded = new SeededRandom(seed);
  const random = (): number => seeded.below(1000) / 1000;
  const noise = (): number => (random() < 1 / 3 ? 1 + 3 * random() : 1 + random() / 10);
  return seriesOf(() => ({ work: workNanos * noise(), yardstick: YARDSTICK_NANOS * noise() }));
}
