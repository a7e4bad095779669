/**
 * `sallyport bench`: what the proxy adds to a user's requests under a user's policies, and which rules
 * cost what. The real proxy, one worker, stands between the requests and an origin:
 *
 *     requests ── judged by the engine ──► verdicts, ns a rule
 *         └─ sent ──► proxy ──► origin     are they answered as judged? latency, CPU
 *            allowed ─────────► origin     the same without the proxy
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pool } from 'undici';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { yamlText } from '../terminal.ts';
import { sallyportVersion } from '../version.ts';
import { CONNECTION_TOTAL_MAX } from './bounds.ts';
import { type CheckResult, checkRequests, Mismatches } from './check.ts';
import { BenchFailure, type RunningProxy, startOrigin, startProxy } from './children.ts';
import { openPool } from './client.ts';
import { ruleCosts } from './costs.ts';
import { processUse } from './cpu.ts';
import { type BenchOptions, benchOptions } from './options.ts';
import { type BenchPlan, listenerConfig, planOf } from './plan.ts';
import { type BenchReport, reportOf } from './report.ts';
import { readBenchInput } from './requests.ts';
import { type JudgedSet, judgeSet, UNNAMED_HOST } from './set.ts';
import { reportText } from './text.ts';
import { type Round, runRounds } from './turns.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const parsed = await benchOptions(args);
  if (parsed.kind === 'error') return usageError(io, `bench: ${parsed.message}`);
  const { options } = parsed;
  const input = await readBenchInput(args, options.requestsPath, io);
  if (input.kind === 'error') return usageError(io, `bench: ${input.message}`);
  const set = judgeSet(input.bundle, input.requests);
  if (set.kind === 'error') return usageError(io, `bench: ${set.message}`);
  const plan = planOf(set.requests);
  const connections = plan.groups.length * options.connectionCount;
  if (connections > CONNECTION_TOTAL_MAX) {
    return usageError(
      io,
      `bench: ${plan.groups.length} listeners with ${options.connectionCount} connections each are more than ${CONNECTION_TOTAL_MAX}; give fewer --connections`,
    );
  }
  const interrupt = new Interrupt();
  try {
    const report = await measure({ options, set, plan, io, interrupt });
    io.stdout.write(formatted(report, options, io));
    return report.answers.mismatchCount === 0 ? EXIT_OK : EXIT_NEGATIVE;
  } catch (error) {
    if (!(error instanceof BenchFailure)) throw error;
    io.stderr.write(`sallyport: bench: ${error.message}\n`);
    return EXIT_NEGATIVE;
  } finally {
    interrupt.release();
  }
}

/** The first Ctrl-C ends the measuring and what was started for it; the second is the system's. */
class Interrupt {
  isAsked = false;
  readonly #ask = (): void => {
    this.isAsked = true;
    this.release();
  };

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#ask);
  }

  release(): void {
    for (const signal of SIGNALS) process.off(signal, this.#ask);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Work {
  readonly options: BenchOptions;
  readonly set: Extract<JudgedSet, { kind: 'set' }>;
  readonly plan: BenchPlan;
  readonly io: Io;
  readonly interrupt: Interrupt;
}

interface Sent extends CheckResult {
  readonly resetCount: number;
  readonly mismatches: Mismatches;
  readonly rounds: readonly Round[];
  readonly proxyResidentBytes: number | null;
}

async function measure(work: Work): Promise<BenchReport> {
  const { options, set, plan } = work;
  const sent = plan.sent.length === 0 ? nothingSent() : await sendAll(work);
  progress(work, 'verdicts in this process');
  const costs = ruleCosts(set.snapshot, set.requests);
  const { unnamedHostCount: unnamed } = set;
  return reportOf({
    ...sent,
    options,
    version: sallyportVersion(),
    plan,
    judged: set.requests,
    unnamedHostNote:
      unnamed === 0
        ? null
        : `${unnamed} of the requests have no authority; they were judged and sent with the host ${UNNAMED_HOST}.`,
    costs,
    setCost: set.cost,
  });
}

function nothingSent(): Sent {
  return {
    checked: [],
    refused: [],
    resetCount: 0,
    mismatches: new Mismatches(),
    rounds: [],
    proxyResidentBytes: null,
  };
}

/** Starts what is needed, and ends it again whatever happens. */
async function sendAll(work: Work): Promise<Sent> {
  const { options, plan, set, io } = work;
  const ends: (() => Promise<unknown>)[] = [];
  try {
    if (options.upstream !== null) warn(work, options.upstream.url);
    progress(work, 'starting the proxy');
    const directory = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
    ends.push(() => rm(directory, { recursive: true, force: true }));
    let origin = options.upstream?.address;
    if (origin === undefined) {
      const embedded = await startOrigin(io.env);
      ends.push(embedded.stop);
      origin = embedded.address;
    }
    const upstream = origin;
    const proxy = await startProxy({
      directory,
      bundle: set.bundle,
      listeners: plan.groups.map((group) => listenerConfig(group, upstream)),
      hasAccessLog: options.hasAccessLog,
      environment: io.env,
    });
    ends.push(proxy.stop);
    return await sendThrough(work, proxy, upstream);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function sendThrough(work: Work, proxy: RunningProxy, origin: string): Promise<Sent> {
  const { options, plan, interrupt } = work;
  const { connectionCount } = options;
  const pools = {
    origin: openPool({ address: origin, connectionCount, preamble: '' }),
    groups: plan.groups.map(({ name, preamble }) =>
      openPool({ address: `127.0.0.1:${proxy.ports.get(name)}`, connectionCount, preamble }),
    ),
  };
  const mismatches = new Mismatches();
  const isStopped = (): boolean => interrupt.isAsked || proxy.death() !== null;
  try {
    progress(work, `asking ${plan.sent.length} requests once`);
    const result = await checkRequests({
      requests: plan.sent,
      pools,
      isEmbedded: options.upstream === null,
      concurrency: connectionCount,
      mismatches,
      isStopped,
    });
    // A connection that is denied is a new one each time: that is not what the others are.
    const timed = result.checked.filter(({ request }) => request.expected.kind !== 'reset');
    const rounds =
      timed.length === 0
        ? []
        : await runRounds({
            ...options,
            requests: timed,
            pools,
            workerPids: proxy.workerPids,
            mismatches,
            isStopped,
            progress: (text) => progress(work, text),
          });
    const resident = processUse(proxy.workerPids)?.residentBytes ?? null;
    throwIfStopped(work, proxy);
    const resetCount = result.checked.length - timed.length;
    return { ...result, resetCount, mismatches, rounds, proxyResidentBytes: resident };
  } finally {
    await closePools([pools.origin, ...pools.groups]);
  }
}

function throwIfStopped({ interrupt }: Work, proxy: RunningProxy): void {
  const death = proxy.death();
  if (interrupt.isAsked) throw new BenchFailure('interrupted');
  if (death !== null) throw new BenchFailure(death);
}

async function closePools(pools: readonly Pool[]): Promise<void> {
  await Promise.all(pools.map((pool) => pool.destroy()));
}

/** What is denied, or cannot be sent, does not get there. */
function warn({ plan, io }: Work, url: string): void {
  const reaching = plan.sent.filter(({ expected }) => expected.kind === 'forwarded');
  const methods = [...new Set(reaching.map(({ method }) => method))].sort().join(', ');
  io.stderr.write(
    `sallyport: bench: warning: real requests go to ${url}, again and again: ${methods}\n`,
  );
}

function progress({ io }: Work, text: string): void {
  io.stderr.write(`bench: ${text}\n`);
}

function formatted(report: BenchReport, { format }: BenchOptions, io: Io): string {
  if (format === 'json') return `${JSON.stringify(report, null, 2)}\n`;
  return format === 'yaml' ? yamlText(report) : reportText(report, io.hasColour);
}
