/**
 * What one would write by hand: a node:http2 server, the same two rules with RE2, and a node:http2 client
 * towards the origin.
 *
 *     node bench/peers/node_http2.ts ORIGIN_URL
 */
import { connect, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import RE2 from 're2';

const orders = new RE2('^(?:/orders/[0-9]+)$');
const upstream = connect(process.argv[2] as string);

const server = createServer();
server.on('stream', (stream: ServerHttp2Stream, headers) => {
  stream.on('error', () => {});
  const path = headers[':path'] ?? '';
  if (headers[':method'] !== 'GET' || (path !== '/health' && !orders.test(path))) {
    stream.respond({ ':status': 403 });
    stream.end('Access denied\r\n');
    return;
  }
  const asked = upstream.request({ ':method': 'GET', ':path': path });
  asked.on('error', () => stream.close());
  asked.on('response', ({ ':status': status = 502, 'content-type': type }) => {
    if (stream.destroyed) return;
    stream.respond({ ':status': status, ...(type === undefined ? {} : { 'content-type': type }) });
    asked.pipe(stream);
  });
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
