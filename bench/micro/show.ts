/**
 * npm run bench:micro -- [GROUP]... : what each micro benchmark costs, those without a budget, too. Ratios are of one
 * RE2 match on bytes in the same run, and of what the budget counts in where that is something else.
 */
import { parseArgs } from 'node:util';
import { TIME_BUDGETS, type TimeBudget } from './budgets.ts';
import type { Pair } from './group_main.ts';
import { outcomeOf } from './judge.ts';
import { measureBytes, measureTimes } from './measure_group.ts';
import { durationText, figureText, tableText } from './text.ts';
import { GROUPS, type GroupName, loadGroup } from './work.ts';
import { RE2_MATCH } from './yardsticks.ts';

const HEAD = [
  'benchmark',
  'a call',
  'of an RE2 match',
  'bytes',
  'of what its budget counts in',
] as const;
const ROUNDS = 120;
/** Above, one try of counting bytes does not fit into the young generation. */
const COUNTED_NANOS_MAX = 100_000;

const { positionals } = parseArgs({ allowPositionals: true });
const unknown = positionals.filter((name) => !GROUPS.some((group) => group === name));
if (unknown.length > 0) throw new Error(`no group ${unknown.join(', ')}: ${GROUPS.join(', ')}`);
for (const group of GROUPS) {
  if (positionals.length === 0 || positionals.includes(group)) await show(group);
}

async function show(group: GroupName): Promise<void> {
  const names = Object.keys(await loadGroup(group));
  const budgets = TIME_BUDGETS.filter(
    (budget) => budget.group === group && budget.of !== RE2_MATCH,
  );
  const common = { group, warm: names, times: 1 };
  const plain: readonly Pair[] = names.map((work) => ({ work, of: RE2_MATCH }));
  const pairs = [...plain, ...budgets.map(({ work, of }) => ({ work, of }))];
  const { series } = await measureTimes({ ...common, pairs, rounds: ROUNDS });
  const outcomes = series.map(outcomeOf);
  const nanosOf = new Map(names.map((name, i) => [name, outcomes[i]?.nanos ?? Number.NaN]));
  const allocating = names.filter((name) => (nanosOf.get(name) ?? 0) < COUNTED_NANOS_MAX);
  const { bytes } = await measureBytes({ ...common, warm: allocating, allocating });
  const bytesOf = new Map(allocating.map((name, i) => [name, `${bytes[i]?.toFixed(0)} B`]));
  const ratioOf = (budget: TimeBudget): number =>
    outcomes[names.length + budgets.indexOf(budget)]?.ratio ?? Number.NaN;
  const rows = names.map((name, i) => {
    const own = budgets.filter(({ work }) => work === name);
    const counted = own.map((budget) => `${figureText(ratioOf(budget))} × ${budget.of}`);
    const { nanos, ratio } = outcomes[i] ?? { nanos: Number.NaN, ratio: Number.NaN };
    const figures = [durationText(nanos), figureText(ratio), bytesOf.get(name) ?? '-'];
    return [name, ...figures, counted.join(', ')];
  });
  console.log(`\n${group}\n\n${tableText(HEAD, rows)}`);
}
