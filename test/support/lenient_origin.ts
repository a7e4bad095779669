/**
 * An upstream on Node's own HTTP server, made as forgiving as it can be: what it reads is what a
 * careless server behind us would read.
 */
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Signal } from './signal.ts';

export interface SeenRequest {
  readonly line: string;
  /** Of the content that arrived; '' when the request was cut short. */
  hash: string;
  isComplete: boolean;
}

export class LenientOrigin {
  readonly seen: SeenRequest[] = [];
  /** Bytes that Node's server refused. */
  readonly refused: string[] = [];
  readonly #server: Server;
  readonly #signal = new Signal();
  #closedCount = 0;

  private constructor() {
    this.#server = createServer({ insecureHTTPParser: true, keepAliveTimeout: 0 });
    this.#server.on('request', (request, response) => {
      const seen = { line: `${request.method} ${request.url}`, hash: '', isComplete: false };
      this.seen.push(seen);
      const hash = createHash('sha256');
      request.on('data', (chunk: Buffer) => hash.update(chunk));
      request.on('error', () => {});
      request.on('end', () => {
        seen.hash = hash.digest('hex');
        seen.isComplete = true;
        response.end('ok');
      });
    });
    this.#server.on('connection', (socket) => {
      socket.on('close', () => {
        this.#closedCount += 1;
        this.#signal.raise();
      });
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code?.startsWith('HPE_') === true) this.refused.push(error.code);
      socket.destroy();
    });
  }

  static async start(): Promise<LenientOrigin> {
    const origin = new LenientOrigin();
    await new Promise<void>((resolve) => origin.#server.listen(0, '127.0.0.1', resolve));
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Until so many connections are over, with all that came on them. */
  untilClosed(count: number): Promise<void> {
    return this.#signal.until(
      () => this.#closedCount >= count,
      () => `${count} closed connections at the origin, ${this.#closedCount} so far`,
    );
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export function hashOf(content: string): string {
  return createHash('sha256').update(Buffer.from(content, 'latin1')).digest('hex');
}
