/**
 * `npm run demo`: the main job on loopback. Starts an origin, the real proxy (`run`) in front of it
 * with the policies of `examples/demo`, asks as three identities, and prints for each request what
 * happened, which rule decided and, for a denial, how near each rule came. Then stays up.
 *
 * The identities are addresses of 127.0.0.0/8: a client says who it is by the address it binds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Judge } from '../../control/ask/judge.ts';
import { judgeBundle } from '../../control/ask/judge_bundle.ts';
import { parseQuestion } from '../../control/ask/question.ts';
import { readPolicyPaths } from '../../control/source/files/read_texts.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import type { Args } from '../args.ts';
import { nearMisses } from '../ask/explain_text.ts';
import { judgeOptions } from '../ask/judge_options.ts';
import { readText } from '../ask/sources.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io } from '../io.ts';
import { paint } from '../terminal.ts';
import { textTable } from '../text_table.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const EXAMPLE = join(ROOT, 'examples/demo');
const READY_TIMEOUT_MS = 60_000;
const REQUEST_TIMEOUT_MS = 10_000;

interface Caller {
  readonly name: string;
  readonly ip: string;
}

const WEB: Caller = { name: 'shop/web', ip: '127.0.10.2' };
const EXPORT: Caller = { name: 'shop/export', ip: '127.0.10.3' };
const LAPTOP: Caller = { name: 'office/laptop', ip: '127.0.10.4' };

interface DemoRequest {
  readonly caller: Caller;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
}

const REQUESTS: readonly DemoRequest[] = [
  ask(WEB, 'GET', '/orders'),
  ask(WEB, 'GET', '/orders/42'),
  ask(WEB, 'POST', '/orders', [['x-channel', 'telephone']]),
  ask(WEB, 'DELETE', '/orders/42'),
  ask(WEB, 'GET', '/public/../orders/export'),
  ask(EXPORT, 'GET', '/orders/export', [['x-export-version', '2']]),
  ask(EXPORT, 'GET', '/orders/export'),
  ask(EXPORT, 'GET', '/orders/42'),
  ask(LAPTOP, 'GET', '/orders'),
];

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-demo-'));
  const origin = await startOrigin();
  let proxy: RunningProxy | null = null;
  try {
    io.stdout.write('Starting an origin and the proxy on loopback ...\n\n');
    proxy = await startProxy(directory, portOf(origin));
    const isAsExpected = await showRequests(proxy, io);
    if (args.has('once')) return isAsExpected ? EXIT_OK : EXIT_NEGATIVE;
    io.stdout.write(whatToTry(proxy));
    await interrupted(proxy.child);
    return EXIT_OK;
  } finally {
    await proxy?.stop();
    origin.close();
    origin.closeAllConnections();
    await rm(directory, { recursive: true, force: true });
  }
}

/** True when each request ended as the engine says it should. */
async function showRequests(proxy: RunningProxy, io: Io): Promise<boolean> {
  const judge = await demoJudge(io);
  const rows: string[][] = [];
  const details: string[] = [];
  let isAsExpected = true;
  for (const demo of REQUESTS) {
    const { status, text } = await send(proxy.port, demo);
    const verdict = explainRequest(judge, demo);
    const isAllowed = verdict.verdict === 'allow';
    isAsExpected &&= status === expectedStatus(verdict);
    rows.push([
      demo.caller.name,
      `${demo.method} ${demo.path}${headersText(demo)}`,
      paint(io, isAllowed ? 'green' : 'red', isAllowed ? 'allowed' : 'denied'),
      status === 0 ? 'reset' : String(status),
      verdict.decidedBy,
    ]);
    if (!isAllowed)
      details.push(`${demo.caller.name} ${demo.method} ${demo.path}`, ...verdict.near);
    else if (text.includes('x-channel: web')) {
      details.push(
        `${demo.caller.name} ${demo.method} ${demo.path}`,
        '  the origin saw "x-channel: web": the rule replaced what the caller sent',
      );
    }
  }
  io.stdout.write(textTable(['who', 'asked', 'verdict', 'status', 'decided by'], rows));
  io.stdout.write(`\nHow near each rule came:\n\n${details.join('\n')}\n\n`);
  return isAsExpected;
}

async function demoJudge(io: Io): Promise<Judge> {
  const created = judgeBundle(
    {
      policies: await readPolicyPaths([join(EXAMPLE, 'policies')], DEFAULT_LIMITS),
      endpoints: await readText(join(EXAMPLE, 'endpoints.yaml'), io),
      secrets: null,
    },
    judgeOptions(),
  );
  if (created.kind === 'rejected') throw new Error('the policies of the demo are rejected');
  return created.judge;
}

interface ExplainedRequest {
  readonly verdict: string;
  readonly layer: string;
  readonly decidedBy: string;
  readonly near: readonly string[];
}

/** A connection that is denied is reset before any reply: 0. */
function expectedStatus({ verdict, layer }: ExplainedRequest): number {
  if (verdict === 'allow') return 200;
  return layer === 'network' ? 0 : 403;
}

