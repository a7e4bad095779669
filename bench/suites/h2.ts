/**
 * HTTP/2 in cleartext with prior knowledge, on both sides of each subject, and what a second worker brings.
 *
 *     plain:   8 × 16, 1 × 100, 1 × 1, 32 × 1 connections × streams, denials, 5 … 80 fields
 *     content: downloads and uploads up to 1 MiB
 *     workers: one and two on all cores
 */
import { h2load } from '../loads/h2load.ts';
import type { LoadRun } from '../loads/load.ts';
import { wrkLoad } from '../loads/wrk.ts';
import { type Contest, compare, PLAIN_FIGURES } from '../measure/compare.ts';
import { withSubjects } from '../measure/with_subjects.ts';
import type { FigureName, Plot, Scenario, SuiteResult } from '../report/report.ts';
import { SALLYPORT, SALLYPORT_WORKERS } from '../subjects/sallyport.ts';
import { type BenchRule, PLAIN_RULES, type Subject } from '../subjects/subject.ts';
import { isInstalled } from '../subjects/tools.ts';
import { cpuPlot, linePlot, numberIn } from './plots.ts';
import type { Suite, SuiteContext } from './suite.ts';

export const suite: Suite = { title: 'HTTP/2', run };

interface Case {
  readonly id: string;
  readonly title: string;
  readonly load: LoadRun;
  readonly figures?: readonly FigureName[];
  readonly isOfProxies?: boolean;
  readonly isQuick?: boolean;
  /** All rounds, and the subjects without a log, too. */
  readonly isMain?: boolean;
}

const PATH = '/orders/42';
const SHAPES = [
  { connections: 8, streams: 16 },
  { connections: 1, streams: 100 },
  { connections: 1, streams: 1 },
  { connections: 32, streams: 1 },
] as const;
const MAIN = SHAPES[0];
const FIELD_COUNTS = [5, 20, 80] as const;
/** h2load's own: the four pseudo-fields and user-agent. */
const OWN_FIELD_COUNT = 5;
const CONTENT_SIZES = [0, 1024, 65_536, 1_048_576] as const;
const CONTENT_RULES: readonly BenchRule[] = [
  ...PLAIN_RULES,
  { method: 'GET', path: '/bytes/[0-9]+', isPattern: true },
  { method: 'POST', path: '/upload', isPattern: false },
];
const CONTENT_FIGURES: readonly FigureName[] = [
  ...PLAIN_FIGURES,
  'megabytesPerSecond',
  'cpuNanosPerKilobyte',
];
const SIDE_ROUNDS_MAX = 3;
const ONLY_MAIN = ['haproxy, no log', 'sallyport, no log'];

async function run(context: SuiteContext): Promise<SuiteResult> {
  if (!isInstalled('h2load')) throw new Error('h2load is not installed; npm run bench:peers');
  const scenarios: Scenario[] = [];
  const cases = allCases().filter(({ isQuick }) => !context.settings.isQuick || isQuick === true);
  const count = cases.length + 1;
  await withSubjects(context, { version: 'h2', rules: CONTENT_RULES }, async (subjects) => {
    for (const one of cases) {
      const contest = contestOf(one, subjects, { index: scenarios.length, count });
      scenarios.push(await compare(one.isMain ? context : withFewerRounds(context), contest));
    }
  });
  if (wantsWorkers(context)) scenarios.push(...(await workerScenarios(context)));
  return {
    name: 'h2',
    title: suite.title,
    about:
      'The same policy in each, HTTP/2 towards clients and origin, an access log with a line a request. The origin ' +
      'is a program of ours on frames, as it takes least of the core that it shares with the load. nginx has no HTTP/2 ' +
      'towards upstreams and takes no part. With workers nothing is pinned to one core: they share all with the load, so ' +
      'on two cores a second worker cannot double anything, and its row tells what it costs as much as what it brings.',
    scenarios,
    plots: [cpuPlot(scenarios, mainId()), fieldPlot(scenarios)].filter((plot) => plot !== null),
  };
}

function contestOf(
  one: Case,
  subjects: readonly Subject[],
  place: { readonly index: number; readonly count: number },
): Contest {
  const takesPart = (subject: Subject): boolean =>
    !(one.isOfProxies && subject.isOrigin) &&
    (one.isMain === true || !ONLY_MAIN.includes(subject.name));
  return {
    ...one,
    subjects: subjects.filter(takesPart),
    loadOf: () => one.load,
    place,
  };
}

function allCases(): readonly Case[] {
  return [
    ...SHAPES.map(shapeCase),
    denialCase(),
    ...FIELD_COUNTS.map(fieldCase),
    ...contentCases(),
  ];
}

function mainId(): string {
  return shapeId(MAIN);
}

