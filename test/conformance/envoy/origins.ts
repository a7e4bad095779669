/** Upstreams that answer with what they saw: the request line and Host at HTTP/1.1, the pseudo-fields at HTTP/2. */
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export interface Origins {
  readonly http1Port: number;
  readonly http2Port: number;
  stop(): void;
}

const HEAD_BYTES_MAX = 256 * 1024;

export async function startOrigins(): Promise<Origins> {
  const sockets = new Set<Socket>();
  const http1 = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    echo(socket);
  });
  const http2 = createHttp2Server();
  http2.on('session', (session) => session.on('error', () => session.destroy()));
  http2.on('stream', (stream: ServerHttp2Stream, headers) => {
    const seen = [headers[':method'], headers[':path'], headers[':authority'] ?? headers.host];
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.end(seen.join(' '));
  });
  const [http1Port, http2Port] = [await listen(http1), await listen(http2 as unknown as Server)];
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    http1.close();
    http2.close();
  };
  return { http1Port, http2Port, stop };
}

function echo(socket: Socket): void {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end === -1) {
      if (text.length > HEAD_BYTES_MAX) socket.destroy();
      return;
    }
    const [line = '', ...fields] = text.slice(0, end).split('\r\n');
    const host = fields.find((field) => /^host:/i.test(field)) ?? '';
    const seen = `${line.replace(/ HTTP\/1\.[01]$/, '')} ${host.slice(5).trim()}`;
    const head = `HTTP/1.1 200 OK\r\ncontent-length: ${seen.length}\r\nconnection: close\r\n\r\n`;
    socket.end(Buffer.from(head + seen, 'latin1'));
  });
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}
