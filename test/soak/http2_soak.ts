/**
 * node test/soak/http2_soak.ts SECONDS: streams of every kind through the real command, for as long as
 * told, while its policy is replaced again and again. What is asked:
 *
 *   - no stream is lost: each call ends as it must, and has exactly one record that says so; streams that
 *     are opened first live to the end;
 *   - nothing stays behind: no stream, no connection, no record that was dropped;
 *   - RSS is flat: the median of the last third of the samples is at most 15 % and 24 MiB above that of the
 *     third before it, for each process (the first third is left out: code and heap still grow to size);
 *   - nothing unhandled: no internal error, no word on standard error, no process that was started again.
 *
 * The last line is the sum: "N passed, N failed".
 */
import { once } from 'node:events';
import { createReadStream, readFileSync, renameSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { startGrpcServer } from '../support/grpc_peers.ts';
import { type Line, type Sallyport, Scratch } from '../workers/running.ts';
import { LOADS, LONG_LIVED, Loop, startSoakOrigin, type Tally } from './http2_loads.ts';

const seconds = Number(process.argv[2] ?? 45);
const SAMPLE_INTERVAL_MS = 500;
const POLICY_INTERVAL_MS = 1_000;
const SETTLE_TIMEOUT_MS = 20_000;
const PROBLEMS_SHOWN = 5;
const RSS_GROWTH_MAX = 1.15;
const RSS_GROWTH_BYTES_MAX = 24 * 1024 * 1024;
const PAGE_BYTES = 4096;

const scratch = new Scratch();
const logPath = join(scratch.dir, 'access.log');
const adminPath = join(scratch.dir, 'admin.sock');
let passed = 0;
let failed = 0;
try {
  await main();
} catch (error) {
  failed += 1;
  console.error('soak:', error);
} finally {
  await scratch.dispose();
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function main(): Promise<void> {
  const grpc = await startGrpcServer();
  const origin = await startSoakOrigin();
  try {
    await soak(startProxy(grpc.port, origin.port));
  } finally {
    grpc.stop();
    origin.stop();
  }
}

async function soak(proxy: Sallyport): Promise<void> {
  const ports = await listenerPorts(proxy);
  const pids = processTree(proxy.child.pid as number);
  const samples = new Map<number, number[]>(pids.map((pid) => [pid, []]));
  const untilMs = performance.now() + seconds * 1_000;

  const sampling = sampleRss(samples, untilMs);
  const policies = replacePolicies(untilMs);
  const longLived = new Loop(LONG_LIVED, ports, untilMs);
  const loops = LOADS.flatMap((load) =>
    Array.from({ length: load.loopCount }, () => new Loop(load, ports, untilMs)),
  );
  await Promise.all([longLived.run(), ...loops.map((loop) => loop.run()), sampling, policies]);

  const tallies = talliesOf([longLived, ...loops]);
  for (const [name, tally] of tallies) checkLoad(name, tally);
  await checkNothingLeft(proxy, tallies);
  await checkRecords(tallies);
  for (const [pid, rss] of samples) checkRss(pid, rss);
  await checkEnd(proxy, pids);
}

function startProxy(grpcPort: number, originPort: number): Sallyport {
  scratch.write('policies/api.yaml', policy(0));
  const listener = (name: string, upstream: number): string => `
  - name: ${name}
    address: 127.0.0.1:0
    direction: ingress
    destination: 10.0.0.7:8080
    upstream: 127.0.0.1:${upstream}
    identity: 43`;
  const config = `policies: [policies/]
endpoints: endpoints.yaml
workers: 1
admin: unix:${adminPath}
accessLog: { to: ${logPath} }
limits: { reloadDelayMs: 10 }
listeners:${listener('grpc', grpcPort)}${listener('plain', originPort)}
`;
  return scratch.run(['run', '-c', scratch.write('config.yaml', config)]);
}

/** What is allowed is always the same; a rule that nobody meets makes each another policy. */
function policy(number: number): string {
  const paths = ['/test.Bytes/(Echo|Count|Split|PingPong)', '/plain/.*', `/never/${number}`];
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [${paths.map((path) => `{ method: POST, path: "${path}" }`).join(', ')}] }
`;
}

async function replacePolicies(untilMs: number): Promise<void> {
  for (let i = 1; performance.now() < untilMs; i++) {
    await sleep(POLICY_INTERVAL_MS);
    // In one step: a file that is empty for a moment is a set that is rejected, and an error in the log.
    renameSync(scratch.write('next.yaml', policy(i)), join(scratch.dir, 'policies/api.yaml'));
  }
}

async function listenerPorts(proxy: Sallyport): Promise<readonly [number, number]> {
  const ready = await proxy.message('ready');
  const listeners = ready['listeners'] as readonly Record<'name' | 'address', string>[];
  const portOf = (name: string): number =>
    Number(
      listeners
        .find((listener) => listener.name === name)
        ?.address.split(':')
        .at(-1),
    );
  return [portOf('grpc'), portOf('plain')];
}

function talliesOf(loops: readonly Loop[]): ReadonlyMap<string, Tally> {
  const tallies = new Map<string, Tally>();
  for (const { load, tally } of loops) {
    const sum = tallies.get(load.name) ?? { record: load.record, count: 0, problems: [] };
    sum.count += tally.count;
    sum.problems.push(...tally.problems);
    tallies.set(load.name, sum);
  }
  return tallies;
}

function check(name: string, problem: string | null): void {
  console.log(problem === null ? `ok ${name}` : `FAILED ${name}: ${problem}`);
  if (problem === null) passed += 1;
  else failed += 1;
}

function checkLoad(name: string, { count, problems }: Tally): void {
  const some = problems.slice(0, PROBLEMS_SHOWN).join('; ');
  const problem = problems.length === 0 ? null : `${problems.length} wrong: ${some}`;
  check(`${name}: ${count} calls`, count === 0 ? 'none was made' : problem);
}

async function checkNothingLeft(
  proxy: Sallyport,
  tallies: ReadonlyMap<string, Tally>,
): Promise<void> {
  const opened = [...tallies.values()].reduce((sum, { count }) => sum + count, 0);
  const wanted: readonly (readonly [string, number])[] = [
    ['sallyport_http2_streams_opened_total', opened],
    ['sallyport_http2_streams_open', 0],
    ['sallyport_connections_open', 0],
    ['sallyport_access_log_dropped_total', 0],
    ['sallyport_access_log_records_total', opened],
    ['sallyport_internal_errors_total', 0],
    ['sallyport_worker_restarts_total', 0],
  ];
  const lastMs = performance.now() + SETTLE_TIMEOUT_MS;
  let got = await metrics();
  const isSettled = (): boolean => wanted.every(([name, value]) => got(name) === value);
  while (!isSettled() && performance.now() < lastMs && proxy.child.exitCode === null) {
    await sleep(100);
    got = await metrics();
  }
  for (const [name, value] of wanted) {
    check(`${name} is ${value}`, got(name) === value ? null : `it is ${got(name)}`);
  }
  const updates = got('sallyport_policy_revision');
  check(`policy was replaced ${updates - 1} times`, updates > 2 ? null : 'too few');
}

/** Gives the sum of a metric over its labels. */
async function metrics(): Promise<(name: string) => number> {
  const outgoing = request({ socketPath: adminPath, path: '/metrics' }).end();
  const [response] = await once(outgoing, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  const samples = text.split('\n').map((line) => /^([a-z0-9_]+)(?:\{.*\})? (\S+)$/.exec(line));
  return (name) =>
    samples.reduce((sum, sample) => sum + (sample?.[1] === name ? Number(sample[2]) : 0), 0);
}

/** Each call has one record, which says how it ended; no record is of anything else. */
async function checkRecords(tallies: ReadonlyMap<string, Tally>): Promise<void> {
  const wanted = new Map<string, number>();
  for (const { record, count } of tallies.values()) {
    wanted.set(record, (wanted.get(record) ?? 0) + count);
  }
  const got = new Map<string, number>();
  for await (const text of createInterface({ input: createReadStream(logPath) })) {
    const record = recordOf(JSON.parse(text) as Line);
    got.set(record, (got.get(record) ?? 0) + 1);
  }
  for (const record of new Set([...wanted.keys(), ...got.keys()])) {
    const [calls, records] = [wanted.get(record) ?? 0, got.get(record) ?? 0];
    check(`records "${record}"`, calls === records ? null : `${records}, of ${calls} calls`);
  }
}

function recordOf(line: Line): string {
  const http = line['http'] as Readonly<Record<string, unknown>> | undefined;
  const grpc = line['grpc'] as Readonly<Record<string, unknown>> | undefined;
  const status = grpc?.['status'] ?? http?.['status'];
  return `${http?.['path']} ${line['verdict']} ${line['fault'] ?? status}`;
}

async function sampleRss(samples: ReadonlyMap<number, number[]>, untilMs: number): Promise<void> {
  while (performance.now() < untilMs) {
    for (const [pid, rss] of samples) {
      try {
        const pages = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1];
        rss.push(Number(pages) * PAGE_BYTES);
      } catch {
        // It is gone; that it was started again is told by the metrics.
      }
    }
    await sleep(SAMPLE_INTERVAL_MS);
  }
}

function checkRss(pid: number, rss: readonly number[]): void {
  const third = Math.floor(rss.length / 3);
  const [first, before, last] = [
    median(rss.slice(0, third)),
    median(rss.slice(third, 2 * third)),
    median(rss.slice(2 * third)),
  ];
  const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  const text = `RSS of process ${pid} by thirds: ${mib(first)}, ${mib(before)}, ${mib(last)}`;
  const most = Math.max(before * RSS_GROWTH_MAX, before + RSS_GROWTH_BYTES_MAX);
  check(text, third > 0 && last <= most ? null : 'it grows');
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function checkEnd(proxy: Sallyport, pids: readonly number[]): Promise<void> {
  const now = processTree(proxy.child.pid as number);
  check('the same processes', now.join() === pids.join() ? null : `${pids} became ${now}`);
  const bad = proxy
    .lines()
    .filter((line) => line['level'] === 'error' || line['level'] === 'fatal');
  check('no error in the log', bad.length === 0 ? null : JSON.stringify(bad.slice(0, 3)));
  proxy.signal('SIGTERM');
  const code = await proxy.ended;
  check('it ends when told so', code === 0 ? null : `exit code ${code}`);
  check('nothing on standard error', proxy.stderr === '' ? null : proxy.stderr.slice(0, 2_000));
}

function processTree(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  const children = text === '' ? [] : text.split(' ').map(Number);
  return [pid, ...children.flatMap(processTree)];
}
