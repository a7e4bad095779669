/**
 * HTTP/1.1, the same policy in each: what one would write by hand (node:http server + undici), HAProxy and
 * nginx where they are installed, and Sallyport (access log to a file, metrics on), in one run, one after
 * the other in each round.
 *
 *     npm run bench [-- --seconds 5 --rounds 3 --connections 32]
 *
 * The figure to compare is CPU-µs a request (user + system time of the proxy process / requests):
 * it holds still when the machine is noisy, throughput does not. Compare only within one run.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import {
  cpuSeconds,
  isInstalled,
  medianOf,
  type Subject,
  startHaproxy,
  startNginx,
  startSallyport,
  startScript,
} from './subjects.ts';

interface Round {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
  readonly failures: number;
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '32' },
  },
});

await main();

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  const subjects: Subject[] = [];
  try {
    const hasNginx = isInstalled('nginx');
    const origin = hasNginx
      ? await startNginx(directory)
      : await startScript('origin alone', ['bench/peers/origin.ts'], 'other');
    subjects.push(origin);
    subjects.push(
      await startScript('node:http + undici', ['bench/peers/node_undici.ts', origin.url]),
    );
    if (hasNginx) subjects.push(await startNginx(directory, origin.url));
    if (isInstalled('haproxy')) {
      for (const hasLog of [false, true]) {
        subjects.push(await startHaproxy(directory, origin.url, { version: 'h1', hasLog }));
      }
    }
    subjects.push(await startSallyport(directory, origin.url));
    const rounds = new Map<string, Round[]>(subjects.map(({ name }) => [name, []]));
    for (const subject of subjects) await load(subject.url, 2);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const subject of subjects) {
        process.stderr.write(`round ${round + 1}/${values.rounds}: ${subject.name}\n`);
        rounds.get(subject.name)?.push(await measure(subject));
      }
    }
    print(rounds);
  } finally {
    for (const subject of subjects) subject.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(subject: Subject): Promise<Round> {
  const before = cpuSeconds(subject);
  const result = await load(subject.url, Number(values.seconds));
  const cpu = cpuSeconds(subject) - before;
  return {
    perSecond: result.requests.average,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    cpuMicros: (cpu * 1e6) / result.requests.total,
    failures: result.errors + result.non2xx,
  };
}

/** In this process, so that its CPU is not the subject's. */
function load(url: string, seconds: number): Promise<autocannon.Result> {
  return autocannon({
    url: `${url}/orders/42`,
    duration: seconds,
    connections: Number(values.connections),
  });
}

function print(rounds: ReadonlyMap<string, readonly Round[]>): void {
  const median = (name: string, key: keyof Round): number =>
    medianOf((rounds.get(name) ?? []).map((round) => round[key]));
  const own = median('sallyport', 'cpuMicros');
  console.log(`\nNode ${process.version}, ${cpus()[0]?.model}, ${cpus().length} cores`);
  console.log(
    `${values.connections} connections, ${values.rounds} rounds of ${values.seconds} s; medians\n`,
  );
  console.log(
    '| subject | CPU-µs/request | (rounds) | of sallyport | requests/s | p50 ms | p99 ms | failures |',
  );
  console.log('|---|---|---|---|---|---|---|---|');
  for (const [name, all] of rounds) {
    const cpu = median(name, 'cpuMicros');
    console.log(
      `| ${name} | ${cpu.toFixed(1)} | ${all.map((round) => round.cpuMicros.toFixed(1)).join(', ')} | ${(cpu / own).toFixed(2)} ` +
        `| ${median(name, 'perSecond').toFixed(0)} | ${median(name, 'p50Ms')} | ${median(name, 'p99Ms')} | ${median(name, 'failures')} |`,
    );
  }
}
