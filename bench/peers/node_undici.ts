/**
 * What one would write by hand: a node:http server, the rules with RE2, and undici's Pool towards the
 * origin.
 *
 *     node bench/peers/node_undici.ts ORIGIN_URL RULES [LOG]
 */
import { createServer } from 'node:http';
import { Pool } from 'undici';
import { openLog, readRules } from './rules.ts';

const [originUrl = '', rulesPath = '', logPath] = process.argv.slice(2);
const pool = new Pool(originUrl, { connections: 1024, pipelining: 1 });
const isAllowed = readRules(rulesPath);
const log = openLog(logPath);

const server = createServer(async (request, reply) => {
  const path = request.url ?? '';
  const method = request.method ?? '';
  if (!isAllowed(method, path)) {
    log(method, path, 403);
    request.resume();
    reply.writeHead(403, { 'content-type': 'text/plain' }).end('Access denied\r\n');
    return;
  }
  try {
    const hasContent = method !== 'GET' && method !== 'HEAD';
    const response = await pool.request({
      path,
      method: method as 'GET',
      headers: withoutHop(request.headers),
      body: hasContent ? request : null,
    });
    log(method, path, response.statusCode);
    reply.writeHead(response.statusCode, response.headers as Record<string, string | string[]>);
    response.body.pipe(reply);
  } catch {
    if (!reply.headersSent) reply.writeHead(503);
    reply.end();
  }
});

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  console.log(`listening http://127.0.0.1:${port}`);
});

function withoutHop(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP.has(name)) kept[name] = value;
  }
  return kept;
}

const HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'expect', 'upgrade']);
