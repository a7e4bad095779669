/**
 * dnsperf, in C: questions by UDP from sixteen sockets, as many as are answered or so many a second. It asks again when
 * an answer comes, and at a fixed rate when the time has come; the time of a question counts from when it was sent.
 */
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OwnedProcess } from '../subjects/process.ts';
import type { Latency, LoadResult, LoadRun } from './load.ts';

export interface DnsperfOptions {
  readonly names: readonly string[];
  /** What every answer is to be. */
  readonly rcode: 'NOERROR' | 'REFUSED';
  /** Null: as many as are answered. */
  readonly questionsPerSecond: number | null;
}

const SOCKETS = 16;
const OUTSTANDING_MAX = 256;
const TIMEOUT_SECONDS = 5;

export function dnsperfLoad({ names, rcode, questionsPerSecond }: DnsperfOptions): LoadRun {
  // What each question took it tells in a line, which would cost too much of its core at the maximum.
  const pace = questionsPerSecond === null ? [] : ['-v', '-Q', String(questionsPerSecond)];
  const shape = [
    '-c',
    String(SOCKETS),
    '-q',
    String(OUTSTANDING_MAX),
    '-t',
    String(TIMEOUT_SECONDS),
  ];
  return {
    description: `dnsperf ${[...shape, ...pace].join(' ')} -l SECONDS -d ${names.length} names`,
    run: async (url, seconds) => {
      const { hostname, port } = new URL(url);
      const folder = await mkdtemp(join(tmpdir(), 'sallyport-dnsperf-'));
      try {
        const [questions, told] = [join(folder, 'questions'), join(folder, 'told')];
        await writeFile(questions, names.map((name) => `${name} A\n`).join(''));
        const file = await open(told, 'w');
        const owned = new OwnedProcess({
          place: 'other',
          command: [
            ...['dnsperf', '-s', hostname, '-p', port, '-d', questions],
            ...['-l', String(Math.max(1, Math.round(seconds))), ...shape, ...pace],
          ],
          stdout: file.fd,
        });
        await file.close();
        await owned.output();
        return parseDnsperf(await readFile(told, 'utf8'), rcode);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

export function parseDnsperf(output: string, rcode: DnsperfOptions['rcode']): LoadResult {
  const number = (label: string): number => {
    const text = new RegExp(`^ *${label}: +([0-9.]+)`, 'm').exec(output)?.[1];
    if (text === undefined) throw new Error(`dnsperf told no "${label}": ${output.slice(-1000)}`);
    return Number(text);
  };
  const requests = number('Queries completed');
  const codes = /^ *Response codes: +(.*)$/m.exec(output)?.[1] ?? '';
  const expected = Number(new RegExp(`\\b${rcode} ([0-9]+)`).exec(codes)?.[1] ?? 0);
  const latency = latencyOf(output);
  return {
    requests,
    failures: requests - expected + number('Queries lost'),
    seconds: number('Run time \\(s\\)'),
    contentBytes: 0,
    ...(latency !== null && { latency }),
  };
}

/** "> NOERROR host-1.bench.example A 0.000123": what `-v` tells of each. */
function latencyOf(output: string): Latency | null {
  const times = [...output.matchAll(/^> \S+ \S+ \S+ ([0-9.]+)$/gm)]
    .map(([, seconds]) => Number(seconds) * 1000)
    .sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  if (times.length === 0) return null;
  return { p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), p999Ms: at(0.999), maxMs: at(1) };
}
