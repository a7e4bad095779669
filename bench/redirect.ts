/**
 * What the redirect costs, beside the same pods without it, in one run (root: it makes namespaces):
 *
 *     node bench/redirect.ts [--connections 300] [--requests 3000] [--rounds 3] [--kept 32]
 *
 * - a new connection's first answer and a kept connection's next one, direct and redirected by turns:
 *   medians, and what the redirect adds (the goal: under 150 µs to a new connection);
 * - CPU-µs a request of the proxy, redirected and on a plain listener (clients and origin are in this
 *   process, so theirs is not counted).
 *
 * The machine is shared: compare within one run only.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { textTable } from '../src/cli/text_table.ts';
import type { Netns } from '../test/redirect/root/netns.ts';
import { type Command, RedirectRig } from '../test/redirect/root/rig.ts';

const CLOCK_TICKS_PER_SECOND = 100;
const SERVER = '10.30.0.1';
const CLIENT = '10.30.0.2';
/** Set by hand: on a plain listener nobody tells who the client is. */
const CLIENT_IDENTITY = 4711;
const PORT = 8080;
const PLAIN_PORT = 15_100;
const REQUEST = 'GET /orders/42 HTTP/1.1\r\nhost: orders.test\r\n\r\n';
const CONTENT = '{"order":42,"state":"on its way"}';
const RESPONSE = `HTTP/1.1 200 OK\r\ncontent-length: ${CONTENT.length}\r\n\r\n${CONTENT}`;

const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: bench, namespace: bench }
spec:
  endpointSelector: { matchLabels: { app: server } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "${PORT}", protocol: TCP }]
          rules: { http: [{ method: GET, path: "/orders/[0-9]+" }] }
`;

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '300' },
    requests: { type: 'string', default: '3000' },
    rounds: { type: 'string', default: '3' },
    kept: { type: 'string', default: '32' },
  },
});

/** A client's way to the origin. */
interface Way {
  readonly name: string;
  readonly from: Netns;
  readonly host: string;
  readonly port: number;
  /** Processes whose CPU counts. */
  readonly pids: readonly number[];
}

await main();

async function main(): Promise<void> {
  const plain = newRig();
  const redirected = newRig();
  const servers: Server[] = [];
  try {
    for (const rig of [plain, redirected]) {
      const server = origin();
      servers.push(server);
      await rig.pod('bench/server').netns.listen(server, { ip: SERVER, port: PORT });
    }
    await redirected.follow();
    const proxy = await redirected.proxy();
    const standalone = await plainProxy(plain);
    const ways: readonly Way[] = [
      { ...podWay(plain), name: 'direct', pids: [] },
      { ...podWay(redirected), name: 'redirected', pids: workersOf(proxy) },
      {
        name: 'plain listener',
        from: plain.node,
        host: '127.0.0.1',
        port: PLAIN_PORT,
        pids: workersOf(standalone),
      },
    ];
    process.stdout.write(await latencies(ways));
    process.stdout.write(await costs(ways));
  } finally {
    for (const server of servers) server.close();
    await plain.dispose();
    await redirected.dispose();
  }
}

function newRig(): RedirectRig {
  return new RedirectRig({
    pods: [
      { name: 'bench/server', ips: [SERVER], labels: { app: 'server' } },
      {
        name: 'bench/client',
        ips: [CLIENT],
        labels: { app: 'client' },
        more: { identity: CLIENT_IDENTITY },
      },
    ],
    policies: [POLICY],
  });
}

function podWay(rig: RedirectRig): Pick<Way, 'from' | 'host' | 'port'> {
  return { from: rig.pod('bench/client').netns, host: SERVER, port: PORT };
}

/** The same policy and origin behind a listener that clients connect to by its own address. */
async function plainProxy(rig: RedirectRig): Promise<Command> {
  const path = join(rig.dir, 'plain.yaml');
  writeFileSync(
    path,
    `policies: [policies/]
