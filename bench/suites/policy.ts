/**
 * What rules cost: a request by their number, beside the peers; and in Sallyport itself a verdict, the
 * compilation, memory, and a swap of the whole set under traffic.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fixedRate } from '../loads/fixed_rate.ts';
import { compare } from '../measure/compare.ts';
import { ROOT } from '../measure/machine.ts';
import { withSubjects } from '../measure/with_subjects.ts';
import type { EngineCost } from '../policy/engine_cost.ts';
import { writeParts } from '../policy/engine_cost.ts';
import { RULE_KINDS, type RuleKind } from '../policy/rule_sets.ts';
import { measureSwaps } from '../policy/swap.ts';
import type { Plot, Row, Sample, Scenario, Series } from '../report/report.ts';
import { medianOf } from '../report/summary.ts';
import { startOrigin } from '../subjects/origin.ts';
import { OwnedProcess } from '../subjects/process.ts';
import type { BenchRule } from '../subjects/subject.ts';
import type { Suite, SuiteContext } from './suite.ts';

const COUNTS = [1, 10, 100, 1_000, 10_000] as const;
const QUICK_COUNTS = [1, 1_000] as const;
const CONNECTIONS = 32;
const SWAPPED_COUNT = 10_000;
/** Of pattern sets, whose verdict has to stay what it is. */
const ENGINE_COUNTS = [10, 100, 1_000, 10_000] as const;

export const suite: Suite = {
  title: 'Rules',
  run: async (context) => {
    const requests = await requestScenarios(context);
    const engine = await engineScenarios(context);
    const swaps = await swapScenario(context);
    return {
      name: 'policy',
      title: 'Rules',
      about:
        'Every rule is a method and a pattern of its own, and each request is allowed by the last one: what looks at ' +
        'one rule after the other gets slower with each. (All requests ask for one path: HAProxy remembers the outcome for ' +
        'values that it has seen, so its lists cost it nothing here.) Then what a set of rules costs Sallyport itself: one verdict, ' +
        'the compilation in a worker, resident memory, and a swap of the whole set by replacing its file under 1,000 ' +
        'requests a second, from the rename (100 ms of it are waiting for the file to be whole) to the first answer by ' +
        'the new rules; “literals” has paths without operators, “open patterns” begin with .*, “endpoints” has them ' +
        'spread over 1,000 endpoints. The supervisor runs on the measured core, too, so a pause may be its turn.',
      scenarios: [...requests, ...engine, swaps],
      plots: [costPlot(requests), verdictPlot(engine)],
    };
  },
};

async function requestScenarios(context: SuiteContext): Promise<readonly Scenario[]> {
  const counts = context.settings.isQuick ? QUICK_COUNTS : COUNTS;
  const scenarios: Scenario[] = [];
  for (const [index, count] of counts.entries()) {
    const load = fixedRate({
      path: `/service/${count - 1}/items/42`,
      connections: CONNECTIONS,
      requestsPerSecond: null,
    });
    const lineUp = { version: 'h1', rules: patternRules(count) } as const;
    scenarios.push(
      await withSubjects(context, lineUp, (subjects) =>
        compare(context, {
          id: `${REQUESTS_ID}${count}`,
          title: `${told(count)} ${count === 1 ? 'rule' : 'rules'}, the last one matches`,
          subjects,
          loadOf: () => load,
          place: { index, count: counts.length },
        }),
      ),
    );
  }
  return scenarios;
}

function patternRules(count: number): readonly BenchRule[] {
  return Array.from({ length: count }, (_, i) => ({
    method: 'GET',
    path: `/service/${i}/items/[0-9]+`,
    isPattern: true,
  }));
}

async function engineScenarios(context: SuiteContext): Promise<readonly Scenario[]> {
  const counts = context.settings.isQuick ? QUICK_COUNTS : ENGINE_COUNTS;
  const byCount: Row[] = [];
  for (const count of counts) {
    byCount.push(await engineRow(context, { name: `${count}`, kind: 'patterns', count }));
  }
  const byKind: Row[] = [];
  for (const kind of RULE_KINDS) {
    byKind.push(await engineRow(context, { name: kind, kind, count: SWAPPED_COUNT }));
  }
  const load = ['node --expose-gc bench/policy/engine_cost.ts FILE KIND COUNT'];
  const figures = [
    'verdictNanos',
    'compileMs',
    'stepMs',
    'bytesPerRule',
    'heapBytesPerRule',
  ] as const;
  const plain = { load, figures, reference: null, warnings: [] };
  return [
    {
      ...plain,
      id: ENGINE_ID,
      title: 'Sallyport’s engine by the number of rules, each with a pattern',
      rows: byCount,
    },
    {
      ...plain,
      id: 'policy-engine-kinds',
      title: `Sallyport’s engine with ${told(SWAPPED_COUNT)} rules, by what tells them apart`,
      rows: byKind,
    },
  ];
}

