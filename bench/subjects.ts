/**
 * What the benchmarks compare, started as processes of their own with the same policy (GET on one
 * pattern and one literal path), and their CPU time. HAProxy and nginx are there when they are installed.
 *
 * Where there is `taskset` and a second core, what is measured has that core for itself, and the load and
 * the origin share the first.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const CLOCK_TICKS_PER_SECOND = 100;
const READY_TIMEOUT_MS = 30_000;

export const CONTENT = 'hello from the origin of the bench';

export type HttpVersion = 'h1' | 'h2';

export interface Subject {
  readonly name: string;
  readonly url: string;
  readonly pids: () => readonly number[];
  readonly stop: () => void;
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

const isPinned = cpus().length > 1 && isInstalled('taskset');

export function isInstalled(tool: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
}

/** `command` on the core of what is measured, or on that of everything else. */
export function pinned(
  what: 'measured' | 'other',
  command: readonly string[],
): readonly [string, readonly string[]] {
  const [program = '', ...args] = command;
  if (!isPinned) return [program, args];
  return ['taskset', ['-c', what === 'measured' ? '1' : '0', ...command]];
}

/** A script that prints "listening URL". */
export async function startScript(
  name: string,
  command: readonly string[],
  what: 'measured' | 'other' = 'measured',
): Promise<Subject> {
  const [program, args] = pinned(what, [process.execPath, join(ROOT, command[0] ?? '')]);
  const child = spawn(program, [...args, ...command.slice(1)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await lineWith(child, /^listening (.*)$/);
  return subjectOf(name, line[1] as string, child, 'SIGKILL');
}

export async function startSallyport(
  directory: string,
  originUrl: string,
  nodeOptions = '',
): Promise<Subject> {
  const config = join(directory, 'sallyport.yaml');
  await writeFile(join(directory, 'policy.yaml'), POLICY);
  await writeFile(join(directory, 'endpoints.yaml'), ENDPOINTS);
  await writeFile(config, sallyportConfig(directory, new URL(originUrl).host));
  const [program, args] = pinned('measured', [join(ROOT, 'bin/sallyport'), 'run', '-c', config]);
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: nodeOptions },
  });
  const line = await lineWith(child, /"msg":"ready"/);
  const address = /127\.0\.0\.1:([0-9]+)/.exec(line.input)?.[0];
  return subjectOf('sallyport', `http://${address}`, child, 'SIGTERM');
}

/** One thread; `hasLog`: one line a request to a file, as Sallyport has it. */
export async function startHaproxy(
  directory: string,
  originUrl: string,
  options: { readonly version: HttpVersion; readonly hasLog: boolean },
): Promise<Subject> {
  const name = options.hasLog ? 'haproxy with a log' : 'haproxy';
  const port = await freePort();
  const own = join(directory, name.replaceAll(' ', '-'));
  await mkdir(own, { recursive: true });
  const config = join(own, 'haproxy.cfg');
  const proto = options.version === 'h2' ? 'proto h2' : '';
  await writeFile(
    config,
    `global
  nbthread 1
  maxconn 4000
  ${options.hasLog ? 'log stdout format raw local0' : ''}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  ${options.hasLog ? 'log global\n  option httplog' : ''}
frontend bench
  bind 127.0.0.1:${port} ${proto}
  http-request deny unless { method GET } { path_reg ^/orders/[0-9]+$ } or { method GET } { path /health }
  default_backend origin
backend origin
  server origin ${new URL(originUrl).host} ${proto}
`,
  );
  const log = await open(join(own, 'access.log'), 'a');
  const [program, args] = pinned('measured', ['haproxy', '-db', '-f', config]);
  const child = spawn(program, args, { stdio: ['ignore', log.fd, 'inherit'] });
  await untilListening(port, child);
  await log.close();
  return subjectOf(name, `http://127.0.0.1:${port}`, child, 'SIGKILL');
}

/** One worker, HTTP/1.1: the origin, or with `originUrl` a proxy. */
export async function startNginx(
  directory: string,
  originUrl: string | null = null,
): Promise<Subject> {
  const name = originUrl === null ? 'nginx, origin alone' : 'nginx';
  const own = join(directory, name.replaceAll(/\W+/g, '-'));
  await mkdir(own, { recursive: true });
  const port = await freePort();
  const config = join(own, 'nginx.conf');
  await writeFile(config, nginxConfig({ own, port, originUrl }));
  const what = originUrl === null ? 'other' : 'measured';
  const [program, args] = pinned(what, ['nginx', '-p', own, '-e', 'stderr', '-c', config]);
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  await untilListening(port, child);
  return subjectOf(name, `http://127.0.0.1:${port}`, child, 'SIGKILL');
}

/** User and system time of the subject's processes so far. */
export function cpuSeconds({ pids }: Subject): number {
  let ticks = 0;
  for (const pid of pids()) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / CLOCK_TICKS_PER_SECOND;
}

export function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function subjectOf(
  name: string,
  url: string,
  child: ChildProcess,
  signal: NodeJS.Signals,
): Subject {
  return {
    name,
    url,
    pids: () => processTree(child.pid as number),
    stop: () => child.kill(signal),
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

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  const lastMs = performance.now() + READY_TIMEOUT_MS;
  while (child.exitCode === null && performance.now() < lastMs) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isUp) return;
    await sleep(50);
  }
  throw new Error(`${child.spawnargs.join(' ')} does not listen`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return [
    pid,
    ...(children === '' ? [] : children.split(' ').flatMap((child) => processTree(Number(child)))),
  ];
}

function sallyportConfig(directory: string, upstream: string): string {
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

function nginxConfig(options: {
  readonly own: string;
  readonly port: number;
  readonly originUrl: string | null;
}): string {
  const { own, port, originUrl } = options;
  const allowed = `proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";`;
  const locations =
    originUrl === null
      ? `location / { default_type text/plain; return 200 "${CONTENT}"; }`
      : `location / { return 403; }
    location = /health { limit_except GET { deny all; } ${allowed} }
    location ~ ^/orders/[0-9]+$ { limit_except GET { deny all; } ${allowed} }`;
  return `daemon off;
master_process off;
pid ${own}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path ${own}/body;
  proxy_temp_path ${own}/proxy;
  fastcgi_temp_path ${own}/fastcgi;
  uwsgi_temp_path ${own}/uwsgi;
  scgi_temp_path ${own}/scgi;
  ${originUrl === null ? '' : `upstream origin { server ${new URL(originUrl).host}; keepalive 64; keepalive_requests 1000000000; }`}
  server {
    listen 127.0.0.1:${port};
    ${locations}
  }
}
`;
}
