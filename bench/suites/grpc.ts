/**
 * gRPC through each subject: unary calls by h2load, which takes little, and by @grpc/grpc-js, as real clients
 * are; a stream of a hundred messages; calls that are refused.
 */
import { type GrpcOptions, grpcLoad } from '../loads/grpc_js.ts';
import { h2load } from '../loads/h2load.ts';
import type { LoadRun } from '../loads/load.ts';
import { compare, PLAIN_FIGURES } from '../measure/compare.ts';
import { withSubjects } from '../measure/with_subjects.ts';
import type { FigureName, Scenario, SuiteResult } from '../report/report.ts';
import { CONTENT } from '../subjects/origin.ts';
import type { BenchRule } from '../subjects/subject.ts';
import { isInstalled } from '../subjects/tools.ts';
import { cpuPlot } from './plots.ts';
import type { Suite, SuiteContext } from './suite.ts';

export const suite: Suite = { title: 'gRPC', run };

interface Case {
  readonly id: string;
  readonly title: string;
  readonly load: LoadRun;
  readonly figures?: readonly FigureName[];
  readonly isOfProxies?: boolean;
  readonly isQuick?: boolean;
}

const UNARY = '/bench.Echo/Unary';
const STREAM = '/bench.Echo/Stream';
const DENIED = '/bench.Echo/Denied';
const RULES: readonly BenchRule[] = [
  { method: 'POST', path: UNARY, isPattern: false },
  { method: 'POST', path: STREAM, isPattern: false },
  { method: 'POST', path: '/bench\\.Other/[A-Za-z]+', isPattern: true },
];
const GRPC_FIELDS = { 'content-type': 'application/grpc', te: 'trailers' };
const TEXT = Buffer.from('hello from the client of the bench');
const MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 0, TEXT.length]), TEXT]);
/** A prefix and the origin's text. */
const ANSWER_BYTES = 5 + CONTENT.length;
const PERMISSION_DENIED = 7;
const CLIENT: Pick<GrpcOptions, 'connections' | 'calls'> = { connections: 4, calls: 16 };

async function run(context: SuiteContext): Promise<SuiteResult> {
  if (!isInstalled('h2load')) {
    context.tellMissing({ name: 'h2load', why: 'not installed; `npm run bench:peers` tells how' });
  }
  const cases = allCases().filter(({ isQuick }) => !context.settings.isQuick || isQuick === true);
  const scenarios: Scenario[] = [];
  await withSubjects(context, { version: 'h2', rules: RULES }, async (subjects) => {
    for (const one of cases) {
      const { isOfProxies = false } = one;
      const contest = {
        ...one,
        subjects: subjects.filter(({ isOrigin }) => !(isOfProxies && isOrigin)),
        loadOf: () => one.load,
        place: { index: scenarios.length, count: cases.length },
      };
      scenarios.push(await compare(context, contest));
    }
  });
  return {
    name: 'grpc',
    title: suite.title,
    about:
      'A call is a POST with one message and an answer with one message and trailers; rules name the method as a path. ' +
      'With grpc-js the client takes several times the CPU of any proxy: read CPU a call, not calls a second.',
    scenarios,
    plots: [cpuPlot(scenarios, 'grpc-unary-h2load'), cpuPlot(scenarios, 'grpc-unary-js')].filter(
      (plot) => plot !== null,
    ),
  };
}

function allCases(): readonly Case[] {
  const shape = { connections: 8, streams: 16, fields: GRPC_FIELDS, content: MESSAGE };
  const byH2load: readonly Case[] = [
    {
      id: 'grpc-unary-h2load',
      title: 'Unary calls by h2load, 8 connections × 16 calls',
      load: h2load({ ...shape, path: UNARY, answerBytes: ANSWER_BYTES }),
      isQuick: true,
    },
    {
      id: 'grpc-denied-h2load',
      title: 'Calls that are refused, by h2load',
      // As gRPC has it, a refusal is a 200 with a status in its trailers; HAProxy says 403.
      load: h2load({ ...shape, path: DENIED, expectedStatus: 'any' }),
      isOfProxies: true,
    },
  ];
  const byClient: readonly Case[] = [
    {
      id: 'grpc-unary-js',
      title: 'Unary calls by grpc-js, 4 connections × 16 calls',
      load: grpcLoad({ ...CLIENT, method: UNARY, kind: 'unary', expectedStatus: 0 }),
      isQuick: true,
    },
    {
      id: 'grpc-stream-js',
      title: 'Streams of a hundred messages by grpc-js; a request is a stream',
      load: grpcLoad({ ...CLIENT, method: STREAM, kind: 'server-stream', expectedStatus: 0 }),
      figures: [...PLAIN_FIGURES, 'cpuNanosPerKilobyte'],
    },
    {
      id: 'grpc-denied-js',
      title: 'Calls that are refused with PERMISSION_DENIED, by grpc-js',
      load: grpcLoad({
        ...CLIENT,
        method: DENIED,
        kind: 'unary',
        expectedStatus: PERMISSION_DENIED,
      }),
      isOfProxies: true,
    },
  ];
  return isInstalled('h2load') ? [...byH2load, ...byClient] : byClient;
}