interface EngineOrder {
  readonly name: string;
  readonly kind: RuleKind;
  readonly count: number;
}

async function engineRow(context: SuiteContext, order: EngineOrder): Promise<Row> {
  const { rounds } = context.settings;
  const { name, kind, count } = order;
  const file = join(context.directory, 'parts');
  await writeParts(file, kind, count);
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    context.progress(`engine: ${told(count)} ${kind}, round ${round + 1}/${rounds}`);
    const script = join(ROOT, 'bench/policy/engine_cost.ts');
    // The young generation that a worker has.
    const flags = ['--expose-gc', '--max-semi-space-size=8'];
    const command = [process.execPath, ...flags, script, file, kind, String(count)];
    const owned = new OwnedProcess({ command, place: 'measured' });
    const cost = JSON.parse(await owned.output()) as EngineCost;
    samples.push({
      verdictNanos: cost.verdictNanos,
      compileMs: cost.compileMs,
      stepMs: cost.longestStepMs,
      // Of a few rules nothing can be told apart from the noise of pages.
      ...(count >= 1000 && {
        bytesPerRule: cost.bytesPerRule,
        heapBytesPerRule: cost.heapBytesPerRule,
      }),
    });
  }
  return { subject: name, samples };
}

async function swapScenario(context: SuiteContext): Promise<Scenario> {
  const { rounds, isQuick } = context.settings;
  const kinds: readonly RuleKind[] = isQuick ? ['patterns'] : RULE_KINDS;
  const directory = join(context.directory, 'swap');
  await mkdir(directory, { recursive: true });
  const rows: Row[] = [];
  const warnings: string[] = [];
  const origin = await startOrigin({
    directory,
    version: 'h1',
    place: 'other',
  });
  try {
    for (const kind of kinds) {
      context.progress(`swap: ${told(SWAPPED_COUNT)} ${kind}, ${rounds} times`);
      const swaps = await measureSwaps({
        directory: join(directory, kind.replace(' ', '-')),
        originUrl: origin.url,
        kind,
        count: SWAPPED_COUNT,
        swaps: rounds,
      });
      const samples = swaps.map(({ totalMs, ...rest }): Sample => ({ swapMs: totalMs, ...rest }));
      if (swaps.some(({ failures }) => failures > 0)) {
        warnings.push(`${kind}: requests that every edition allows, or the new one, were refused`);
      }
      rows.push({ subject: kind, samples });
    }
  } finally {
    await origin.stop();
  }
  return {
    id: 'policy-swap',
    title: `Sallyport: ${told(SWAPPED_COUNT)} rules replaced under 1,000 requests a second`,
    load: [
      'bench/policy/steady_client.ts: a timetable over 8 connections, each wait told from when it was due',
    ],
    figures: ['swapMs', 'checkMs', 'takeOverMs', 'pauseMs', 'calmMs', 'failures'],
    reference: null,
    rows,
    warnings,
  };
}

const REQUESTS_ID = 'policy-rules-';
const ENGINE_ID = 'policy-engine';

/** One line for each subject. */
function costPlot(scenarios: readonly Scenario[]): Plot {
  const names = [...new Set(scenarios.flatMap(({ rows }) => rows.map(({ subject }) => subject)))];
  const series = names.map((name): Series => {
    const points = scenarios.flatMap(({ id, rows }) => {
      const row = rows.find(({ subject }) => subject === name);
      const value = row === undefined ? null : medianIn(row, 'cpuMicros');
      return value === null ? [] : [[Number(id.slice(REQUESTS_ID.length)), value] as const];
    });
    return { name, points };
  });
  return {
    id: 'policy-cpu-by-rules',
    title: 'CPU a request as rules grow',
    kind: 'lines',
    x: { label: 'rules', isLogarithmic: true, categories: [] },
    y: { label: 'CPU a request, µs', isLogarithmic: true, categories: [] },
    series,
  };
}

function verdictPlot(scenarios: readonly Scenario[]): Plot {
  const rows = scenarios.find(({ id }) => id === ENGINE_ID)?.rows ?? [];
  const points = rows.flatMap((row) => {
    const value = medianIn(row, 'verdictNanos');
    return value === null ? [] : [[Number(row.subject), value] as const];
  });
  return {
    id: 'policy-verdict-by-rules',
    title: 'A verdict as rules grow (Sallyport)',
    kind: 'lines',
    x: { label: 'rules', isLogarithmic: true, categories: [] },
    y: { label: 'a verdict, ns', isLogarithmic: false, categories: [] },
    series: [{ name: 'sallyport', points }],
  };
}

function medianIn(row: Row, figure: 'cpuMicros' | 'verdictNanos'): number | null {
  const values = row.samples.flatMap((sample) => sample[figure] ?? []);
  return values.length === 0 ? null : medianOf(values);
}

function told(count: number): string {
  return count.toLocaleString('en-US');
}
