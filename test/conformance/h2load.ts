/**
 * node test/conformance/h2load.ts: nghttp2's load generator through the real command, at several numbers
 * of connections and streams. Asked is that each request is answered as it must, that those which are
 * denied are just the ones that policy denies and never reach the origin, and that each has one record.
 * How fast it is is no question here.
 *
 * Fails when there is no h2load. The last line is the sum: "N passed, N failed".
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Scratch } from '../workers/running.ts';

const LOG_TIMEOUT_MS = 10_000;
const UPLOAD_BYTES = 100_000;

interface Case {
  readonly name: string;
  readonly requests: number;
  readonly connections: number;
  readonly streams: number;
  /** Asked one after the other on each connection, and again from the first. */
  readonly paths: readonly string[];
  readonly isUpload?: boolean;
}

/** `requests` of each connection are whole rounds of `paths`, so that the counts are exact. */
const CASES: readonly Case[] = [
  { name: '8 × 16', requests: 20_000, connections: 8, streams: 16, paths: ['/ok'] },
  { name: '1 × 100', requests: 20_000, connections: 1, streams: 100, paths: ['/ok'] },
  { name: '200 × 1', requests: 4_000, connections: 200, streams: 1, paths: ['/ok'] },
  {
    name: '8 × 16, two of five denied',
    requests: 20_000,
    connections: 8,
    streams: 16,
    paths: ['/ok', '/denied', '/ok', '/denied/2', '/ok'],
  },
  {
    name: '1 × 100, all denied',
    requests: 10_000,
    connections: 1,
    streams: 100,
    paths: ['/denied'],
  },
  {
    name: '4 × 8, uploads, one of two denied',
    requests: 800,
    connections: 4,
    streams: 8,
    paths: ['/upload', '/denied'],
    isUpload: true,
  },
];

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: GET, path: /ok }, { method: POST, path: "/up[a-z]+" }] }
`;

const scratch = new Scratch();
const logPath = join(scratch.dir, 'access.log');
let passed = 0;
let failed = 0;
try {
  await main();
} catch (error) {
  failed += 1;
  console.error('h2load:', error);
} finally {
  await scratch.dispose();
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function main(): Promise<void> {
  if (spawnSync('h2load', ['--version']).status !== 0) {
    throw new Error('h2load is needed (Debian: nghttp2-client)');
  }
  scratch.write('policies/api.yaml', POLICY);
  const uploadPath = scratch.write('upload', 'u'.repeat(UPLOAD_BYTES));
  const origin = await startOrigin();
  try {
    // Each record is asked for: no denial line is left out for its source's rate.
    const env = { SALLYPORT_LIMITS_DENIAL_LINES_PER_SECOND: '0' };
    const more = `workers: 1\naccessLog: { to: ${logPath} }`;
    const proxy = scratch.run(['run', '-c', scratch.config({ upstream: origin.port, more })], env);
    const port = await proxy.port();
    for (const asked of CASES) await checkCase(asked, { port, uploadPath, origin });
    proxy.signal('SIGTERM');
    const code = await proxy.ended;
    check('it ends when told so', code === 0 && proxy.stderr === '' ? null : proxy.stderr);
  } finally {
    origin.stop();
  }
}

interface Setting {
  readonly port: number;
  readonly uploadPath: string;
  readonly origin: Origin;
}

async function checkCase(asked: Case, { port, uploadPath, origin }: Setting): Promise<void> {
  const { name, requests, paths } = asked;
  const deniedCount =
    (requests * paths.filter((path) => path.startsWith('/denied')).length) / paths.length;
  const before = records();
  const seenBefore = origin.seenCount();
  const report = await load(asked, port, uploadPath);
  const allowedCount = requests - deniedCount;
  const answers = `${allowedCount} 2xx, 0 3xx, ${deniedCount} 4xx, 0 5xx`;
  check(`${name}: ${answers}`, report.includes(`status codes: ${answers}`) ? null : report);
  const done = `${requests} done, ${allowedCount} succeeded, ${deniedCount} failed, 0 errored, 0 timeout`;
  check(`${name}: ${done}`, report.includes(done) ? null : report);
  const seen = origin.seenCount() - seenBefore;
  check(`${name}: the origin saw what is allowed`, seen === allowedCount ? null : `${seen} seen`);
  const wanted = { forwarded: allowedCount, denied: deniedCount, other: 0 };
  check(`${name}: its records`, await untilRecords(before, wanted));
}

async function load(asked: Case, port: number, uploadPath: string): Promise<string> {
  const { requests, connections, streams, paths, isUpload } = asked;
  const args = [
    ...['-n', `${requests}`, '-c', `${connections}`, '-m', `${streams}`],
    ...(isUpload === true ? ['-d', uploadPath] : []),
    ...paths.map((path) => `http://127.0.0.1:${port}${path}`),
  ];
  const child = spawn('h2load', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  return text;
}

type Records = Readonly<Record<'forwarded' | 'denied' | 'other', number>>;

function records(): Records {
  const count = { forwarded: 0, denied: 0, other: 0 };
  for (const line of readFileSync(logPath, 'latin1').split('\n')) {
    if (line === '') continue;
    const verdict = /"verdict":"(forwarded|denied)"/.exec(line)?.[1] as keyof Records | undefined;
    count[verdict ?? 'other'] += 1;
  }
  return count;
}

/** Lines are written a moment later than answers; null when all are there, and no others. */
async function untilRecords(before: Records, wanted: Records): Promise<string | null> {
  const lastMs = performance.now() + LOG_TIMEOUT_MS;
  for (;;) {
    const now = records();
    const keys = ['forwarded', 'denied', 'other'] as const;
    if (keys.every((key) => now[key] - before[key] === wanted[key])) return null;
    if (performance.now() > lastMs) return `from ${JSON.stringify(before)} ${JSON.stringify(now)}`;
    await sleep(100);
  }
}

function check(name: string, problem: string | null): void {
  console.log(problem === null ? `ok ${name}` : `FAILED ${name}: ${problem}`);
  if (problem === null) passed += 1;
  else failed += 1;
}

interface Origin {
  readonly port: number;
  readonly seenCount: () => number;
  readonly stop: () => void;
}

/** 200, and 400 for an upload of which something is missing. */
async function startOrigin(): Promise<Origin> {
  let seenCount = 0;
  const server = createServer();
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    seenCount += 1;
    let byteLength = 0;
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      byteLength += chunk.length;
    });
    stream.on('end', () => {
      const isWhole = headers[':method'] !== 'POST' || byteLength === UPLOAD_BYTES;
      stream.respond({ ':status': isWhole ? 200 : 400, 'content-type': 'text/plain' });
      stream.end('hello from the origin of h2load..\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    seenCount: () => seenCount,
    stop: () => server.close(),
  };
}
