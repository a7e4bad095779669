/**
 * node test/conformance/clients/real_clients.ts: real clients ask real servers the same, once directly and
 * once through the real command. What a client tells of each scene must be the same, and what a server
 * read (method, path, bytes of content) as well. A HAProxy forwards by both versions, and its health checks go
 * through, too.
 *
 * Fails when a client or a server cannot be started. The last line is the sum: "N passed, N failed".
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startGrpcServer } from '../../support/grpc_peers.ts';
import { type Sallyport, Scratch } from '../../workers/running.ts';
import { freePort, PeerProcess } from '../servers/peer_process.ts';
import { buildGo, REAL_SERVERS, type RealServer, type Seen } from '../servers/real_servers.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const CLIENT_TIMEOUT_MS = 60_000;
const HEALTH_TIMEOUT_MS = 15_000;
/** What curl is told by a server that ended the connection; the same as any client's error. */
const HAS_FAILED = /^error|^[1-9][0-9]* 0 0/;

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
          rules: { http: [{ path: "/.*" }] }
`;

/** Off by default; health checks by HTTP/1.0 and trailers by HTTP/1.1 are among the scenes. */
const MORE = 'workers: 1\nbehaviour: { http10: true, trailers: true, upgrades: [websocket, tcp] }';

interface Client {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** By way of a HAProxy, which forwards its requests by that version. */
  readonly via?: 'http1' | 'h2';
}

/** Who asks which server. `full`: every scene; else what any server answers. */
interface Pairing {
  readonly server: string;
  readonly group: 'full' | 'basic' | 'grpc';
  readonly clients: readonly string[];
}

const PAIRINGS: readonly Pairing[] = [
  {
    server: 'scenes',
    group: 'full',
    clients: [
      ...['curl http1', 'curl h2c', 'go http1', 'go h2c', 'java http1', 'java h2c'],
      ...['python http.client', 'python requests'],
      ...['node fetch', 'node http', 'node undici', 'node http2'],
      ...['curl by HAProxy http1', 'curl by HAProxy h2'],
    ],
  },
  { server: 'grpc-js', group: 'grpc', clients: ['grpc-js plain', 'grpc-js gzip'] },
  { server: 'nginx', group: 'basic', clients: ['curl http1', 'go http1', 'python requests'] },
  { server: 'apache', group: 'basic', clients: ['curl http1', 'node fetch', 'python http.client'] },
  { server: 'tomcat', group: 'basic', clients: ['go http1', 'java http1', 'node undici'] },
  { server: 'gunicorn', group: 'basic', clients: ['curl http1', 'python requests', 'node http'] },
  { server: 'node', group: 'basic', clients: ['go http1', 'java h2c', 'python http.client'] },
];

const scratch = new Scratch();
let passed = 0;
let failed = 0;
try {
  await main(process.argv.slice(2));
} catch (error) {
  failed += 1;
  console.error('clients:', error);
} finally {
  await scratch.dispose();
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function main(names: readonly string[]): Promise<void> {
  scratch.write('policies/api.yaml', POLICY);
  const clients = buildClients();
  for (const pairing of PAIRINGS) {
    if (names.length > 0 && !names.includes(pairing.server)) continue;
    const server = await startServer(pairing.server);
    try {
      await askAll(server, { pairing, clients });
    } finally {
      await server.stop();
    }
  }
}

function buildClients(): readonly Client[] {
  const built = spawnSync('javac', ['-d', scratch.dir, join(HERE, 'Client.java')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (built.status !== 0) throw new Error('javac is needed (Debian: default-jdk-headless)');
  const go = buildGo(join(HERE, 'client.go'), join(scratch.dir, 'client'));
  const java = ['-XX:TieredStopAtLevel=1', '-Xmx128m', '-cp', scratch.dir, 'Client'];
  const of = (kind: string, command: string, args: readonly string[], variants: string): Client[] =>
    variants.split(' ').map((one) => ({ name: `${kind} ${one}`, command, args: [...args, one] }));
  return [
    ...of('curl', 'sh', [join(HERE, 'client.sh')], 'http1 h2c'),
    ...of('go', go, [], 'http1 h2c'),
    ...of('java', 'java', java, 'http1 h2c'),
    // Debian's own, for which its packages are.
    ...of('python', '/usr/bin/python3', [join(HERE, 'client.py')], 'http.client requests'),
    ...of('grpc-js', process.execPath, [join(HERE, 'grpc_client.ts')], 'plain gzip'),
    ...(['http1', 'h2'] as const).map((via) => ({
      name: `curl by HAProxy ${via}`,
      command: 'sh',
      args: [join(HERE, 'client.sh'), 'http1'],
      via,
    })),
    ...of('node', process.execPath, [join(HERE, 'node_client.ts')], 'fetch http undici http2'),
  ];
}

async function startServer(name: string): Promise<RealServer> {
  const dir = join(scratch.dir, `server-${name}`);
  mkdirSync(dir);
  const start = REAL_SERVERS[name];
  if (start !== undefined) return start(dir);
  const port = await freePort();
  if (name === 'grpc-js') {
    const { stop } = await startGrpcServer(port);
    return { name, port, isBlindToChunks: false, seen: () => [], stop: async () => stop() };
  }
  const command = buildGo(join(HERE, 'scenes_server.go'), join(dir, 'scenes'));
  const peer = await PeerProcess.start({ command, args: [String(port)], port });
  return { name, port, isBlindToChunks: false, seen: () => [], stop: () => peer.stop() };
}

interface Setting {
  readonly pairing: Pairing;
  readonly clients: readonly Client[];
}

async function askAll(server: RealServer, { pairing, clients }: Setting): Promise<void> {
  const proxy = scratch.run(['run', '-c', scratch.config({ upstream: server.port, more: MORE })]);
  const port = await proxy.port();
  for (const client of clients.filter(({ name }) => pairing.clients.includes(name))) {
    const from = server.seen().length;
    const direct = await runClient(client, { group: pairing.group, port: server.port });
    const between = server.seen().length;
    const through = await runClient(client, { group: pairing.group, port });
    const about = `${client.name} at ${server.name}`;
    compareScenes(about, direct, through);
    const seen = server.seen().map(toText);
    const readDirect = seen.slice(from, between).join('; ');
    const readThrough = seen.slice(between).join('; ');
    check(
      `${about}: it reads the same`,
      readDirect === readThrough ? '' : `${readDirect} | ${readThrough}`,
    );
  }
  if (server.name === 'scenes') await checkHealth(port, proxy);
  proxy.signal('SIGTERM');
  const code = await proxy.ended;
  check(
    `${server.name}: the proxy ends well`,
    code === 0 && proxy.stderr === '' ? '' : proxy.stderr,
  );
}

function compareScenes(
  about: string,
  direct: ReadonlyMap<string, string>,
  through: ReadonlyMap<string, string>,
): void {
  const before = passed;
  for (const [scene, wanted] of direct) {
    const got = through.get(scene);
    const isGood = got === wanted && !HAS_FAILED.test(wanted);
    check(`${about}: ${scene}`, isGood ? '' : `${wanted} | ${got}`);
  }
  console.log(`${about}: ${passed - before} of ${direct.size} scenes`);
  check(`${about}: it has asked`, direct.size > 4 ? '' : `${direct.size} scenes`);
}

interface Asking {
  readonly group: string;
  readonly port: number;
}

/** What it tells: scene → what came. */
async function runClient(client: Client, asking: Asking): Promise<ReadonlyMap<string, string>> {
  if (client.via === undefined) return tellScenes(client, asking);
  const port = await freePort();
  const path = scratch.write(
    'forwarding.cfg',
    forwarding(port, { to: asking.port, by: client.via }),
  );
  const args = ['-db', '-f', path];
  const haproxy = await PeerProcess.start({ command: 'haproxy', args, port });
  try {
    return await tellScenes(client, { ...asking, port });
  } finally {
    await haproxy.stop();
  }
}

/** A client that goes takes its request with it. */
function forwarding(port: number, onward: { readonly to: number; readonly by: string }): string {
  return `defaults
  mode http
  option abortonclose
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen forwarding
  bind 127.0.0.1:${port}
  server one 127.0.0.1:${onward.to}${onward.by === 'h2' ? ' proto h2' : ''}
