/** node:http2 as both peers of the HTTP/2 relay: an origin that echoes, and a client that asks. */
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import type { AddressInfo } from 'node:net';

export interface SeenRequest {
  readonly headers: IncomingHttpHeaders;
  readonly byteLength: number;
}

export type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

export class Http2Origin {
  readonly seen: SeenRequest[] = [];
  readonly sessions: ServerHttp2Session[] = [];
  readonly #server: Http2Server;

  constructor(server: Http2Server) {
    this.#server = server;
    server.on('session', (session) => {
      this.sessions.push(session);
      session.on('error', () => {});
    });
  }

  /** Without a handler every request is answered with the number of its content bytes. */
  static async start(
    options: { handler?: StreamHandler; settings?: Settings } = {},
  ): Promise<Http2Origin> {
    const server = createServer({ settings: options.settings ?? {} });
    const origin = new Http2Origin(server);
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', () => {});
      if (options.handler !== undefined) options.handler(stream, headers);
      else origin.#echo(stream, headers);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): void {
    for (const session of this.sessions) session.destroy();
    this.#server.close();
  }

  #echo(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    let byteLength = 0;
    stream.on('data', (chunk: Buffer) => {
      byteLength += chunk.length;
    });
    stream.on('end', () => {
      this.seen.push({ headers, byteLength });
      stream.respond({ ':status': 200, 'content-type': 'text/plain' });
      stream.end(`${headers[':method']} ${headers[':path']} ${byteLength}`);
    });
  }
}

export interface Http2Answer {
  /** 0: the stream ended without a response. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly trailers: IncomingHttpHeaders;
  readonly text: string;
  readonly byteLength: number;
  readonly resetCode: number;
}

export class Http2Client {
  readonly session: ClientHttp2Session;

  constructor(port: number) {
    // What waits to be sent counts, too; at 10 MB node:http2 refuses what comes.
    this.session = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 100 });
    this.session.on('error', () => {});
  }

  ask(headers: OutgoingHttpHeaders, content?: Buffer): Promise<Http2Answer> {
    return new Promise((resolve) => {
      const stream = this.session.request(headers, { endStream: content === undefined });
      let answer: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
      let trailers: IncomingHttpHeaders = {};
      const chunks: Buffer[] = [];
      stream.on('response', (received) => {
        answer = received;
      });
      stream.on('trailers', (received) => {
        trailers = received;
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', () => {});
      stream.on('close', () => {
        const bytes = Buffer.concat(chunks);
        resolve({
          status: Number(answer[':status'] ?? 0),
          headers: answer,
          trailers,
          text: bytes.subarray(0, 100).toString(),
          byteLength: bytes.length,
          resetCode: stream.rstCode ?? 0,
        });
      });
      if (content !== undefined) stream.end(content);
    });
  }

  close(): void {
    this.session.destroy();
  }
}
