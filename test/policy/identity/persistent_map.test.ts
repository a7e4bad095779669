import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PersistentMap } from '../../../src/policy/identity/persistent_map.ts';
import { runs } from '../../support/property_runs.ts';

const key = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.string({ maxLength: 4 }));
const changes = fc.array(fc.tuple(key, fc.option(fc.nat(), { nil: undefined })), { maxLength: 60 });

describe('a persistent map', () => {
  it('holds what a map holds that was edited, and stays what it was', () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 8 }), (batches) => {
        const edited = new Map<number | string, number>();
        let map = PersistentMap.of<number | string, number>(new Map());
        for (const batch of batches) {
          const before = map;
          const contents = sorted(edited);
          map = map.after(batch);
          for (const [own, value] of batch) {
            if (value === undefined) edited.delete(own);
            else edited.set(own, value);
          }
          expect(sorted(before.entries())).toEqual(contents);
          expect(sorted(map.entries())).toEqual(sorted(edited));
          expect(map.size).toBe(edited.size);
          for (const [own, value] of edited) expect(map.get(own)).toBe(value);
        }
      }),
      runs(100),
    );
  });

  it('shares nearly all of itself with the next one', () => {
    const many = new Map(Array.from({ length: 50_000 }, (_, index) => [index, { index }]));
    const map = PersistentMap.of(many);
    const next = map.after([[7, { index: -1 }]]);
    const other = [...next.entries()].filter(([own, value]) => map.get(own) !== value);
    expect(other).toEqual([[7, { index: -1 }]]);
    expect(map.get(7)).toEqual({ index: 7 });
  });
});

function sorted(entries: Iterable<readonly [number | string, number]>): string[] {
  return Array.from(entries, (entry) => JSON.stringify(entry)).sort();
}
