#!/usr/bin/env node
/**
 * sallyport-metrics ADDRESS:PORT [SOCKET]: GET /metrics of the admin socket for Prometheus, and nothing
 * else of it: the admin server has no authentication, and can drain the proxy.
 *
 * The port is shared (SO_REUSEPORT): on the host's network the pods of a rolling update stand beside each
 * other for as long as the old one drains.
 */
import { createServer, request } from 'node:http';

const BODY_BYTES_MAX = 64 * 1024 * 1024;
const TIMEOUT_MS = 10_000;

const [address = '', socketPath = '/run/sallyport/admin/admin.sock'] = process.argv.slice(2);
const [, host, port] = /^\[?([^\]]*)\]?:(\d+)$/.exec(address) ?? [];
if (port === undefined) {
  console.error('usage: sallyport-metrics ADDRESS:PORT [SOCKET]');
  process.exit(2);
}

const server = createServer((asked, answer) => {
  const isWanted = asked.method === 'GET' && /^\/metrics(\?|$)/.test(asked.url);
  if (!isWanted) {
    answer.writeHead(404, { 'content-type': 'text/plain' }).end('only GET /metrics\n');
    return;
  }
  scrape(
    (type, body) => answer.writeHead(200, { 'content-type': type }).end(body),
    (problem) => answer.writeHead(503, { 'content-type': 'text/plain' }).end(`${problem}\n`),
  );
});
server.requestTimeout = TIMEOUT_MS;
server.headersTimeout = TIMEOUT_MS;
server.maxConnections = 16;
server.on('error', (error) => {
  console.error(`sallyport-metrics: ${address}: ${error.message}`);
  process.exit(1);
});
server.listen({ host, port: Number(port), reusePort: true });
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));

function scrape(onBody, onProblem) {
  const path = '/metrics';
  const asked = request({ socketPath, path, timeout: TIMEOUT_MS }, (response) => {
    const chunks = [];
    let size = 0;
    response.on('data', (chunk) => {
      size += chunk.length;
      if (size > BODY_BYTES_MAX) asked.destroy(new Error('too much'));
      else chunks.push(chunk);
    });
    response.on('end', () => {
      if (response.statusCode === 200)
        onBody(response.headers['content-type'], Buffer.concat(chunks));
      else onProblem(`the proxy answered ${response.statusCode}`);
    });
    response.on('error', (error) => onProblem(error.message));
  });
  asked.on('timeout', () => asked.destroy(new Error('no answer')));
  asked.on('error', (error) => onProblem(error.message));
  asked.end();
}
