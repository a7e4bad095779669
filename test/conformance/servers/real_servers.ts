/** Real HTTP/1.1 servers that tell what they read: which request, as which path, with how much content. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, PeerProcess } from './peer_process.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const IS_ROOT = process.getuid?.() === 0;

export interface Seen {
  /** The port from which the request came: which connection it was on. */
  readonly port: number;
  readonly method: string;
  /** As this server, or what is usually built on it, routes it. */
  readonly path: string;
  /** Of the content. */
  readonly bytes: number;
}

export interface RealServer {
  readonly name: string;
  readonly port: number;
  /** It takes a request with chunks for one without content, and ends the connection at the first chunk. */
  readonly isBlindToChunks: boolean;
  readonly seen: () => readonly Seen[];
  readonly stop: () => Promise<void>;
}

/** Each kind, by its name. `dir` is the server's own. */
export const REAL_SERVERS: Readonly<Record<string, (dir: string) => Promise<RealServer>>> = {
  node: (_dir) => startNode('node', {}),
  'node (lenient)': (_dir) => startNode('node (lenient)', { insecureHTTPParser: true }),
  'python http.server': async (dir) => {
    const port = await freePort();
    const args = [join(HERE, 'echo_http_server.py'), String(port)];
    return startTalking({ name: 'python http.server', command: 'python3', args, port, dir });
  },
  gunicorn: async (dir) => {
    const port = await freePort();
    const args = ['-b', `127.0.0.1:${port}`, '-k', 'gthread', '--threads', '16'];
    args.push('--pythonpath', HERE, '--worker-tmp-dir', dir, 'echo_wsgi:app');
    return startTalking({ name: 'gunicorn', command: 'gunicorn', args, port, dir });
  },
  go: async (dir) => {
    const port = await freePort();
    const command = buildGo(join(HERE, 'echo_server.go'), join(dir, 'echo_server'));
    return startTalking({ name: 'go', command, args: [String(port)], port, dir });
  },
  tomcat: async (dir) => {
    const port = await freePort();
    const args = ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-cp', '/usr/share/java/*'];
    args.push(join(HERE, 'EchoServer.java'), String(port), dir);
    return startTalking({ name: 'tomcat', command: 'java', args, port, dir });
  },
  nginx: startNginx,
  apache: startApache,
};

/** Builds one file that needs nothing but Go's own library. */
export function buildGo(source: string, target: string): string {
  const go = process.env['GO'] ?? 'go';
  const built = spawnSync(go, ['build', '-o', target, source], {
    env: { ...process.env, CGO_ENABLED: '0' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (built.error !== undefined) throw new Error(`Go is needed: ${built.error.message}`);
  if (built.status !== 0) throw new Error(`${source} was not built (exit code ${built.status})`);
  return target;
}

interface Talking {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly port: number;
  readonly dir: string;
}

/** One that prints each request that it read as a line of JSON. */
async function startTalking({ name, command, args, port, dir }: Talking): Promise<RealServer> {
  const seen: Seen[] = [];
  const onLine = (line: string): void => {
    if (line.startsWith('{"')) seen.push(JSON.parse(line) as Seen);
  };
  const env = { PYTHONDONTWRITEBYTECODE: '1' };
  const peer = await PeerProcess.start({ command, args, port, cwd: dir, env, onLine });
  const isBlindToChunks = name === 'python http.server';
  return { name, port, isBlindToChunks, seen: () => seen, stop: () => peer.stop() };
}

async function startNode(
  name: string,
  options: { readonly insecureHTTPParser?: boolean },
): Promise<RealServer> {
  const seen: Seen[] = [];
  const server = createServer(options, (request, response) => {
    const { remotePort: port = 0 } = request.socket;
    takeContent(request, (bytes) => {
      seen.push({ port, method: request.method ?? '', path: pathOf(request.url ?? ''), bytes });
      response.end('ok');
    });
  });
  const port = await listen(server);
  return { name, port, isBlindToChunks: false, seen: () => seen, stop: () => close(server) };
}

/** As what is built with the URL class and serves files reads it. */
function pathOf(target: string): string {
  try {
    return posix.normalize(decodeURIComponent(new URL(target, 'http://origin').pathname));
  } catch {
    return posix.normalize(target);
  }
}

function takeContent(request: IncomingMessage, onEnd: (bytes: number) => void): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('error', () => {});
  request.on('end', () => onEnd(bytes));
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Stands behind a server that is a proxy by trade, and tells it how much content it passed on. */
async function startMeasure(): Promise<Server> {
  const server = createServer((request, response) => {
    takeContent(request, (bytes) => {
      response.setHeader('x-content-bytes', bytes);
      response.end('ok');
    });
  });
  await listen(server);
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function startNginx(dir: string): Promise<RealServer> {
  const port = await freePort();
  const measure = await startMeasure();
  const log = join(dir, 'seen.log');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${dir}/${name};`)
    .join(' ');
  writeFileSync(
    join(dir, 'nginx.conf'),
    `daemon off; master_process off; pid ${dir}/nginx.pid; error_log ${dir}/error.log;
events { worker_connections 512; }
http {
  log_format seen escape=json '{"port":$remote_port,"method":"$request_method","path":"$uri","bytes":"$upstream_http_x_content_bytes"}';
  access_log ${log} seen; ${temporary}
  proxy_ignore_client_abort on; underscores_in_headers on; merge_slashes on;
  server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${portOf(measure)}/x; } }
}
`,
  );
  const args = ['-p', dir, '-e', join(dir, 'error.log'), '-c', join(dir, 'nginx.conf')];
  const peer = await PeerProcess.start({ command: 'nginx', args, port });
  const seen = (): readonly Seen[] =>
    linesOf(log)
      .map((line) => JSON.parse(line) as Omit<Seen, 'bytes'> & { readonly bytes: string })
      .filter(({ bytes }) => bytes !== '')
      .map((line) => ({ ...line, bytes: Number(line.bytes) }));
  return { name: 'nginx', port, isBlindToChunks: false, seen, stop: () => stopBoth(peer, measure) };
}

async function startApache(dir: string): Promise<RealServer> {
  const port = await freePort();
  const measure = await startMeasure();
  const log = join(dir, 'seen.log');
  // Started as root it drops to another user, who needs these.
  chmodSync(dir, 0o755);
  mkdirSync(join(dir, 'run'));
  const modules = ['mpm_event', 'authz_core', 'proxy', 'proxy_http'];
  writeFileSync(
    join(dir, 'apache.conf'),
    `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerRoot ${dir}
ServerName origin
PidFile ${dir}/run/apache.pid
DefaultRuntimeDir ${dir}/run
ErrorLog ${dir}/error.log
Listen 127.0.0.1:${port}
${IS_ROOT ? 'User www-data\nGroup www-data' : ''}
StartServers 1
AllowEncodedSlashes On
HttpProtocolOptions Unsafe
LogFormat "%{remote}p\\t%m\\t%U\\t%{x-content-bytes}o" seen
CustomLog ${log} seen
ProxyPass / http://127.0.0.1:${portOf(measure)}/x
`,
  );
  const args = ['-f', join(dir, 'apache.conf'), '-DFOREGROUND'];
  const peer = await PeerProcess.start({ command: 'apache2', args, port });
  const seen = (): readonly Seen[] =>
    linesOf(log)
      .map((line) => line.split('\t'))
      .filter(([, , , bytes]) => bytes !== '-')
      .map(([from, method = '', path = '', bytes]) => {
        return { port: Number(from), method, path, bytes: Number(bytes) };
      });
  return {
    name: 'apache',
    port,
    isBlindToChunks: false,
    seen,
    stop: () => stopBoth(peer, measure),
  };
}

async function stopBoth(peer: PeerProcess, measure: Server): Promise<void> {
  await peer.stop();
  await close(measure);
}

function linesOf(log: string): readonly string[] {
  return readFileSync(log, 'latin1')
    .split('\n')
    .filter((line) => line !== '');
}
