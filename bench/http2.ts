/**
 * HTTP/2 in cleartext, the same policy in each: HAProxy, node:http2 by hand and Sallyport (access log to a
 * file, metrics on), in one run, one after the other in each round. Needs h2load and HAProxy
 * (Debian: nghttp2-client, haproxy).
 *
 *     node bench/http2.ts [--seconds 4] [--rounds 5] [--only sallyport,haproxy]
 *
 * The figure to compare is CPU-µs a request (user + system time of the proxy process / requests):
 * it holds still when the machine is noisy, throughput does not. Compare only within one run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  cpuSeconds,
  isInstalled,
  medianOf,
  pinned,
  type Subject,
  startHaproxy,
  startSallyport,
  startScript,
} from './subjects.ts';

interface Shape {
  readonly connections: number;
  readonly streams: number;
}

interface Round {
  readonly cpuMicros: number;
  readonly perSecond: number;
  readonly failures: number;
}

const SHAPES: readonly Shape[] = [
  { connections: 8, streams: 16 },
  { connections: 1, streams: 100 },
];
const WARM_UP_SECONDS = 3;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    'node-options': { type: 'string', default: '' },
  },
});

await main();

async function main(): Promise<void> {
  for (const tool of ['h2load', 'haproxy']) {
    if (!isInstalled(tool)) throw new Error(`${tool} is needed`);
  }
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  const subjects: Subject[] = [];
  try {
    // Not nginx: it takes four times the CPU of the core that it shares with the load.
    const origin = await startScript('origin alone', ['bench/peers/http2_origin.ts'], 'other');
    subjects.push(origin);
    subjects.push(await startHaproxy(directory, origin.url, { version: 'h2', hasLog: false }));
    subjects.push(await startHaproxy(directory, origin.url, { version: 'h2', hasLog: true }));
    subjects.push(await startScript('node:http2', ['bench/peers/node_http2.ts', origin.url]));
    subjects.push(await startSallyport(directory, origin.url, values['node-options']));
    const only = values.only === '' ? null : values.only.split(',');
    const chosen = subjects.filter(({ name }) => only === null || only.includes(name));
    console.log(`Node ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores`);
    console.log(`${values.rounds} rounds of ${values.seconds} s; medians`);
    for (const shape of SHAPES) print(shape, await compare(chosen, shape));
  } finally {
    for (const subject of subjects) subject.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function compare(
  subjects: readonly Subject[],
  shape: Shape,
): Promise<ReadonlyMap<string, readonly Round[]>> {
  const rounds = new Map<string, Round[]>(subjects.map(({ name }) => [name, []]));
  for (const subject of subjects) await load(subject, shape, WARM_UP_SECONDS);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const subject of subjects) {
      const before = cpuSeconds(subject);
      const { requests, failures } = await load(subject, shape, Number(values.seconds));
      const cpu = cpuSeconds(subject) - before;
      rounds.get(subject.name)?.push({
        cpuMicros: (cpu * 1e6) / requests,
        perSecond: requests / Number(values.seconds),
        failures,
      });
    }
  }
  return rounds;
}

async function load(
  { url }: Subject,
  { connections, streams }: Shape,
  seconds: number,
): Promise<{ readonly requests: number; readonly failures: number }> {
  const [program, args] = pinned('other', [
    'h2load',
    ...['-D', `${seconds}`, '-c', `${connections}`, '-m', `${streams}`],
    `${url}/orders/42`,
  ]);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  const counts = /([0-9]+) done, [0-9]+ succeeded, ([0-9]+) failed/.exec(text);
  if (counts === null) throw new Error(`h2load told no result: ${text}`);
  return { requests: Number(counts[1]), failures: Number(counts[2]) };
}

function print(shape: Shape, rounds: ReadonlyMap<string, readonly Round[]>): void {
  const micros = (name: string): number =>
    medianOf((rounds.get(name) ?? []).map(({ cpuMicros }) => cpuMicros));
  const reference = micros('haproxy');
  console.log(`\n${shape.connections} connections × ${shape.streams} streams\n`);
  console.log('| subject | CPU-µs/request | (rounds) | of haproxy | requests/s | failures |');
  console.log('|---|---|---|---|---|---|');
  for (const [name, all] of rounds) {
    console.log(
      `| ${name} | ${micros(name).toFixed(2)} | ${all.map((round) => round.cpuMicros.toFixed(2)).join(', ')} ` +
        `| ${(micros(name) / reference).toFixed(2)} | ${medianOf(all.map((round) => round.perSecond)).toFixed(0)} ` +
        `| ${all.reduce((sum, round) => sum + round.failures, 0)} |`,
    );
  }
}
