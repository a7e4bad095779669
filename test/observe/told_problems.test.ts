/** A set with thousands of faults must not make a log line that no sink takes: it would be dropped, and nobody told. */
import { expect, it } from 'vitest';
import { toldProblems } from '../../src/observe/told_problems.ts';

it.each([
  { count: 0, last: undefined, told: 0 },
  { count: 1, last: 'problem 0', told: 1 },
  { count: 20, last: 'problem 19', told: 20 },
  { count: 21, last: 'and 1 more', told: 21 },
  { count: 30_000, last: 'and 29980 more', told: 21 },
])('of $count problems $told lines are told', ({ count, last, told }) => {
  const problems = Array.from({ length: count }, (_, index) => index);
  const lines = toldProblems(problems, { textOf: (index) => `problem ${index}`, countMax: 20 });
  expect(lines).toHaveLength(told);
  expect(lines.at(-1)).toBe(last);
});
