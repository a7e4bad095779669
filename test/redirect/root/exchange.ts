/**
 * What pods do to each other in the end-to-end suite: an origin that tells what it saw, a client that
 * tells what became of one request, and plain TCP and UDP beside them.
 */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from './netns.ts';

/** Beyond this a connection counts as dropped in silence. */
const SILENCE_MS = 1500;
/** How long a datagram may take. */
const STAY_MS = 300;

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
  /** How long it may take until it counts as silent. */
  readonly patienceMs?: number;
}

/** One request on a connection of its own. */
export async function ask(request: Ask): Promise<Outcome> {
  const socket = clientOf(request);
  const head = [
    `${request.method ?? 'GET'} ${request.path ?? '/'} HTTP/1.1`,
    `host: ${request.authority ?? 'origin.test'}`,
    'connection: close',
    ...(request.headers ?? []).map(([name, value]) => `${name}: ${value}`),
  ];
  const text = await roundTrip(socket, request, `${head.join('\r\n')}\r\n\r\n`);
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
  const socket = clientOf(request);
  const text = await roundTrip(socket, request, 'hello\n', (received) => received.endsWith('\n'));
  if (typeof text === 'string') return text === 'hello\n' ? 'open' : 'reset';
  return text.kind === 'silent' ? 'silent' : 'reset';
}

/**
 * Opens a connection to an HTTP origin and says what is no request: "open" when anything comes back. It
 * has to say something, as a rule on server names waits for one.
 */
export async function reaches(request: Ask): Promise<'open' | 'reset' | 'silent'> {
  const answer = await roundTrip(clientOf(request), request, 'hello\r\n\r\n', () => true);
  return typeof answer === 'string' ? 'open' : answer.kind;
}

/** One datagram, and whether it came back. */
export async function ping(request: Ask): Promise<'open' | 'silent'> {
  const { from, fromIp = '0.0.0.0', to, port } = request;
  const socket = await from.udp({ ip: fromIp, port: 0 });
  try {
    socket.on('error', () => {});
    const answer = once(socket, 'message').then(() => 'open' as const);
    socket.send('hello', port, to);
    return await Promise.race([answer, sleep(STAY_MS, 'silent' as const)]);
  } finally {
    socket.close();
  }
}

function clientOf({ from, fromIp, fromPort, to }: Ask): Socket {
  const family = to.includes(':') ? 6 : 4;
  const local = fromIp === undefined ? null : { ip: fromIp, port: fromPort ?? 0 };
  return from.client(family, local);
}

async function roundTrip(
  socket: Socket,
  { to, port, patienceMs = SILENCE_MS }: Ask,
  bytes: string,
  isComplete: (received: string) => boolean = () => false,
): Promise<string | { readonly kind: 'reset' } | { readonly kind: 'silent' }> {
  let received = '';
  socket.on('error', () => {});
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
  const how = await Promise.race([closed.then(() => 'closed'), sleep(patienceMs, 'silent')]);
  socket.destroy();
  if (received !== '') return received;
  if (how === 'silent') return { kind: 'silent' };
  return { kind: 'reset' };
}
