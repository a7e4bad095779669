import { getHeapSpaceStatistics } from 'node:v8';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamTable } from '../../../src/codec/http2/stream_table.ts';
import { collectGarbage, collectYoung } from '../../support/collect_garbage.ts';

interface Numbered {
  readonly id: number;
}

describe('the streams that are open', () => {
  it('are those that were added and not deleted, in the order of their numbers', () => {
    // Steps of many numbers, so that most belong where others are.
    const step = fc.record({
      skipped: fc.constantFrom(0, 1, 7, 15, 31, 63, 127),
      deleted: fc.array(fc.nat(200), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const table = new StreamTable<Numbered>();
        const model = new Map<number, Numbered>();
        let id = 1;
        for (const { skipped, deleted } of steps) {
          id += 2 * (skipped + 1);
          const stream = { id };
          table.add(stream);
          model.set(id, stream);
          for (const back of deleted) {
            table.delete(id - 2 * back);
            model.delete(id - 2 * back);
          }
          check(table, model, id);
        }
      }),
    );
  });

  it('are found in a table that was full and is empty', () => {
    const table = new StreamTable<Numbered>();
    for (let id = 1; id < 2000; id += 2) table.add({ id });
    for (let id = 1; id < 2000; id += 2) table.delete(id);
    check(table, new Map(), 2000);
  });

  it('are near their place also when the peer skips numbers so that low bits are the same', () => {
    for (const step of [2, 2048, 65_536, 2 ** 20]) {
      const looks: number[] = [];
      const table = new StreamTable<Numbered>();
      for (let i = 0; i < 500; i++) {
        const id = 1 + i * step;
        // Counts who is asked for its number on the way to another.
        table.add({
          get id() {
            looks[i] = (looks[i] ?? 0) + 1;
            return id;
          },
        });
      }
      looks.fill(0);
      for (let i = 0; i < 500; i++) table.get(1 + i * step);
      expect(looks.reduce((sum, one) => sum + one, 0)).toBeLessThan(5 * 500);
    }
  });

  it('are young garbage when they have ended, however old the table is', async () => {
    const table = new StreamTable<Numbered & { readonly content: readonly number[] }>();
    let id = 1;
    const serve = (count: number): void => {
      for (const end = id + 2 * count; id < end; id += 2) {
        table.add({ id, content: Array.from({ length: 1000 }, () => id) });
        if (id > 20) table.delete(id - 20);
      }
    };
    serve(100);
    await collectGarbage();
    const before = oldBytes();
    for (let round = 0; round < 50; round++) {
      serve(10);
      collectYoung();
    }
    // 500 of 8 kB have ended; a Map keeps hundreds of them.
    expect(oldBytes() - before).toBeLessThan(1_000_000);
  });
});

function check(
  table: StreamTable<Numbered>,
  model: ReadonlyMap<number, Numbered>,
  last: number,
): void {
  expect(table.size).toBe(model.size);
  expect(table.all()).toEqual([...model.values()]);
  for (let id = Math.max(1, last - 500); id <= last; id++) {
    expect(table.get(id)).toBe(model.get(id) ?? null);
  }
}

function oldBytes(): number {
  const old = getHeapSpaceStatistics().find((space) => space.space_name === 'old_space');
  return old?.space_used_size ?? Number.NaN;
}
