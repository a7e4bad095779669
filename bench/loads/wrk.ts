/** wrk: a second opinion on HTTP/1.1, in C, with a quarter of autocannon's CPU a request. GET only. */
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import { OwnedProcess } from '../subjects/process.ts';
import type { LoadResult, LoadRun } from './load.ts';

export interface WrkOptions {
  readonly path: string;
  readonly connections: number;
  /** 403: refusals are what is wanted; else 2xx and 3xx. */
  readonly expectedStatus?: 200 | 403;
}

export function wrkLoad({ path, connections, expectedStatus = 200 }: WrkOptions): LoadRun {
  const command = (url: string, seconds: number, script: string): string[] => [
    ...['wrk', '-t', '1', '-c', String(connections), '-d', String(seconds)],
    ...['-s', script, `${url}${path}`],
  ];
  return {
    description: `wrk -t 1 -c ${connections} -d SECONDS -s bench/loads/wrk_result.lua URL${path}`,
    run: async (url, seconds) => {
      const script = join(ROOT, 'bench/loads/wrk_result.lua');
      const whole = Math.max(1, Math.round(seconds));
      const owned = new OwnedProcess({ place: 'other', command: command(url, whole, script) });
      return parseWrk(await owned.output(), expectedStatus);
    },
  };
}

export function parseWrk(output: string, expectedStatus: 200 | 403): LoadResult {
  const line = /^RESULT (\{.*\})$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(`wrk told no result: ${output}`);
  const told: WrkResult = JSON.parse(line);
  const unexpected = expectedStatus === 200 ? told.refused : told.requests - told.refused;
  return {
    requests: told.requests,
    failures: unexpected + told.errors,
    seconds: told.micros / 1e6,
    contentBytes: 0,
    latency: {
      p50Ms: told.p50 / 1000,
      p90Ms: told.p90 / 1000,
      p99Ms: told.p99 / 1000,
      p999Ms: told.p999 / 1000,
      maxMs: told.max / 1000,
    },
  };
}

interface WrkResult {
  readonly requests: number;
  readonly micros: number;
  readonly refused: number;
  readonly errors: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}
