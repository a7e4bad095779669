/**
 * What pods do to each other in the end-to-end suite: an origin that tells what it saw, a client that
 * tells what became of one request, and plain TCP and UDP beside them.
 */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from './netns.ts';

/**
 * A bound that only ends a hang: a neighbour (ARP, NDP) that was asked in vain, and a SYN that was lost, are asked
 * again after seconds.
 */
const PATIENCE_MS = 60_000;
/** After this a datagram is sent again. */
const RESEND_MS = 300;
const UNREACHABLE_PAUSE_MS = 50;

/** For what is expected to be silent: one look. All else is waited for. */
export const ONE_LOOK = { patienceMs: 700 } as const;
/** The same for a datagram: nobody sends it again. */
export const ONE_DATAGRAM = { patienceMs: RESEND_MS } as const;

/** What the origin saw of a request, as it tells in its answer. */
export interface Seen {
  readonly pod: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remote: string;
  readonly local: string;
}

export type Outcome =
  | { readonly kind: 'answered'; readonly status: number; readonly seen: Seen | null }
  /** Reset or refused: the connection was not allowed. */
  | { readonly kind: 'reset' }
  /** No answer at all. */
  | { readonly kind: 'silent' };

/** Answers every request with 200 and what it saw of it. */
export function seeingOrigin(pod: string): Server {
  return createHttpServer((request, reply) => {
    request.resume();
    const { remoteAddress, remotePort, localAddress, localPort } = request.socket;
    const seen: Seen = {
      pod,
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers as Record<string, string>,
      remote: `${remoteAddress} ${remotePort}`,
      local: `${localAddress} ${localPort}`,
    };
    reply.setHeader('content-type', 'application/json');
    reply.end(JSON.stringify(seen));
  });
}

/** Sends back what it gets. */
export function echoOrigin(): Server {
  return createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
}

export interface Ask {
  readonly from: Netns;
  readonly fromIp?: string;
  readonly fromPort?: number;
  readonly to: string;
  readonly port: number;
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  readonly headers?: readonly (readonly [string, string])[];
  /** How long it may take until it counts as silent; see `ONE_LOOK`. */
  readonly patienceMs?: number;
}

/** One request on a connection of its own. */
export async function ask(request: Ask): Promise<Outcome> {
  const head = [
    `${request.method ?? 'GET'} ${request.path ?? '/'} HTTP/1.1`,
    `host: ${request.authority ?? 'origin.test'}`,
    'connection: close',
    ...(request.headers ?? []).map(([name, value]) => `${name}: ${value}`),
  ];
  const text = await exchanged(request, `${head.join('\r\n')}\r\n\r\n`);
  if (typeof text !== 'string') return text;
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
  if (status === undefined) return { kind: 'reset' };
  // The form in which a gRPC client is told the same.
  if (/^grpc-status: 7\r$/m.test(text)) return { kind: 'answered', status: 403, seen: null };
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  const json = body.slice(body.indexOf('{'), body.lastIndexOf('}') + 1);
  const seen = status === '200' && json !== '' ? (JSON.parse(json) as Seen) : null;
  return { kind: 'answered', status: Number(status), seen };
}

/** Opens a connection and says a word to an echo: "open" when it comes back. */
export async function greet(request: Ask): Promise<'open' | 'reset' | 'silent'> {
  const text = await exchanged(request, 'hello\n', (received) => received.endsWith('\n'));
  if (typeof text === 'string') return text === 'hello\n' ? 'open' : 'reset';
  return text.kind === 'silent' ? 'silent' : 'reset';
}

/**
 * Opens a connection to an HTTP origin and says what is no request: "open" when anything comes back. It
 * has to say something, as a rule on server names waits for one.
 */
export async function reaches(request: Ask): Promise<'open' | 'reset' | 'silent'> {
  const answer = await exchanged(request, 'hello\r\n\r\n', () => true);
  return typeof answer === 'string' ? 'open' : answer.kind;
}

/** A datagram, and whether it came back. */
export async function ping(request: Ask): Promise<'open' | 'silent'> {
  const { from, fromIp = '0.0.0.0', to, port, patienceMs = PATIENCE_MS } = request;
  const socket = await from.udp({ ip: fromIp, port: 0 });
  try {
    socket.on('error', () => {});
    const answer = once(socket, 'message').then(() => 'open' as const);
    for (let restMs: number = patienceMs; restMs > 0; restMs -= RESEND_MS) {
      socket.send('hello', port, to);
      const outcome = await Promise.race([answer, sleep(RESEND_MS, 'silent' as const)]);
      if (outcome === 'open') return outcome;
    }
    return 'silent';
  } finally {
    socket.close();
  }
}

function clientOf({ from, fromIp, fromPort, to }: Ask): Socket {
  const family = to.includes(':') ? 6 : 4;
  const local = fromIp === undefined ? null : { ip: fromIp, port: fromPort ?? 0 };
  return from.client(family, local);
}

type IsComplete = (received: string) => boolean;

interface Ended {
  readonly kind: 'reset' | 'silent';
}

/** What came back, or how it ended. No neighbour there is silence, never a refusal: nobody has said anything. */
async function exchanged(
  request: Ask,
  bytes: string,
  isComplete: IsComplete = () => false,
): Promise<string | Ended> {
  const lastMs = performance.now() + (request.patienceMs ?? PATIENCE_MS);
  for (;;) {
    const restMs = lastMs - performance.now();
    if (restMs <= 0) return { kind: 'silent' };
    const outcome = await roundTrip(request, { bytes, isComplete, restMs });
    if (outcome !== null) return outcome;
    await sleep(UNREACHABLE_PAUSE_MS);
  }
}

/** Null: no neighbour answers. */
async function roundTrip(
  request: Ask,
  {
    bytes,
    isComplete,
    restMs,
  }: { readonly bytes: string; readonly isComplete: IsComplete; readonly restMs: number },
): Promise<string | Ended | null> {
  const { to, port } = request;
  const socket = clientOf(request);
  let received = '';
  let isUnreachable = false;
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EHOSTUNREACH') isUnreachable = true;
  });
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
    if (isComplete(received)) socket.end();
  });
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.once('end', () => {
      socket.end();
      resolve();
    });
  });
  socket.connect({ host: to, port });
  socket.write(bytes);
  // The socket keeps the process; a timer that nobody waits for any more does not.
  const patience = sleep(restMs, 'silent', { ref: false });
  const how = await Promise.race([closed.then(() => 'closed'), patience]);
  socket.destroy();
  if (received !== '') return received;
  if (how === 'silent') return { kind: 'silent' };
  return isUnreachable ? null : { kind: 'reset' };
}