function shapeId({ connections, streams }: (typeof SHAPES)[number]): string {
  return `h2-${connections}x${streams}`;
}

function shapeCase(shape: (typeof SHAPES)[number]): Case {
  const { connections, streams } = shape;
  return {
    id: shapeId(shape),
    title: `GET, ${counted(connections, 'connection')} × ${counted(streams, 'stream')}`,
    load: h2load({ path: PATH, connections, streams }),
    isMain: streams > 1,
    isQuick: shape === MAIN,
  };
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

function denialCase(): Case {
  return {
    id: 'h2-denials',
    title: 'Denials only: the origin is never asked',
    load: h2load({ ...MAIN, path: '/denied/by/every/rule', expectedStatus: 403 }),
    isOfProxies: true,
    isQuick: true,
  };
}

function fieldCase(count: number): Case {
  const own = Array.from({ length: count - OWN_FIELD_COUNT }, (_, i) => [
    `x-bench-field-${i}`,
    `value of the field number ${i}`,
  ]);
  return {
    id: `h2-${count}-fields`,
    title: `GET with ${count} header fields`,
    load: h2load({ ...MAIN, path: PATH, fields: Object.fromEntries(own) }),
  };
}

function contentCases(): readonly Case[] {
  return CONTENT_SIZES.flatMap((size) => {
    const streams = size > 100_000 ? 2 : MAIN.streams;
    const shape = { connections: MAIN.connections, streams };
    const figures = size > 0 ? CONTENT_FIGURES : PLAIN_FIGURES;
    const download: Case = {
      id: `h2-download-${size}`,
      title: `Answers of ${bytesText(size)}`,
      load: h2load({ ...shape, path: `/bytes/${size}`, answerBytes: size }),
      figures,
      isQuick: size === 65_536,
    };
    // h2load does not take a file of no bytes.
    if (size === 0) return [download];
    const upload: Case = {
      id: `h2-upload-${size}`,
      title: `Uploads of ${bytesText(size)}`,
      load: h2load({ ...shape, path: '/upload', content: Buffer.alloc(size, 'x') }),
      figures,
    };
    return [download, upload];
  });
}

function bytesText(bytes: number): string {
  if (bytes >= 1_048_576) return `${bytes / 1_048_576} MiB`;
  return bytes === 0 ? '0 bytes' : `${bytes / 1024} KiB`;
}

function wantsWorkers({ kinds, settings }: SuiteContext): boolean {
  return !settings.isQuick && kinds.some(({ name }) => name === SALLYPORT.name);
}

/** Load, origin and workers share all cores: what a second worker brings is more than is seen on two. */
async function workerScenarios(context: SuiteContext): Promise<readonly Scenario[]> {
  const scenarios: Scenario[] = [];
  const kinds = { ...context, kinds: SALLYPORT_WORKERS };
  const figures: readonly FigureName[] = ['requestsPerSecond', 'cpuMicros', 'p50Ms', 'p99Ms'];
  const contest = { figures, reference: SALLYPORT_WORKERS[0]?.name ?? null };
  const loads: readonly (readonly ['h1' | 'h2', string, LoadRun])[] = [
    ['h1', '64 connections', wrkLoad({ path: DENIED, connections: 64, expectedStatus: 403 })],
    [
      'h2',
      '16 connections × 16 streams',
      h2load({ path: DENIED, connections: 16, streams: 16, expectedStatus: 403 }),
    ],
    [
      'h2',
      'one connection × 100 streams: it stays with one worker',
      h2load({ path: DENIED, connections: 1, streams: 100, expectedStatus: 403 }),
    ],
  ];
  for (const [version, text, load] of loads) {
    const id = `workers-${version}-${scenarios.length + 1}`;
    await withSubjects(kinds, { version }, async (subjects) => {
      const title = `Workers on all cores, denials, ${version === 'h1' ? 'HTTP/1.1' : 'HTTP/2'}, ${text}`;
      scenarios.push(await compare(kinds, { ...contest, id, title, subjects, loadOf: () => load }));
    });
  }
  return scenarios;
}

const DENIED = '/denied/by/every/rule';

function fieldPlot(scenarios: readonly Scenario[]): Plot | null {
  return linePlot(scenarios, {
    id: 'h2-by-fields',
    title: 'CPU a request by header fields',
    xLabel: 'header fields a request',
    isLogarithmic: false,
    yLabel: 'CPU-µs a request',
    figure: 'cpuMicros',
    xOf: (id) => numberIn(id, /^h2-([0-9]+)-fields$/),
  });
}

function withFewerRounds(context: SuiteContext): SuiteContext {
  const rounds = Math.min(context.settings.rounds, SIDE_ROUNDS_MAX);
  return { ...context, settings: { ...context.settings, rounds } };
}
