/**
 * The HTTPS server that API servers ask: POST /validate; GET /livez and /readyz. Bounds on connections, bodies and
 * time; certificates are replaced while it serves.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { HeldBytes } from '../../codec/http1/held_bytes.ts';
import type { Limits } from '../../model/limits.ts';
import type { DocumentLimits } from '../../text/document_bounds.ts';
import type { KeyPair } from './certificate.ts';
import { ClientConnections, clientOf } from './client_connections.ts';
import { type HeldReview, HeldReviews } from './held_reviews.ts';
import { failure, type ReviewOutcome, type ReviewReply, UNJUDGED } from './reply.ts';
import { tenantOf } from './review_sender.ts';
import type { ReviewThreads } from './review_threads.ts';

export interface ReviewServerOptions {
  readonly limits: DocumentLimits &
    Pick<
      Limits,
      | 'admissionBodyBytesMax'
      | 'admissionClientBytesMax'
      | 'admissionClientConnectionCountMax'
      | 'admissionConnectionCountMax'
      | 'admissionMemoryBytesMax'
      | 'admissionReviewTimeoutMs'
    >;
  readonly threads: ReviewThreads;
  /** Null: ready; else why not. */
  readonly notReady: () => string | null;
  readonly onReview: (outcome: ReviewOutcome) => void;
}

const HEAD_BYTES_MAX = 16 * 1024;
const HANDSHAKE_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
/** What an API server waits is between 1 and 30 s, and it says so; some of it is for the way. */
const ON_THE_WAY_MS = 500;

export class ReviewServer {
  readonly #options: ReviewServerOptions;
  readonly #server: Server;
  readonly #held: HeldReviews;
  #isDraining = false;

