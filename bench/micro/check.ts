/**
 * npm run bench:check: every micro benchmark against its budget. Fails on a regression beyond the noise.
 *
 *     npm run bench:check -- [--group NAME]... [--times 2]     twice the work: everything must fail but 0 bytes
 */
import { parseArgs } from 'node:util';
import { BYTES_BUDGETS, TIME_BUDGETS } from './budgets.ts';
import { checkGroup, type GroupResult, type Judged } from './check_group.ts';
import { measureBytes, measureTimes } from './measure_group.ts';
import { durationText, figureText, tableText } from './text.ts';
import { GROUPS, type GroupName } from './work.ts';

const HEAD = ['benchmark', 'a call', 'figure', 'at most', 'of', 'verdict'] as const;

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      group: { type: 'string', multiple: true, default: [...GROUPS] },
      times: { type: 'string', default: '1' },
    },
  });
  const unknown = values.group.filter((name) => !GROUPS.some((group) => group === name));
  if (unknown.length > 0) throw new Error(`no group ${unknown.join(', ')}: ${GROUPS.join(', ')}`);
  const workFactor = Number(values.times);
  if (!Number.isInteger(workFactor) || workFactor < 1) throw new Error('--times is a whole number');
  const rows: (readonly string[])[] = [];
  const counts = { passed: 0, failed: 0, loose: 0 };
  for (const group of GROUPS.filter((name) => values.group.includes(name))) {
    const result = await resultOf(group, workFactor);
    for (const one of result.times) rows.push([...timeRow(one), verdictText(one)]);
    for (const one of result.bytes) rows.push([...bytesRow(one), verdictText(one)]);
    for (const { verdict } of [...result.times, ...result.bytes]) {
      if (verdict === 'exceeded') counts.failed++;
      else counts.passed++;
      if (verdict === 'loose') counts.loose++;
    }
  }
  console.log(tableText(HEAD, rows));
  if (counts.loose > 0) {
    console.log(
      `\n${counts.loose} far below what bench/micro/budgets.ts says (loose): write the new figures there.`,
    );
  }
  console.log(`\n${counts.passed} passed, ${counts.failed} failed`);
  if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
}

/** A group whose process fails has failed with each of its budgets. */
async function resultOf(group: GroupName, workFactor: number): Promise<GroupResult> {
  const times = TIME_BUDGETS.filter((budget) => budget.group === group);
  const bytes = BYTES_BUDGETS.filter((budget) => budget.group === group);
  try {
    const measurer = { times: measureTimes, bytes: measureBytes };
    return await checkGroup({ group, times, bytes }, measurer, workFactor);
  } catch (error) {
    console.log(`${group}: ${error instanceof Error ? error.message : String(error)}`);
    return { times: times.map(unmeasured), bytes: bytes.map(unmeasured) };
  }
}

function unmeasured<Budget>(budget: Budget): Judged<Budget> {
  return { budget, figure: Number.NaN, nanos: Number.NaN, verdict: 'exceeded', attempts: 0 };
}

function timeRow({ budget, figure, nanos }: GroupResult['times'][number]): readonly string[] {
  const name = `${budget.group}: ${budget.work}`;
  return [name, durationText(nanos), figureText(figure), figureText(budget.most), budget.of];
}

function bytesRow({ budget, figure }: GroupResult['bytes'][number]): readonly string[] {
  const name = `${budget.group}: ${budget.work}`;
  return [name, '', `${figure.toFixed(0)} B`, `${budget.most} B`, 'heap'];
}

function verdictText({ verdict, attempts }: Judged<unknown>): string {
  const text = verdict === 'exceeded' ? 'EXCEEDED' : verdict;
  return attempts > 1 ? `${text} (measured ${attempts} times)` : text;
}
