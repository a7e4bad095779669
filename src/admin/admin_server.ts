/**
 * The admin server: health, metrics, policies, explain, drain, over plain HTTP on a loopback address
 * or a unix socket. It is for operators and never sees the proxied traffic; it has no authentication,
 * so it binds nothing that other machines reach unless it is told to.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Config } from '../config/config.ts';
import { formatSocketAddress, isLoopback } from '../model/address.ts';
import type { Limits } from '../model/limits.ts';
import {
  freeSocketPath,
  protectSocket,
  SOCKET_IN_USE,
  socketErrorText,
} from '../platform/unix_socket.ts';
import { bindErrorText } from '../workers/port_probe.ts';
import { AdminSeats } from './admin_seats.ts';
import { AdminTurns } from './admin_turns.ts';
import { type AdminBackend, BusyError } from './backend.ts';
import { Follower } from './follow.ts';
import { type AdminReply, errorReply, type LineFeed } from './reply.ts';
import { refusal } from './request_guard.ts';
import { ROUTES } from './routes.ts';

export type AdminAddress = Exclude<Config['admin'], { kind: 'none' }>;

export interface AdminServerOptions {
  readonly address: AdminAddress;
  /** Lets it bind an address that other machines reach. */
  readonly allowRemote: boolean;
  readonly limits: Limits;
  readonly backend: AdminBackend;
}

export type AdminStart =
  /** "127.0.0.1:9901" with the port that was bound, or "unix:/path". */
  | { readonly kind: 'listening'; readonly address: string }
  /** `isInUse`: another program has the address; it can be tried again. */
  | { readonly kind: 'failed'; readonly message: string; readonly isInUse: boolean };