  constructor(options: ReviewServerOptions, pair: KeyPair) {
    this.#options = options;
    const { limits } = options;
    const { admissionReviewTimeoutMs } = limits;
    this.#held = new HeldReviews({
      bytesMax: limits.admissionMemoryBytesMax,
      clientBytesMax: limits.admissionClientBytesMax,
    });
    this.#server = createServer(
      {
        ...tlsOf(pair),
        maxHeaderSize: HEAD_BYTES_MAX,
        handshakeTimeout: HANDSHAKE_MS,
        headersTimeout: admissionReviewTimeoutMs,
        requestTimeout: admissionReviewTimeoutMs,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: 1000,
      },
      (request, response) => void this.#serve(request, response),
    );
    const connections = new ClientConnections({
      countMax: limits.admissionConnectionCountMax,
      clientCountMax: limits.admissionClientConnectionCountMax,
    });
    this.#server.on('connection', (socket) => connections.add(socket));
    // Who shakes hands badly, or is reset, is no concern of others.
    this.#server.on('tlsClientError', (_, socket) => socket.destroy());
    this.#server.on('clientError', (_, socket) => (socket as Socket).destroy());
  }

  /** The port that was bound. Rejects with what the system says. */
  listen({ host, port }: { readonly host: string | null; readonly port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, ...(host === null ? {} : { host }) }, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Of the next handshakes. */
  renew(pair: KeyPair): void {
    this.#server.setSecureContext(tlsOf(pair));
  }

  /** Not ready from now on, and no connection is kept; it goes on to answer. */
  drain(): void {
    this.#isDraining = true;
    this.#server.closeIdleConnections();
  }

  /** What is being answered is finished. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
  }

  closeAll(): void {
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {});
    const { path, query } = targetOf(request.url ?? '');
    if (this.#isDraining) response.setHeader('connection', 'close');
    if (path === '/livez') {
      end(response, 200, 'ok\n');
    } else if (path === '/readyz') {
      const problem = this.#isDraining ? 'draining' : this.#options.notReady();
      end(response, problem === null ? 200 : 503, `${problem ?? 'ok'}\n`);
    } else if (path !== '/validate') {
      end(response, 404, 'there is /validate, /livez and /readyz\n');
    } else if (request.method !== 'POST') {
      response.setHeader('allow', 'POST');
      end(response, 405, 'reviews come by POST\n');
    } else {
      await this.#review(request, response, query);
    }
  }

  async #review(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    const { limits, threads, onReview } = this.#options;
    const client = clientOf(request.socket);
    const dropping = new AbortController();
    const { signal } = dropping;
    const drop = (): void => dropping.abort();
    const held: HeldReview = { client, tenant: undefined, bytes: 0, drop };
    // Who has gone away leaves no place taken.
    response.on('close', drop);
    const timeoutMs = timeoutOf(query, limits.admissionReviewTimeoutMs);
    try {
      const read = await this.#read(request, { held, signal });
      if (read.kind === 'gone') return;
      held.tenant = read.kind === 'text' ? tenantOf(read.text, limits) : null;
      const sender = { client, tenant: held.tenant };
      const reply =
        read.kind === 'text'
          ? await threads.judge(read.text, { sender, timeoutMs, signal })
          : read.reply;
      if (response.closed) return;
      onReview(reply.outcome);
      // What is left of a body that nobody reads would be taken for the next request.
      if (read.kind === 'reply') response.setHeader('connection', 'close');
      endReply(response, reply);
    } finally {
      this.#held.release(held);
    }
  }

  #read(
    request: IncomingMessage,
    { held, signal }: { readonly held: HeldReview; readonly signal: AbortSignal },
  ): Promise<Body> {
    const { admissionBodyBytesMax } = this.#options.limits;
    return new Promise((resolve) => {
      // In one piece: a sender may make chunks of one byte, and each would cost three hundred.
      const body = new HeldBytes();
      const finish = (read: Body): void => {
        signal.removeEventListener('abort', drop);
        request.removeAllListeners('data');
        body.release();
        resolve(read);
      };
      const refuse = (reply: ReviewReply): void => {
        request.pause();
        finish({ kind: 'reply', reply });
      };
      const drop = (): void => refuse(OVERLOADED);
      signal.addEventListener('abort', drop);
      request.on('data', (chunk: Buffer) => {
        const hasRoom = this.#held.grow(held, chunk.length);
        if (held.bytes > admissionBodyBytesMax) refuse(tooLarge(admissionBodyBytesMax));
        else if (!hasRoom) refuse(OVERLOADED);
        else body.append(chunk, 0, chunk.length);
      });
      request.on('end', () => {
        finish({ kind: 'text', text: body.buffer.toString('utf8', 0, body.length) });
      });
      request.on('error', () => finish({ kind: 'gone' }));
      request.on('close', () => finish({ kind: 'gone' }));
    });
  }
}

const OVERLOADED = failure(UNJUDGED, 'overloaded', 'too many reviews are being read');

function tooLarge(bytesMax: number): ReviewReply {
  return failure(413, 'too-large', `the review has more than ${bytesMax} bytes`);
}

function tlsOf({ certificate, key }: KeyPair): {
  cert: string;
  key: string;
  minVersion: 'TLSv1.2';
} {
  return { cert: certificate, key, minVersion: 'TLSv1.2' };
}

function targetOf(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const [path = '', query = ''] = target.split('?', 2);
  return { path, query: new URLSearchParams(query) };
}

/** An API server says how long it waits: "timeout=10s". */
function timeoutOf(query: URLSearchParams, maxMs: number): number {
  const [, seconds = ''] = /^([0-9]{1,3})s$/.exec(query.get('timeout') ?? '') ?? [];
  if (seconds === '') return maxMs;
  return Math.min(maxMs, Math.max(1, Number(seconds) * 1000 - ON_THE_WAY_MS));
}

type Body =
  | { readonly kind: 'text'; readonly text: string }
  /** Nobody reads the rest of it. */
  | { readonly kind: 'reply'; readonly reply: ReviewReply }
  | { readonly kind: 'gone' };

function endReply(response: ServerResponse, { status, body }: ReviewReply): void {
  const type = status === 200 ? 'application/json' : 'text/plain; charset=utf-8';
  end(response, status, body, type);
}

function end(
  response: ServerResponse,
  status: number,
  body: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
