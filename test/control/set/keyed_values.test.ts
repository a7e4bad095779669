import fc from 'fast-check';
import { expect, it } from 'vitest';
import { KeyedValues } from '../../../src/control/set/keyed_values.ts';
import { runs } from '../../support/property_runs.ts';

const key = fc.integer({ min: 0, max: 120 }).map((number) => `k${number}`);
const change = fc.tuple(key, fc.option(fc.record({ form: fc.nat({ max: 2 }) })));

it('the list has the newest value of each key, sorted; what says the same stays', () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 90 }), { maxLength: 8 }), (batches) => {
      const values = new KeyedValues<{ form: number }>((a, b) => a.form === b.form);
      const model = new Map<string, { form: number }>();
      for (const batch of batches) {
        const before = values.list();
        for (const [name, value] of batch) values.set(name, value);
        for (const [name, value] of new Map(batch)) {
          if (value === null) model.delete(name);
          else if (model.get(name)?.form !== value.form) model.set(name, value);
        }
        const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
        const after = values.list();
        expect(after).toHaveLength(expected.length);
        for (const [at, value] of expected.entries()) expect(after[at]).toBe(value);
        const isSame =
          before.length === expected.length && before.every((one, at) => one === expected[at]);
        expect(after === before).toBe(isSame);
      }
    }),
    runs(100),
  );
});