endpoints: endpoints.json
workers: 1
listeners:
  - name: plain
    address: 127.0.0.1:${PLAIN_PORT}
    direction: ingress
    destination: ${SERVER}:${PORT}
    upstream: ${SERVER}:${PORT}
    identity: ${CLIENT_IDENTITY}
`,
  );
  return rig.proxy(path);
}

/** Answers each read with one response: clients here send one request at a time. */
function origin(): Server {
  return createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(RESPONSE));
  });
}

async function latencies(ways: readonly Way[]): Promise<string> {
  const fresh = new Map<Way, number[]>(ways.map((way) => [way, []]));
  const kept = new Map<Way, number[]>(ways.map((way) => [way, []]));
  const sockets = new Map<Way, Socket>();
  for (const way of ways) {
    const socket = open(way);
    await answered(socket);
    sockets.set(way, socket);
  }
  for (let n = 0; n < Number(values.connections) * Number(values.rounds); n++) {
    for (const way of ways) {
      fresh.get(way)?.push(await timed(() => newConnection(way)));
      kept.get(way)?.push(await timed(() => answered(sockets.get(way) as Socket)));
    }
  }
  for (const socket of sockets.values()) socket.destroy();
  const [direct] = ways;
  const base = (times: Map<Way, number[]>): number => median(times.get(direct as Way) ?? []);
  const rows = ways.map((way) => {
    const first = median(fresh.get(way) ?? []);
    const next = median(kept.get(way) ?? []);
    const added = (micros: number): string => `+${Math.round(micros)}`;
    return [
      way.name,
      `${Math.round(first)}`,
      added(first - base(fresh)),
      `${Math.round(next)}`,
      added(next - base(kept)),
    ];
  });
  const header = ['µs, median', 'new connection', 'added', 'kept connection', 'added'];
  return `\n${textTable(header, rows)}`;
}

async function costs(ways: readonly Way[]): Promise<string> {
  const proxied = ways.filter(({ pids }) => pids.length > 0);
  const rounds = new Map<Way, number[]>(proxied.map((way) => [way, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const way of proxied) {
      await load(way, 10);
      const before = cpuSeconds(way.pids);
      const requests = await load(way, Number(values.requests));
      rounds.get(way)?.push(((cpuSeconds(way.pids) - before) * 1e6) / requests);
    }
  }
  const rows = proxied.map((way) => {
    const micros = rounds.get(way) ?? [];
    return [way.name, median(micros).toFixed(1), micros.map((one) => one.toFixed(1)).join(' ')];
  });
  const header = [`CPU-µs a request, ${values.kept} kept connections`, 'median', 'rounds'];
  return `\n${textTable(header, rows)}`;
}

/** `each` requests on each kept connection; the number of all. */
async function load(way: Way, each: number): Promise<number> {
  const clients = Array.from({ length: Number(values.kept) }, () => open(way));
  await Promise.all(
    clients.map(async (socket) => {
      for (let n = 0; n < each; n++) await answered(socket);
      socket.destroy();
    }),
  );
  return each * clients.length;
}

function open({ from, host, port }: Way): Socket {
  const socket = from.client(4);
  socket.setNoDelay();
  socket.connect({ host, port });
  return socket;
}

async function newConnection(way: Way): Promise<void> {
  const socket = open(way);
  await answered(socket);
  socket.destroy();
}

function answered(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error('the connection was closed'));
    socket.once('close', onClose);
    socket.once('data', () => {
      socket.off('close', onClose);
      resolve();
    });
    socket.write(REQUEST);
  });
}

async function timed(task: () => Promise<void>): Promise<number> {
  const beganMs = performance.now();
  await task();
  return (performance.now() - beganMs) * 1000;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

function workersOf(proxy: Command): readonly number[] {
  const ready = proxy.lines().find((line) => line['msg'] === 'ready');
  return ready?.['workerPids'] as readonly number[];
}

/** User and system time of processes. */
function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / CLOCK_TICKS_PER_SECOND;
}
