/**
 * HTTP/1.1: what each subject's processes cost a request, over everything that requests differ in.
 *
 *     plain:   32 connections (autocannon, and wrk), 1 … 1000 connections, pipelining, denials, 5 … 80 fields
 *     content: downloads and uploads of 0 … 1 MiB
 *     tunnel:  WebSocket messages
 */
import { autocannonLoad } from '../loads/autocannon.ts';
import type { LoadRun } from '../loads/load.ts';
import { webSocketLoad } from '../loads/websocket.ts';
import { wrkLoad } from '../loads/wrk.ts';
import { type Contest, compare, PLAIN_FIGURES } from '../measure/compare.ts';
import { type LineUp, withSubjects } from '../measure/with_subjects.ts';
import type { FigureName, Scenario, SuiteResult } from '../report/report.ts';
import { startContentOrigin, startEchoOrigin } from '../subjects/origin.ts';
import type { BenchRule, Subject, SubjectKind } from '../subjects/subject.ts';
import { isInstalled } from '../subjects/tools.ts';
import { connectionPlot, contentPlot, cpuPlot, fieldPlot } from './plots.ts';
import type { Suite, SuiteContext } from './suite.ts';

export const suite: Suite = { title: 'HTTP/1.1', run };

export const CONNECTION_COUNTS = [1, 8, 32, 256, 1000] as const;
export const FIELD_COUNTS = [5, 20, 40, 80] as const;
export const CONTENT_SIZES = [0, 1024, 65_536, 1_048_576] as const;

interface Case {
  readonly id: string;
  readonly title: string;
  readonly load: LoadRun;
  readonly figures?: readonly FigureName[];
  /** The scenarios that the headline figures come from: every subject, all rounds. */
  readonly isMain?: boolean;
  /** What the origin alone has no part in. */
  readonly isOfProxies?: boolean;
  readonly isLogged?: boolean;
  /** Part of a quick look. */
  readonly isQuick?: boolean;
}

interface Group {
  readonly lineUp: LineUp;
  readonly cases: readonly Case[];
}

const PATH = '/orders/42';
const MAIN_CONNECTIONS = 32;
/** Rounds of what is not a headline: they are many. */
const SIDE_ROUNDS_MAX = 3;
const CONTENT_RULES: readonly BenchRule[] = [
  { method: 'GET', path: '/bytes/[0-9]+', isPattern: true },
  { method: 'POST', path: '/upload', isPattern: false },
];
const ECHO_RULES: readonly BenchRule[] = [{ method: 'GET', path: '/echo', isPattern: false }];
const CONTENT_FIGURES: readonly FigureName[] = [
  'cpuMicros',
  'cpuUserMicros',
  'cpuSystemMicros',
  'requestsPerSecond',
  'megabytesPerSecond',
  'cpuNanosPerKilobyte',
  'failures',
];
/** autocannon tells whole milliseconds: its p50 is nought or one. */
const CANNON_FIGURES = PLAIN_FIGURES.filter((name) => name !== 'p50Ms');
/** In the middle of a WebSocket connection there is nothing to judge, and node:http by hand has no tunnel. */
const NO_TUNNEL = 'node:http + undici';
const ONLY_MAIN = ['haproxy, no log', 'sallyport, no log'];

async function run(context: SuiteContext): Promise<SuiteResult> {
  if (!isInstalled('wrk')) {
    context.tellMissing({ name: 'wrk', why: 'not installed; `npm run bench:peers` tells how' });
  }
  const isWanted = ({ isQuick = false }: Case): boolean => !context.settings.isQuick || isQuick;
  const groups = allGroups()
    .map(({ lineUp, cases }) => ({ lineUp, cases: cases.filter(isWanted) }))
    .filter(({ cases }) => cases.length > 0);
  const count = groups.reduce((sum, { cases }) => sum + cases.length, 0);
  const scenarios: Scenario[] = [];
  for (const { lineUp, cases } of groups) {
    await withSubjects(context, lineUp, async (subjects) => {
      for (const one of cases) {
        const isMain = one.isMain ?? false;
        const contest: Contest = {
          figures: CANNON_FIGURES,
          ...one,
          subjects: subjects.filter((subject) => takesPart(one, subject)),
          loadOf: () => one.load,
          place: { index: scenarios.length, count },
        };
        scenarios.push(await compare(isMain ? context : withFewerRounds(context), contest));
      }
    });
  }
  return {
    name: 'http1',
    title: suite.title,
    about:
      'The same policy in each (GET with one pattern and one literal path), keep-alive on both sides, an access ' +
      'log with a line a request. CPU a request of the subject’s own processes is the figure to compare; requests ' +
      'a second are bounded by the core that the load and the origin share. The origin alone is the floor of one hop.',
    scenarios,
    plots: [
      cpuPlot(scenarios, 'http1-main'),
      connectionPlot(scenarios),
      fieldPlot(scenarios),
      contentPlot(scenarios, 'download'),
      contentPlot(scenarios, 'upload'),
    ].filter((plot) => plot !== null),
  };
}