export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: Server;
  readonly #seats: AdminSeats;
  readonly #turns = new AdminTurns();

  constructor(options: AdminServerOptions) {
    this.#options = options;
    const { adminTimeoutMs, adminConnectionCountMax, sweepIntervalMs } = options.limits;
    this.#server = createServer(
      {
        maxHeaderSize: options.limits.headBytesMax,
        headersTimeout: adminTimeoutMs,
        requestTimeout: adminTimeoutMs,
        keepAliveTimeout: adminTimeoutMs,
        connectionsCheckingInterval: Math.max(sweepIntervalMs, 100),
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#seats = new AdminSeats(adminConnectionCountMax);
    this.#server.on('connection', (socket) => this.#seats.take(socket));
    this.#server.maxHeadersCount = options.limits.headFieldCountMax;
    // A client that does not read its reply is let go, too.
    this.#server.setTimeout(adminTimeoutMs, (socket) => socket.destroy());
  }

  async start(): Promise<AdminStart> {
    const { address, allowRemote } = this.#options;
    if (address.kind === 'unix') return this.#startUnix(address.path);
    const { ip, port } = address.address;
    if (!allowRemote && !isLoopback(address.address)) {
      const text = formatSocketAddress(ip, port);
      return failed(text, 'other machines reach this address; it must be allowed explicitly');
    }
    const error = await this.#listen({ host: ip, port });
    if (error !== null) {
      return failed(formatSocketAddress(ip, port), bindErrorText(error), error === 'EADDRINUSE');
    }
    const bound = this.#server.address();
    const boundPort = bound !== null && typeof bound === 'object' ? bound.port : port;
    return { kind: 'listening', address: formatSocketAddress(ip, boundPort) };
  }

  /** Lets requests that are being answered finish; idle connections are closed. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
      const timer = setTimeout(
        () => this.#server.closeAllConnections(),
        this.#options.limits.adminTimeoutMs,
      );
      timer.unref();
    });
  }

  async #startUnix(path: string): Promise<AdminStart> {
    const inUse = await freeSocketPath(path);
    if (inUse !== null) return failed(`unix:${path}`, inUse, inUse === SOCKET_IN_USE);
    const error = await this.#listen({ path });
    if (error !== null) {
      return failed(`unix:${path}`, socketErrorText(error), error === 'EADDRINUSE');
    }
    protectSocket(path);
    return { kind: 'listening', address: `unix:${path}` };
  }

  #listen(where: { path: string } | { host: string; port: number }): Promise<string | null> {
    return new Promise((resolve) => {
      const onError = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message);
      this.#server.once('error', onError);
      this.#server.listen({ ...where, exclusive: true }, () => {
        this.#server.off('error', onError);
        this.#server.on('error', (error) => this.#options.backend.onError('admin', error));
        resolve(null);
      });
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const turn = this.#turns.take(request.socket, response);
    if (turn === null) {
      request.socket.destroy();
      return;
    }
    await turn;
    this.#seats.asked(request.socket, response);
    try {
      const reply = await this.#replyTo(request);
      if (reply !== CLIENT_GONE && reply.more !== undefined) {
        this.#sendMore({ request, response }, reply, reply.more);
        return;
      }
      this.#seats.answered(request.socket);
      if (reply === CLIENT_GONE) response.destroy();
      else send(request, response, reply);
    } catch (error) {
      this.#seats.answered(request.socket);
      if (!(error instanceof BusyError)) this.#options.backend.onError('admin', error);
      if (response.headersSent) response.destroy();
      else send(request, response, replyToError(error));
    }
  }

  /** It keeps its seat, as one that is being answered. */
  #sendMore(
    exchange: { readonly request: IncomingMessage; readonly response: ServerResponse },
    reply: AdminReply,
    more: LineFeed,
  ): void {
    const { request, response } = exchange;
    response.writeHead(reply.status, headersOf(request, reply));
    response.flushHeaders();
    if (request.method === 'HEAD') {
      more.close();
      response.end();
      return;
    }
    if (reply.body !== '') response.write(reply.body);
    new Follower(exchange, more, this.#options.limits.adminTimeoutMs).start();
  }

  async #replyTo(request: IncomingMessage): Promise<AdminReply | typeof CLIENT_GONE> {
    const why = refusal(request, this.#options.address.kind === 'unix');
    if (why !== null) return errorReply(403, why);
    const target = request.url ?? '';
    // Origin form only: a path and a query, never a host of its own.
    if (!target.startsWith('/')) return errorReply(400, 'the request target must be a path');
    const queryStart = target.indexOf('?');
    const path = queryStart === -1 ? target : target.slice(0, queryStart);
    const route = ROUTES.get(path);
    if (route === undefined) return errorReply(404, 'no such path; GET / lists them');
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
    if (!route.methods.includes(method)) {
      return { ...errorReply(405, `allowed: ${route.methods.join(', ')}`), allow: route.methods };
    }
    const body = await readBody(request, this.#options.limits.adminBodyBytesMax);
    if (body === CLIENT_GONE) return CLIENT_GONE;
    if (body === TOO_LARGE) return errorReply(413, 'the content is too large');
    if (this.#seats.isCrowded && !isHealth(path)) {
      return errorReply(503, 'too many requests are being answered');
    }
    this.#seats.working(request.socket);
    const query = new URLSearchParams(queryStart === -1 ? '' : target.slice(queryStart + 1));
    return route.answer({ method, query, body }, this.#options.backend);
  }
}

function replyToError(error: unknown): AdminReply {
  return error instanceof BusyError
    ? errorReply(503, error.message)
    : errorReply(500, 'internal error');
}

function isHealth(path: string): boolean {
  return path.startsWith('/healthz/');
}

const TOO_LARGE = Symbol('too large');
/** Closed, or ran into a time-out, before its request was complete. */
const CLIENT_GONE = Symbol('client gone');

async function readBody(
  request: IncomingMessage,
  bytesMax: number,
): Promise<string | typeof TOO_LARGE | typeof CLIENT_GONE> {
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) return TOO_LARGE;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    // The reply still goes over the connection when reading ends early.
    const content: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
    for await (const chunk of content) {
      length += chunk.length;
      if (length > bytesMax) return TOO_LARGE;
      chunks.push(chunk);
    }
  } catch {
    return CLIENT_GONE;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(request: IncomingMessage, response: ServerResponse, reply: AdminReply): void {
  const body = Buffer.from(reply.body);
  response.writeHead(reply.status, {
    ...headersOf(request, reply),
    'content-length': body.length,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function headersOf(request: IncomingMessage, reply: AdminReply): Record<string, string> {
  return {
    'content-type': reply.contentType,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(reply.allow === undefined ? {} : { allow: reply.allow.join(', ') }),
    // Content that was not read would be taken for the next request.
    ...(request.complete ? {} : { connection: 'close' }),
  };
}

function failed(address: string, message: string, isInUse = false): AdminStart {
  return { kind: 'failed', message: `admin ${address}: ${message}`, isInUse };
}