function explainRequest(judge: Judge, demo: DemoRequest): ExplainedRequest {
  const parsed = parseQuestion({
    endpoint: 'shop/orders',
    remote: demo.caller.name,
    port: 8080,
    http: { method: demo.method, path: demo.path, authority: 'orders', headers: demo.headers },
  });
  if (parsed.kind === 'error') throw new Error(parsed.message);
  const answer = judge.explain(parsed.question);
  if (answer.kind === 'error') throw new Error(answer.message);
  const { decision } = answer.explanation;
  return {
    verdict: decision.verdict,
    layer: decision.layer,
    decidedBy: decision.rule?.rule ?? decision.reason ?? '',
    near: nearMisses(answer.explanation).map((line) => `  ${line}`),
  };
}

/** Answers 200 with the fields that a rule may have changed; knows nothing of policies. */
function startOrigin(): Promise<Server> {
  const server = createServer((incoming, reply) => {
    incoming.resume();
    const channel = incoming.headers['x-channel'];
    reply.setHeader('content-type', 'text/plain');
    reply.end(
      `origin: ${incoming.method} ${incoming.url}${channel === undefined ? '' : `, x-channel: ${channel}`}\n`,
    );
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

interface RunningProxy {
  readonly child: ChildProcess;
  readonly port: number;
  readonly adminPath: string;
  readonly stop: () => Promise<void>;
}

async function startProxy(directory: string, originPort: number): Promise<RunningProxy> {
  const adminPath = join(directory, 'admin.sock');
  const config = join(directory, 'sallyport.yaml');
  await writeFile(config, configText(adminPath, join(directory, 'access.log'), originPort));
  const main = fileURLToPath(import.meta.url).endsWith('.ts') ? 'src/main.ts' : 'dist/main.js';
  const child = spawn(process.execPath, [join(ROOT, main), 'run', '-c', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await readyPort(child);
  return { child, port, adminPath, stop: () => stopChild(child) };
}

function configText(adminPath: string, accessLog: string, originPort: number): string {
  return `admin: unix:${adminPath}
workers: 1
accessLog: { to: ${accessLog} }
policies: [${join(EXAMPLE, 'policies')}]
endpoints: ${join(EXAMPLE, 'endpoints.yaml')}
listeners:
  - name: orders
    address: 127.0.0.1:0
    direction: ingress
    destination: 127.0.10.1:8080
    upstream: 127.0.0.1:${originPort}
    identity: [endpoints]
`;
}

/** The port in the proxy's "ready" line. */
function readyPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(
      () => reject(new Error('the proxy did not get ready')),
      READY_TIMEOUT_MS,
    );
    timer.unref();
    child.once('exit', (code) => reject(new Error(`the proxy ended with exit code ${code}`)));
    child.stdout?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-65_536);
      const ready = text.split('\n').find((line) => line.includes('"msg":"ready"'));
      const port = ready === undefined ? undefined : /127\.0\.0\.1:([0-9]+)/.exec(ready)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(Number(port));
    });
  });
}

function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

/** Status 0: the connection was reset before a reply. The path goes out as it is written. */
function send(port: number, demo: DemoRequest): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const outgoing = request({
      host: '127.0.0.1',
      port,
      localAddress: demo.caller.ip,
      method: demo.method,
      path: demo.path,
      headers: { host: 'orders', ...Object.fromEntries(demo.headers), 'content-length': 0 },
      timeout: REQUEST_TIMEOUT_MS,
      agent: false,
    });
    outgoing.on('response', (response: IncomingMessage) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    outgoing.on('timeout', () => outgoing.destroy());
    outgoing.on('error', () => resolve({ status: 0, text: '' }));
    outgoing.end();
  });
}

function whatToTry(proxy: RunningProxy): string {
  const url = `http://127.0.0.1:${proxy.port}`;
  const policy = join(EXAMPLE, 'policies/orders-api.yaml');
  return `The proxy stays up at ${url}. Try:

  as shop/web       curl -i --interface ${WEB.ip} ${url}/orders/42
  as shop/export    curl -i --interface ${EXPORT.ip} -H 'X-Export-Version: 2' ${url}/orders/export
  as office/laptop  curl -i --interface ${LAPTOP.ip} ${url}/orders
  why?              bin/sallyport explain -p examples/demo/policies --endpoints examples/demo/endpoints.yaml \\
                      --endpoint shop/orders --remote shop/web --port 8080 -X DELETE --path /orders/42
  what is counted   curl --unix-socket ${proxy.adminPath} http://localhost/metrics
  another policy    edit ${policy}
                    and ask again: the next request meets the new rules

Ctrl-C ends it.
`;
}

/** Until Ctrl-C, SIGTERM, or the proxy's own end. */
function interrupted(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
    child.once('exit', () => resolve());
  });
}

function ask(
  caller: Caller,
  method: string,
  path: string,
  headers: readonly (readonly [string, string])[] = [],
): DemoRequest {
  return { caller, method, path, headers };
}

function headersText(demo: DemoRequest): string {
  return demo.headers.map(([name, value]) => ` (${name}: ${value})`).join('');
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
