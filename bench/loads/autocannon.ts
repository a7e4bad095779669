/** autocannon: HTTP/1.1 from Node, any method, fields and content; with a fixed rate its latency is corrected. */
import { join } from 'node:path';
import type autocannon from 'autocannon';
import { ROOT } from '../measure/machine.ts';
import { OwnedProcess } from '../subjects/process.ts';
import type { LoadResult, LoadRun } from './load.ts';

export interface CannonOptions {
  readonly path: string;
  readonly connections: number;
  readonly method?: autocannon.Request['method'];
  readonly pipelining?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the content of each request. */
  readonly uploadBytes?: number;
  /** Content of each exchange, both ways, for the figures: autocannon counts heads as well. */
  readonly contentBytes?: number;
  /** Threads that make the load; one, the process itself, when absent. */
  readonly workers?: number;
  /** In all; as fast as it goes when absent. */
  readonly requestsPerSecond?: number;
  /** 200 when absent. */
  readonly expectedStatus?: number;
}

export interface CannonCall {
  readonly url: string;
  readonly seconds: number;
  readonly options: CannonOptions;
}

export function autocannonLoad(options: CannonOptions): LoadRun {
  return {
    description: describe(options),
    run: async (url, seconds) => {
      const call: CannonCall = { url, seconds, options };
      const program = join(ROOT, 'bench/loads/autocannon_main.ts');
      const command = [process.execPath, program, JSON.stringify(call)];
      return JSON.parse(await new OwnedProcess({ place: 'other', command }).output());
    },
  };
}

export function resultOf(
  result: Pick<autocannon.Result, 'requests' | 'errors' | 'duration' | 'latency'> & {
    readonly statusCodeStats?: Readonly<Record<string, { readonly count?: number }>>;
  },
  { expectedStatus = 200, contentBytes = 0 }: CannonOptions,
): LoadResult {
  const { requests, errors, duration, latency, statusCodeStats = {} } = result;
  const expected = statusCodeStats[String(expectedStatus)]?.count ?? 0;
  return {
    requests: requests.total,
    failures: errors + requests.total - expected,
    seconds: duration,
    contentBytes: expected * contentBytes,
    latency: {
      p50Ms: latency.p50,
      p90Ms: latency.p90,
      p99Ms: latency.p99,
      p999Ms: latency.p99_9,
      maxMs: latency.max,
    },
  };
}

/** As it would be typed. */
function describe(options: CannonOptions): string {
  const { path, connections, method, pipelining, headers = {}, uploadBytes } = options;
  const fields = Object.entries(headers);
  const parts = [`autocannon -c ${connections} -d SECONDS`];
  if (method !== undefined) parts.push(`-m ${method}`);
  if (pipelining !== undefined) parts.push(`-p ${pipelining}`);
  if (options.workers !== undefined) parts.push(`-w ${options.workers}`);
  if (options.requestsPerSecond !== undefined) parts.push(`-R ${options.requestsPerSecond}`);
  for (const [name, value] of fields.slice(0, 2)) parts.push(`-H '${name}: ${value}'`);
  if (fields.length > 2) parts.push(`… (${fields.length} fields so)`);
  if (uploadBytes !== undefined)
    parts.push(`-b "$(head -c ${uploadBytes} /dev/zero | tr '\\0' x)"`);
  return [...parts, `URL${path}`].join(' ');
}
