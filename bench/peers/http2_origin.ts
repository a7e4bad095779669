/**
 * The HTTP/2 origin of the benchmarks: on frames, with our own codec and as little work as Node allows, so
 * that the proxies are what is measured.
 *
 *     node bench/peers/http2_origin.ts
 */
import { type AddressInfo, createServer } from 'node:net';
import { Http2Connection } from '../../src/codec/http2/connection.ts';
import { FAULT, HEAD, NEED_MORE } from '../../src/codec/http2/event.ts';
import { SlabPool } from '../../src/codec/http2/slab_pool.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';

const CONTENT = Buffer.from('hello from the origin of the bench');
const FIELDS = ['content-type', 'text/plain', 'content-length', `${CONTENT.length}`];
const WHOLE = { start: 0, end: CONTENT.length, isEndStream: true };
const pool = new SlabPool();

const server = createServer({ noDelay: true }, (socket) => {
  const limits = { ...DEFAULT_LIMITS, h2StreamCountMax: 256 };
  const connection = new Http2Connection({ role: 'server', limits, pool, isPathNormalised: false });
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    connection.receive(chunk, performance.now());
    for (;;) {
      const event = connection.next();
      if (event === NEED_MORE) break;
      if (event === FAULT) {
        socket.destroy();
        return;
      }
      if (event !== HEAD) continue;
      const { stream } = connection.facts;
      connection.respond(stream, { status: 200, fields: FIELDS, isEndStream: false });
      connection.sendData(stream, CONTENT, WHOLE);
    }
    socket.cork();
    for (const buffer of connection.take()) socket.write(buffer);
    connection.written();
    socket.uncork();
  });
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