`;
}

async function tellScenes(
  { command, args }: Client,
  { group, port }: Asking,
): Promise<ReadonlyMap<string, string>> {
  const told = new Map<string, string>();
  const peer = await PeerProcess.start({
    command,
    args: [...args, group, `http://127.0.0.1:${port}`],
    port: 0,
    onLine: (line) => {
      const [scene = '', what = ''] = line.split('\t');
      // Where it was sent to is another port by nature.
      told.set(scene, what.replaceAll(`:${port}`, ':PORT'));
    },
  });
  await peer.ended(CLIENT_TIMEOUT_MS);
  if (peer.errors !== '') console.log(peer.errors);
  return told;
}

/** A load balancer that asks for health by HTTP/1.0 and by HTTP/1.1 keeps what is healthy. */
async function checkHealth(port: number, proxy: Sallyport): Promise<void> {
  const own = await freePort();
  const path = scratch.write(
    'haproxy.cfg',
    `defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend unused
  bind 127.0.0.1:${own}
  default_backend plain
backend plain
  option httpchk
  http-check send meth GET uri /204?plain
  server one 127.0.0.1:${port} check inter 100ms
backend modern
  option httpchk
  http-check send meth OPTIONS uri /204?modern ver HTTP/1.1 hdr Host origin
  server one 127.0.0.1:${port} check inter 100ms
`,
  );
  const haproxy = await PeerProcess.start({
    command: 'haproxy',
    args: ['-db', '-f', path],
    port: own,
  });
  const found = new Set<string>();
  const isAnswered = (): boolean => {
    for (const { msg, http } of proxy.lines()) {
      const {
        version,
        method,
        path: asked,
        status,
      } = (http ?? {}) as Readonly<Record<string, unknown>>;
      if (msg === 'request' && asked === '/204' && status === 204)
        found.add(`${version} ${method}`);
    }
    return found.has('HTTP/1.0 GET') && found.has('HTTP/1.1 OPTIONS');
  };
  const lastMs = performance.now() + HEALTH_TIMEOUT_MS;
  while (!isAnswered() && performance.now() < lastMs) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await haproxy.stop();
  check(
    'HAProxy: its health checks by both versions are answered',
    isAnswered() ? '' : [...found].join(),
  );
  check('HAProxy: it marks nobody down', haproxy.errors.includes('DOWN') ? haproxy.errors : '');
}

function toText({ method, path, bytes }: Seen): string {
  return `${method} ${path} ${bytes}`;
}

function check(name: string, problem: string): void {
  if (problem === '') {
    passed += 1;
    return;
  }
  failed += 1;
  console.log(`FAILED ${name}: ${problem}`);
}
