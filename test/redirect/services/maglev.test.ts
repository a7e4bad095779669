/** Maglev's table: even shares, and most clients stay where they are when backends come and go. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maglevTable } from '../../../src/redirect/services/maglev.ts';
import { runs } from '../../support/property_runs.ts';

const anyNames = fc.uniqueArray(fc.ipV4(), { minLength: 1, maxLength: 40 });

function shares(table: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of table) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

describe('a table', () => {
  it('gives each backend its share, whatever their order', () => {
    fc.assert(
      fc.property(anyNames, (names) => {
        const table = maglevTable(names);
        const counts = [...shares(table).values()];
        expect(counts).toHaveLength(names.length);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        expect(maglevTable(names.toReversed())).toEqual(table);
      }),
      runs(30),
    );
  });

  it('moves few of those whose backend stays', () => {
    const names = Array.from({ length: 10 }, (_, index) => `10.0.0.${index} 80`);
    const before = maglevTable(names);
    const after = maglevTable(names.slice(1));
    const moved = before.filter((name, slot) => name !== names[0] && name !== after[slot]);
    expect(moved.length / before.length).toBeLessThan(0.1);
  });

  it('of nobody is empty', () => {
    expect(maglevTable([])).toEqual([]);
  });
});
