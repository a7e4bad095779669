/**
 * What one would write by hand: a node:http2 server, the rules with RE2, and a node:http2 client towards
 * the origin.
 *
 *     node bench/peers/node_http2.ts ORIGIN_URL RULES [LOG]
 */
import {
  connect,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { openLog, readRules } from './rules.ts';

const [originUrl = '', rulesPath = '', logPath] = process.argv.slice(2);
const upstream = connect(originUrl);
const isAllowed = readRules(rulesPath);
const log = openLog(logPath);

const server = createServer();
server.on('stream', (stream: ServerHttp2Stream, headers) => {
  stream.on('error', () => {});
  const path = headers[':path'] ?? '';
  const method = headers[':method'] ?? '';
  if (!isAllowed(method, path)) {
    log(method, path, 403);
    stream.respond({ ':status': 403 });
    stream.end('Access denied\r\n');
    return;
  }
  const asked = upstream.request({ ...headers, ':method': method, ':path': path });
  stream.pipe(asked);
  asked.on('error', () => stream.close());
  asked.on('response', (response) => {
    log(method, path, response[':status'] ?? 0);
    if (stream.destroyed) return;
    stream.respond(answer(response), { waitForTrailers: true });
    let trailers: OutgoingHttpHeaders = {};
    asked.on('trailers', (received) => {
      trailers = fieldsOf(received);
    });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    asked.pipe(stream);
  });
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

function answer(
  response: IncomingHttpHeaders & { ':status'?: number | undefined },
): OutgoingHttpHeaders {
  return { ...fieldsOf(response), ':status': response[':status'] ?? 502 };
}

function fieldsOf(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(':')) fields[name] = value;
  }
  return fields;
}
