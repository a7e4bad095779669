/**
 * A first benchmark: the origin alone, what one would write by hand (node:http server + undici) and
 * Sallyport, with the same policy (GET on one pattern and one literal path), in one run, A B A B.
 *
 *     npm run bench [-- --seconds 5 --rounds 3 --connections 32]
 *
 * The figure to compare is CPU-µs a request (user + system time of the proxy process / requests):
 * it holds still when the machine is noisy, throughput does not. Compare only within one run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const CLOCK_TICKS_PER_SECOND = 100;
const READY_TIMEOUT_MS = 30_000;

interface Subject {
  readonly name: string;
  readonly about: string;
  readonly pids: () => readonly number[];
  readonly url: string;
  readonly stop: () => void;
}

interface Round {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
  readonly failures: number;
}

const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: bench, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules:
            http:
              - { method: GET, path: "/orders/[0-9]+" }
              - { method: GET, path: /health }
`;

const ENDPOINTS = `endpoints:
  - { name: default/api, ip: 127.0.20.1, labels: { app: api } }
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
`;

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
    const origin = await startScript('origin alone', 'bench/peers/origin.ts', []);
    subjects.push(origin);
    subjects.push(
      await startScript('node:http + undici', 'bench/peers/node_undici.ts', [origin.url]),
    );
    subjects.push(await startSallyport(directory, origin.url));
    const rounds = new Map<string, Round[]>(subjects.map(({ name }) => [name, []]));
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const subject of subjects) {
        process.stderr.write(`round ${round + 1}/${values.rounds}: ${subject.name}\n`);
        await load(subject.url, 1);
        rounds.get(subject.name)?.push(await measure(subject));
      }
    }
    print(subjects, rounds);
  } finally {
    for (const subject of subjects) subject.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(subject: Subject): Promise<Round> {
  const before = cpuSeconds(subject.pids());
  const result = await load(subject.url, Number(values.seconds));
  const cpu = cpuSeconds(subject.pids()) - before;
  const requests = result.requests.total;
  return {
    requests,
    perSecond: result.requests.average,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    cpuMicros: (cpu * 1e6) / requests,
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

async function startScript(
  name: string,
  script: string,
  args: readonly string[],
): Promise<Subject> {
  const child = spawn(process.execPath, [join(ROOT, script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await lineWith(child, /^listening (.*)$/);
  return {
    name,
    about: script,
    url: line[1] as string,
    pids: () => [child.pid as number],
    stop: () => child.kill('SIGKILL'),
  };
}

async function startSallyport(directory: string, originUrl: string): Promise<Subject> {
  const config = join(directory, 'sallyport.yaml');
  await writeFile(join(directory, 'policy.yaml'), POLICY);
  await writeFile(join(directory, 'endpoints.yaml'), ENDPOINTS);
  await writeFile(config, configText(directory, new URL(originUrl).host));
  const child = spawn(join(ROOT, 'bin/sallyport'), ['run', '-c', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await lineWith(child, /"msg":"ready"/);
  const address = /127\.0\.0\.1:([0-9]+)/.exec(line.input)?.[0];
  return {
    name: 'sallyport',
    about: 'access log to a file, metrics on, one worker',
    url: `http://${address}`,
    pids: () => processTree(child.pid as number),
    stop: () => child.kill('SIGTERM'),
  };
}

function lineWith(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`not ready: ${text}`)), READY_TIMEOUT_MS);
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)));
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk;
      for (const line of text.split('\n')) {
        const match = pattern.exec(line);
        if (match === null) continue;
        clearTimeout(timer);
        resolve(match);
      }
    });
  });
}

/** User and system time of the processes so far. */
function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / CLOCK_TICKS_PER_SECOND;
}

function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return [
    pid,
    ...(children === '' ? [] : children.split(' ').flatMap((child) => processTree(Number(child)))),
  ];
}

function print(subjects: readonly Subject[], rounds: ReadonlyMap<string, readonly Round[]>): void {
  const own = medianOf(rounds.get('sallyport') ?? [], 'cpuMicros');
  console.log(
    `\nNode ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores; `,
  );
  console.log(
    `${values.connections} connections, ${values.rounds} rounds of ${values.seconds} s; medians\n`,
  );
  console.log(
    '| subject | CPU-µs/request | (rounds) | of sallyport | requests/s | p50 ms | p99 ms | failures |',
  );
  console.log('|---|---|---|---|---|---|---|---|');
  for (const { name } of subjects) {
    const all = rounds.get(name) ?? [];
    const cpu = medianOf(all, 'cpuMicros');
    console.log(
      `| ${name} | ${cpu.toFixed(1)} | ${all.map((round) => round.cpuMicros.toFixed(1)).join(', ')} | ${(cpu / own).toFixed(2)} ` +
        `| ${medianOf(all, 'perSecond').toFixed(0)} | ${medianOf(all, 'p50Ms')} | ${medianOf(all, 'p99Ms')} | ${medianOf(all, 'failures')} |`,
    );
  }
}

function medianOf(rounds: readonly Round[], key: keyof Round): number {
  const sorted = rounds.map((round) => round[key]).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function configText(directory: string, upstream: string): string {
  return `admin: unix:${directory}/admin.sock
workers: 1
accessLog: { to: ${directory}/access.log }
policies: [${directory}/policy.yaml]
endpoints: ${directory}/endpoints.yaml
listeners:
  - name: api
    address: 127.0.0.1:0
    direction: ingress
    destination: 127.0.20.1:8080
    upstream: ${upstream}
    identity: [endpoints]
`;
}
