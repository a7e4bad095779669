/**
 * The client of a bench: undici's pools, one for each listener and one for the origin, every connection
 * kept and never pipelined on, so that a request's latency is its own.
 */
import { connect } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { REQUEST_TIMEOUT_MS } from './bounds.ts';
import type { SentRequest } from './plan.ts';
import type { Seen } from './status.ts';

export interface Target {
  /** "127.0.0.1:8080" */
  readonly address: string;
  readonly connectionCount: number;
  /** Sent first on each connection. */
  readonly preamble: string;
}

const KEEP_ALIVE_MS = 60_000;

export function openPool({ address, connectionCount, preamble }: Target): Pool {
  return new Pool(`http://${address}`, {
    connections: connectionCount,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    bodyTimeout: REQUEST_TIMEOUT_MS,
    connect: (options, callback) => {
      const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
      const socket = connect({ host, port: Number(options.port), noDelay: true });
      socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
      const failed = (error: Error): void => callback(error, null);
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.setTimeout(0);
        socket.off('error', failed);
        if (preamble !== '') socket.write(preamble, 'latin1');
        callback(null, socket);
      });
    },
  });
}

export function dispatchOptions({
  method,
  path,
  headers,
}: SentRequest): Dispatcher.DispatchOptions {
  // reset: also after HEAD the connection is kept.
  return { method, path, headers, reset: false };
}

export interface Asked extends Seen {
  /** What the client would not send, or what ended the connection; null for an answer. */
  readonly error: (Error & { readonly code?: string }) | null;
}

/** One request; never rejects. */
export function ask(pool: Dispatcher, request: SentRequest): Promise<Asked> {
  return new Promise((resolve) => {
    let status = 0;
    let grpcStatus = '';
    pool.dispatch(dispatchOptions(request), {
      onRequestStart() {},
      onResponseStart(_controller, code, headers) {
        status = code;
        grpcStatus = grpcStatusOf(headers);
      },
      onResponseData() {},
      onResponseEnd: () => resolve({ status, grpcStatus, error: null }),
      onResponseError: (_controller, error) => resolve({ status: 0, grpcStatus: '', error }),
    });
  });
}

export function grpcStatusOf(headers: {
  readonly 'grpc-status'?: string | string[] | undefined;
}): string {
  const value = headers['grpc-status'];
  return value === undefined ? '' : String(value);
}

/** Codes of errors that are about the request itself: it never left. */
const REFUSED_BY_CLIENT: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
]);

export function isRefusedByClient({ error }: Asked): boolean {
  return error?.code !== undefined && REFUSED_BY_CLIENT.has(error.code);
}
