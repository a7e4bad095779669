/**
 * A process of its own that opens connections, sends one request on each, and then holds them without a word
 * until SIGTERM; then it tells how many of them the server had closed.
 *
 *     node idle_client.ts JSON-of-IdleOrder   →   "holding", and at the end JSON of IdleResult
 */
import { once } from 'node:events';
import { FixedRateConnection } from './fixed_rate_connection.ts';

export interface IdleOrder {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly connections: number;
}

export interface IdleResult {
  /** Opened and answered with 200. */
  readonly opened: number;
  /** Of these, closed by the server. */
  readonly lost: number;
}

/** Opened at the same time: within any server's backlog. */
const OPENING_MAX = 64;

const order = JSON.parse(process.argv[2] ?? '') as IdleOrder;
const request = Buffer.from(`GET ${order.path} HTTP/1.1\r\nHost: bench.example\r\n\r\n`, 'latin1');
const ended = once(process, 'SIGTERM');
const held = new Set<FixedRateConnection>();
let opened = 0;
let lost = 0;
let toOpen = order.connections;

await Promise.all(Array.from({ length: OPENING_MAX }, openSome));
process.stdout.write('holding\n');
// Idle sockets alone keep the loop alive only as long as the server does.
setInterval(() => {}, 60_000);
await ended;
// The kernel closes ten thousand sockets at once; we would take seconds.
process.stdout.write(JSON.stringify({ opened, lost } satisfies IdleResult), () => process.exit());

async function openSome(): Promise<void> {
  while (toOpen-- > 0) await openOne();
}

function openOne(): Promise<void> {
  return new Promise((resolve, reject) => {
    const connection = new FixedRateConnection({
      answered: ({ status, isLast }) => {
        if (status !== 200) reject(new Error(`status ${status} on connection ${opened + 1}`));
        if (isLast) reject(new Error(`connection ${opened + 1} is closed after its answer`));
        opened++;
        held.add(connection);
        resolve();
      },
      lost: () => {
        if (held.delete(connection)) lost++;
        else reject(new Error(`connection ${opened + 1} closed before its answer`));
      },
    });
    connection.open(order.host, order.port).then(() => connection.send(request, 0), reject);
  });
}