function takesPart({ isMain, isOfProxies }: Case, subject: Subject): boolean {
  if (isOfProxies && subject.isOrigin) return false;
  return (isMain ?? false) || !ONLY_MAIN.includes(subject.name);
}

function withFewerRounds(context: SuiteContext): SuiteContext {
  const rounds = Math.min(context.settings.rounds, SIDE_ROUNDS_MAX);
  return { ...context, settings: { ...context.settings, rounds } };
}

function allGroups(): readonly Group[] {
  const hasTunnel = ({ name }: SubjectKind): boolean => name !== NO_TUNNEL;
  return [
    {
      lineUp: { version: 'h1' },
      cases: [...mainCases(), ...connectionCases(), ...shapeCases(), ...fieldCases()],
    },
    {
      lineUp: { version: 'h1', rules: CONTENT_RULES, startOrigin: startContentOrigin },
      cases: [...CONTENT_SIZES.map(downloadCase), ...CONTENT_SIZES.map(uploadCase)],
    },
    {
      lineUp: {
        version: 'h1',
        rules: ECHO_RULES,
        startOrigin: startEchoOrigin,
        isWanted: hasTunnel,
      },
      cases: [128, 16_384].map(tunnelCase),
    },
  ];
}

function mainCases(): readonly Case[] {
  const options = { path: PATH, connections: MAIN_CONNECTIONS };
  const title = `GET, ${MAIN_CONNECTIONS} connections`;
  const marks = { isMain: true, isQuick: true };
  const cases: Case[] = [
    { id: 'http1-main', title, load: autocannonLoad(options), ...marks },
    {
      id: 'http1-wrk',
      title: `${title}, by wrk`,
      load: wrkLoad(options),
      figures: PLAIN_FIGURES,
      ...marks,
    },
  ];
  return isInstalled('wrk') ? cases : cases.slice(0, 1);
}

function connectionCases(): readonly Case[] {
  return CONNECTION_COUNTS.filter((count) => count !== MAIN_CONNECTIONS).map((connections) => ({
    id: `http1-${connections}-connections`,
    title: `GET, ${connections} connection${connections === 1 ? '' : 's'}`,
    load: autocannonLoad({ path: PATH, connections }),
  }));
}

function shapeCases(): readonly Case[] {
  const connections = MAIN_CONNECTIONS;
  return [
    {
      id: 'http1-pipelining',
      title: 'GET, 16 requests in flight on each connection',
      load: autocannonLoad({ path: PATH, connections, pipelining: 16 }),
    },
    {
      id: 'http1-denials',
      title: 'Denials only: the origin is never asked',
      load: autocannonLoad({ path: '/denied/by/every/rule', connections, expectedStatus: 403 }),
      isOfProxies: true,
      isQuick: true,
    },
  ];
}

function fieldCases(): readonly Case[] {
  return FIELD_COUNTS.map((count) => ({
    id: `http1-${count}-fields`,
    title: `GET with ${count} header fields`,
    load: autocannonLoad({
      path: PATH,
      connections: MAIN_CONNECTIONS,
      headers: headerFields(count),
    }),
  }));
}

/** So many with those that autocannon sends itself (host, connection). */
export function headerFields(count: number): Readonly<Record<string, string>> {
  const own = Array.from({ length: count - 2 }, (_, i) => [
    `x-bench-field-${i}`,
    `value of the field number ${i}`,
  ]);
  return Object.fromEntries(own);
}

function downloadCase(size: number): Case {
  return {
    id: `http1-download-${size}`,
    title: `Answers of ${sizeText(size)}`,
    load: autocannonLoad({
      path: `/bytes/${size}`,
      connections: connectionsFor(size),
      contentBytes: size,
    }),
    figures: CONTENT_FIGURES,
    isQuick: size === 65_536,
  };
}

function uploadCase(size: number): Case {
  return {
    id: `http1-upload-${size}`,
    title: `Uploads of ${sizeText(size)}`,
    load: autocannonLoad({
      path: '/upload',
      method: 'POST',
      connections: connectionsFor(size),
      uploadBytes: size,
      contentBytes: size,
    }),
    figures: CONTENT_FIGURES,
  };
}

/** A megabyte on each of 32 connections is a test of the load's memory. */
function connectionsFor(size: number): number {
  return size > 100_000 ? 8 : MAIN_CONNECTIONS;
}

function tunnelCase(messageBytes: number): Case {
  return {
    id: `http1-websocket-${messageBytes}`,
    title: `WebSocket messages of ${messageBytes} bytes, echoed; a request is a message`,
    load: webSocketLoad({ connections: MAIN_CONNECTIONS, messageBytes }),
    isLogged: false,
    figures: [...PLAIN_FIGURES, 'cpuNanosPerKilobyte'],
  };
}

function sizeText(size: number): string {
  if (size >= 1_048_576) return `${size / 1_048_576} MiB`;
  return size >= 1024 ? `${size / 1024} KiB` : `${size} bytes`;
}
