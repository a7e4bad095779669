/**
 * The HTTP/2 origin of the benchmarks: on frames, with our own codec and as little work as Node allows, so
 * that the proxies are what is measured. It answers when a request has come whole: with 34 bytes, /bytes/N
 * with N bytes, a gRPC request with one message, and one for a method named Stream with a hundred.
 *
 *     node bench/peers/http2_origin.ts
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Http2Connection } from '../../src/codec/http2/connection.ts';
import { DATA, FAULT, HEAD, NEED_MORE, TRAILERS } from '../../src/codec/http2/event.ts';
import { SlabPool } from '../../src/codec/http2/slab_pool.ts';
import type { Http2Stream } from '../../src/codec/http2/stream.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { RequestHead } from '../../src/model/request_head.ts';

type Stream = Http2Stream<RequestHead>;
type Connection = Http2Connection<RequestHead>;

const CONTENT = Buffer.from('hello from the origin of the bench');
const BYTES_MAX = 16 * 1024 * 1024;
const STREAMED_COUNT = 100;
/** Not compressed, its length, the bytes. */
const MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 0, CONTENT.length]), CONTENT]);
const GRPC_FIELDS = ['content-type', 'application/grpc'];
const GRPC_OK = { fields: ['grpc-status', '0'], kinds: null, from: 0 };
const LIMITS = { ...DEFAULT_LIMITS, h2StreamCountMax: 256 };

const pool = new SlabPool();
const contents = new Map<string, Buffer>([['', CONTENT]]);

const server = createServer({ noDelay: true }, (socket) => {
  const options = { role: 'server', limits: LIMITS, pool, isPathNormalised: false } as const;
  const connection: Connection = new Http2Connection(options);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    connection.receive(chunk, performance.now());
    if (!readAll(connection)) socket.destroy();
    else writeAll(socket, connection);
  });
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

/** False: the connection is lost. */
function readAll(connection: Connection): boolean {
  for (;;) {
    const event = connection.next();
    if (event === NEED_MORE) return true;
    if (event === FAULT) return false;
    const { facts } = connection;
    if (event === HEAD) {
      facts.stream.context = facts.requestHead;
      if (facts.isEndStream) answer(connection, facts.stream);
    } else if (event === DATA) {
      connection.credit(facts.stream, facts.end - facts.start);
      if (facts.isEndStream) answer(connection, facts.stream);
    } else if (event === TRAILERS) {
      answer(connection, facts.stream);
    }
  }
}

function answer(connection: Connection, stream: Stream): void {
  const head = stream.context;
  if (head?.method === 'POST' && head.field('content-type') === 'application/grpc') {
    answerCall(connection, stream, head.path.endsWith('/Stream') ? STREAMED_COUNT : 1);
    return;
  }
  const content = contentOf(head?.path ?? '');
  const fields = ['content-type', 'text/plain', 'content-length', `${content.length}`];
  connection.respond(stream, { status: 200, fields, isEndStream: false });
  connection.sendData(stream, content, { start: 0, end: content.length, isEndStream: true });
}

function answerCall(connection: Connection, stream: Stream, messageCount: number): void {
  connection.respond(stream, { status: 200, fields: GRPC_FIELDS, isEndStream: false });
  for (let i = 0; i < messageCount; i++) {
    connection.sendData(stream, MESSAGE, { start: 0, end: MESSAGE.length, isEndStream: false });
  }
  connection.sendHeaders(stream, GRPC_OK, true);
}

function contentOf(path: string): Buffer {
  const size = path.startsWith('/bytes/') ? path.slice('/bytes/'.length) : '';
  const known = contents.get(size) ?? Buffer.alloc(Math.min(Number(size), BYTES_MAX), 'x');
  contents.set(size, known);
  return known;
}

function writeAll(socket: Socket, connection: Connection): void {
  socket.cork();
  for (const buffer of connection.take()) socket.write(buffer);
  connection.written();
  socket.uncork();
}
