/**
 * What one would write by hand: a node:http server, the same two rules with RE2, and undici's Pool
 * towards the origin.
 *
 *     node bench/peers/node_undici.ts ORIGIN_URL
 */
import { createServer } from 'node:http';
import RE2 from 're2';
import { Pool } from 'undici';

const pool = new Pool(process.argv[2] as string, { connections: 64, pipelining: 1 });
const orders = new RE2('^(?:/orders/[0-9]+)$');

const server = createServer(async (request, reply) => {
  const path = request.url ?? '';
  const isAllowed = request.method === 'GET' && (path === '/health' || orders.test(path));
  if (!isAllowed) {
    reply.writeHead(403, { 'content-type': 'text/plain' }).end('Access denied\r\n');
    return;
  }
  try {
    const response = await pool.request({
      path,
      method: 'GET',
      headers: request.headers.host === undefined ? {} : { host: request.headers.host },
    });
    reply.writeHead(response.statusCode, response.headers as Record<string, string | string[]>);
    response.body.pipe(reply);
  } catch {
    reply.writeHead(503).end();
  }
});

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  console.log(`listening http://127.0.0.1:${port}`);
});
