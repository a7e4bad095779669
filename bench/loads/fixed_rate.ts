/**
 * The load of the latency suite: GETs by a timetable, or as many as go, from a process of its own on the
 * core of the loads. autocannon and wrk tell milliseconds or no rate; this tells microseconds, exact
 * quantiles, and how late it was itself.
 */
import { fileURLToPath } from 'node:url';
import { OwnedProcess } from '../subjects/process.ts';
import type { FixedRateOrder, FixedRateResult, Quantiles } from './fixed_rate_client.ts';
import type { Latency, LoadResult, LoadRun } from './load.ts';

export interface FixedRate {
  readonly path: string;
  readonly connections: number;
  /** Null: as many as go. */
  readonly requestsPerSecond: number | null;
}

const CLIENT = fileURLToPath(new URL('./fixed_rate_client.ts', import.meta.url));
/** Its own code is compiled by then, and its connections are open. */
const WARM_UP_SECONDS = 0.5;
const DESCRIPTION = 'node bench/loads/fixed_rate_client.ts';

export function fixedRate(options: FixedRate): LoadRun {
  return {
    description: describe(options),
    run: async (url, seconds) => resultOf(await runClient(orderOf(options, url, seconds))),
  };
}

function describe({ path, connections, requestsPerSecond }: FixedRate): string {
  const rate =
    requestsPerSecond === null
      ? 'the next request as soon as one is answered'
      : `${requestsPerSecond.toLocaleString('en-US')} requests a second by the clock, each measured from when it was due`;
  return `${DESCRIPTION}: GET ${path} over ${connections} connections, ${rate}`;
}

function orderOf(options: FixedRate, url: string, seconds: number): FixedRateOrder {
  const { hostname, port } = new URL(url);
  const { path, connections, requestsPerSecond } = options;
  return {
    host: hostname,
    port: Number(port),
    path,
    connections,
    requestsPerSecond,
    warmUpSeconds: WARM_UP_SECONDS,
    seconds,
    statusExpected: 200,
  };
}

async function runClient(order: FixedRateOrder): Promise<FixedRateResult> {
  const command = [process.execPath, CLIENT, JSON.stringify(order)];
  const client = new OwnedProcess({ command, place: 'other' });
  return JSON.parse(await client.output()) as FixedRateResult;
}

function resultOf(result: FixedRateResult): LoadResult {
  const { requests, failures, seconds, contentBytes, latencyMicros, latenessMicros } = result;
  const latency = latencyOf(latencyMicros);
  if (latency === null) return { requests, failures, seconds, contentBytes };
  const figures = { loadLateP99Ms: latenessMicros.p99 / 1000 };
  return { requests, failures, seconds, contentBytes, latency, figures };
}

/** Null: nothing was answered. */
function latencyOf({ p50, p90, p99, p999, max }: Quantiles): Latency | null {
  const values = [p50, p90, p99, p999, max];
  if (!values.every((value) => Number.isFinite(value))) return null;
  return {
    p50Ms: p50 / 1000,
    p90Ms: p90 / 1000,
    p99Ms: p99 / 1000,
    p999Ms: p999 / 1000,
    maxMs: max / 1000,
  };
}
