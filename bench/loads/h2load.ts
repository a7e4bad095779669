/** h2load: HTTP/2 with prior knowledge, in C. Latency by its log of every request. */
import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OwnedProcess } from '../subjects/process.ts';
import type { Latency, LoadResult, LoadRun } from './load.ts';

export interface H2LoadOptions {
  readonly path: string;
  readonly connections: number;
  /** In flight on each connection. */
  readonly streams: number;
  readonly fields?: Readonly<Record<string, string>>;
  /** Sent with each request, which is a POST then. */
  readonly content?: Buffer;
  /** 'any': what counts as a success, a status does not say (gRPC). */
  readonly expectedStatus?: 200 | 403 | 'any';
  /** Content of every answer: without it, it is a failure whatever its status says (gRPC again). */
  readonly answerBytes?: number;
}

export function h2load(options: H2LoadOptions): LoadRun {
  const { path, connections, streams, fields = {}, content } = options;
  const flags = [
    ...['-c', String(connections), '-m', String(streams)],
    ...Object.entries(fields).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
  ];
  const shown = flags.length > 16 ? [...flags.slice(0, 16), '…'] : flags;
  const upload = content === undefined ? '' : ` -d ${content.length}_BYTES`;
  return {
    description: `h2load -D SECONDS ${shown.join(' ')}${upload} --log-file LOG URL${path}`,
    run: (url, seconds) => run(options, ['-D', String(seconds), ...flags, `${url}${path}`]),
  };
}

async function run(options: H2LoadOptions, flags: readonly string[]): Promise<LoadResult> {
  const { content } = options;
  const scratch = join(tmpdir(), `sallyport-h2load-${randomUUID()}`);
  const upload = content === undefined ? [] : ['-d', `${scratch}.content`];
  try {
    if (content !== undefined) await writeFile(`${scratch}.content`, content);
    const command = ['h2load', '--log-file', `${scratch}.log`, ...upload, ...flags];
    const output = await new OwnedProcess({ place: 'other', command }).output();
    const latency = latencyOf(await readFile(`${scratch}.log`, 'latin1'));
    return { ...parseH2load(output, options), ...(latency !== null && { latency }) };
  } finally {
    await rm(`${scratch}.log`, { force: true });
    await rm(`${scratch}.content`, { force: true });
  }
}

export function parseH2load(
  output: string,
  {
    expectedStatus = 200,
    answerBytes = 0,
    content,
  }: Pick<H2LoadOptions, 'expectedStatus' | 'answerBytes' | 'content'>,
): LoadResult {
  const seconds = numberIn(output, /^finished in ([0-9.]+)(ms|us|s)/m);
  const done = numberIn(output, /, ([0-9]+) done, /);
  const succeeded = numberIn(output, /([0-9]+) succeeded/);
  const errored = numberIn(output, /([0-9]+) errored/) + numberIn(output, /([0-9]+) timeout/);
  const refused = numberIn(output, /([0-9]+) 4xx/);
  const received = numberIn(output, /\(([0-9]+)\) data$/m);
  const wanted = { 200: succeeded, 403: refused, any: done }[expectedStatus];
  const answered = answerBytes > 0 ? Math.floor(received / answerBytes) : done;
  return {
    requests: done,
    failures: Math.max(0, done - Math.min(wanted, answered)) + errored,
    seconds,
    contentBytes: content === undefined ? received : done * content.length,
  };
}

/** Lines of "start in µs, status, duration in µs". Of those that were ever answered; null: none was. */
export function latencyOf(log: string): Latency | null {
  const micros: number[] = [];
  for (const line of log.split('\n')) {
    const [, status, duration] = line.split('\t');
    if (duration !== undefined && Number(status) > 0) micros.push(Number(duration));
  }
  if (micros.length === 0) return null;
  const sorted = Float64Array.from(micros).sort();
  const at = (part: number): number =>
    (sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0) / 1000;
  return { p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), p999Ms: at(0.999), maxMs: at(1) };
}

const SECONDS_PER: Readonly<Record<string, number>> = { s: 1, ms: 1e-3, us: 1e-6 };

function numberIn(output: string, pattern: RegExp): number {
  const [, text, unit = 's'] = pattern.exec(output) ?? [];
  if (text === undefined) throw new Error(`h2load told no result: ${output}`);
  return Number(text) * (SECONDS_PER[unit] ?? 1);
}
