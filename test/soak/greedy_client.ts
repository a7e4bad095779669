/**
 * One client takes all that it can get of a running proxy, in every way there is, while another asks one request after
 * the other from a second address: how many of its requests fail, how long they take, and what CPU the proxy spends on
 * one connection of the attack.
 *
 *     node test/soak/greedy_client.ts [connections of the attack, default 2000]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { clientHello } from '../support/client_hello.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const COUNT = Number(process.argv[2] ?? 2000);
const GREEDY = '127.0.0.66';
const MODEST = '127.0.0.7';
const ASKED_COUNT = 200;
/** One for all: this process is attacker, origin and victim, and must not be what is slow. */
const BIG = Buffer.alloc(4 * 1024 * 1024, 'x');

const ATTACKS: readonly { readonly name: string; readonly bytes: string | Buffer }[] = [
  { name: 'connections that send nothing', bytes: '' },
  { name: 'half heads', bytes: 'GET /a HTTP/1.1\r\nhost:' },
  { name: 'denied requests, kept alive', bytes: 'GET /denied HTTP/1.1\r\nhost: x\r\n\r\n' },
  { name: 'allowed requests, kept alive', bytes: 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n' },
  { name: 'requests that are never answered', bytes: 'GET /never HTTP/1.1\r\nhost: x\r\n\r\n' },
  { name: 'answers that are never read', bytes: 'GET /big HTTP/1.1\r\nhost: x\r\n\r\n' },
  { name: 'half ClientHellos', bytes: clientHello('api.test').subarray(0, 40) },
];

const folder = mkdtempSync(join(tmpdir(), 'greedy-'));
const origin = createServer((asked, reply) => {
  if (asked.url === '/never') return;
  reply.end(asked.url === '/big' ? BIG : 'ok');
});
await new Promise<void>((done) => origin.listen(0, '127.0.0.1', done));
let failedCount = 0;
for (const attack of ATTACKS) failedCount += await run(attack);
origin.close();
origin.closeAllConnections();
rmSync(folder, { recursive: true });
process.exitCode = failedCount === 0 ? 0 : 1;

async function run({ name, bytes }: (typeof ATTACKS)[number]): Promise<number> {
  const { child, port } = await startProxy();
  const worker = workerOf(child.pid ?? 0);
  const before = cpuMs(worker);
  const sockets: Socket[] = [];
  for (let i = 0; i < COUNT; i++) {
    sockets.push(hold(port, bytes));
    if (i % 200 === 199) await new Promise((done) => setTimeout(done, 50));
  }
  await new Promise((done) => setTimeout(done, 500));
  const attackMs = cpuMs(worker) - before;
  const times: number[] = [];
  let failedCount = 0;
  for (let i = 0; i < ASKED_COUNT; i++) {
    const startedMs = performance.now();
    if (await ask(port)) times.push(performance.now() - startedMs);
    else failedCount++;
  }
  for (const socket of sockets) socket.destroy();
  child.kill('SIGKILL');
  await new Promise((done) => child.once('exit', done));
  times.sort((a, b) => a - b);
  const at = (share: number): string => (times[Math.floor(share * times.length)] ?? 0).toFixed(1);
  console.log(
    `${name}: ${failedCount} of ${ASKED_COUNT} requests of another client failed, ` +
      `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; ${((1000 * attackMs) / COUNT).toFixed(0)} µs of CPU an attacker's connection`,
  );
  return failedCount;
}

function hold(port: number, bytes: string | Buffer): Socket {
  const socket = connect({ host: '127.0.0.1', port, localAddress: GREEDY });
  socket.on('error', () => {});
  socket.pause();
  socket.write(bytes);
  return socket;
}

/** True when it was answered by the origin. */
function ask(port: number): Promise<boolean> {
  return new Promise((done) => {
    const asked = request(
      { host: '127.0.0.1', port, localAddress: MODEST, path: '/a', agent: false, timeout: 60_000 },
      (reply) => {
        reply.resume();
        reply.once('end', () => done(reply.statusCode === 200));
      },
    );
    asked.once('timeout', () => asked.destroy(new Error('no answer')));
    asked.once('error', () => done(false));
    asked.end();
  });
}

async function startProxy(): Promise<{ child: ChildProcess; port: number }> {
  mkdirSync(join(folder, 'policies'), { recursive: true });
  writeFileSync(
    join(folder, 'policies/p.yaml'),
    `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEntities: [all]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ path: "/(a|big|never)" }] } }]
`,
  );
  writeFileSync(
    join(folder, 'endpoints.yaml'),
    'endpoints:\n  - { name: default/api, ip: 10.0.0.7, labels: { app: api } }\n',
  );
  writeFileSync(
    join(folder, 'config.yaml'),
    `admin: none
workers: 1
accessLog: { to: ${join(folder, 'access.log')} }
policies: [policies/]
endpoints: endpoints.yaml
limits: { connectionCountMax: ${Math.floor(COUNT / 2)} }
listeners:
  - { name: api, address: "127.0.0.1:0", direction: ingress, destination: "10.0.0.7:8080", upstream: "127.0.0.1:${(origin.address() as AddressInfo).port}" }
`,
  );
  const child = spawn(join(ROOT, 'bin/sallyport'), ['run', '-c', join(folder, 'config.yaml')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    text += String(chunk);
    const found =
      /"msg":"ready"[^\n]*127\.0\.0\.1:(\d+)|127\.0\.0\.1:(\d+)[^\n]*"msg":"ready"/.exec(text);
    if (found !== null) {
      child.stdout?.resume();
      return { child, port: Number(found[1] ?? found[2]) };
    }
  }
  throw new Error(`no proxy: ${text}`);
}

/** The process of the data plane: the child of the supervisor that has used the most CPU, or itself. */
function workerOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean);
  return Number(children[0] ?? pid);
}

/** User and system, of a clock of 100 ticks a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
