/** Texts that are found in a value by reading it once: those that looking for each finds. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { finish } from '../../../src/model/steps.ts';
import { byNeededText, NeededFilter } from '../../../src/policy/match/needed_filter.ts';
import { TextFilter } from '../../../src/policy/match/text_filter.ts';
import { runs } from '../../support/property_runs.ts';
import { NO_REGEX } from '../../support/wire_policy.ts';

const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '1'), minLength: 1, maxLength: 6 });
const value = fc.string({ unit: fc.constantFrom('a', 'b', '/', '1', '\xe9'), maxLength: 60 });

it('finds each text that stands in a value, once', () => {
  let foundCount = 0;
  fc.assert(
    fc.property(
      fc.uniqueArray(text, { maxLength: 40 }),
      fc.array(value, { minLength: 1, maxLength: 5 }),
      (texts, values) => {
        const filter = finish(TextFilter.build(texts));
        for (const one of values) {
          const found: number[] = [];
          expect(filter.find(Buffer.from(one, 'latin1'), found)).toBe(found.length);
          const expected = [...texts.keys()].filter((i) => one.includes(texts[i] as string));
          expect(found.toSorted((a, b) => a - b)).toEqual(expected);
          foundCount += found.length;
        }
      },
    ),
    runs(500),
  );
  expect(foundCount).toBeGreaterThan(500);
});

it('does not look at texts again that end where one ends that was found', () => {
  const texts = Array.from({ length: 500 }, (_, i) => 'a'.repeat(i + 1));
  const filter = finish(TextFilter.build(texts));
  const found: number[] = [];
  filter.find(Buffer.from('a'.repeat(2000)), found);
  expect(found).toHaveLength(500);
});

it('takes of each pattern the rarest of its texts, and leaves out what none tells apart', () => {
  const needed = [['/', '/res1/'], ['/', '/res2/', '/'], ['/', '/long-and-common/', 'x'], []];
  const common = Array.from({ length: 4 }, () => ['/', '/long-and-common/']);
  const regexes = [...needed, ...common].map((neededTexts) => ({ ...NO_REGEX, neededTexts }));
  const byText = finish(byNeededText(regexes, 3));
  expect([...byText]).toEqual([
    ['/res1/', [0]],
    ['/res2/', [1]],
    ['x', [2]],
  ]);
  const found: number[] = [];
  finish(NeededFilter.build(byText)).candidates(Buffer.from('/res2/x'), found);
  expect(found.sort()).toEqual([1, 2]);
});
