import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { openIdleConnections } from '../../../bench/loads/idle_connections.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(answer: string): Promise<{ url: string; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('data', () => socket.write(answer));
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets };
}

describe('idle connections', () => {
  it('are all open until they are closed', async () => {
    const { url, sockets } = await serve(OK);
    const idle = await openIdleConnections(url, '/', 150);
    expect(sockets.size).toBe(150);
    const closed = Promise.all([...sockets].map((socket) => once(socket, 'close')));
    await idle.close();
    await closed;
    expect(sockets.size).toBe(0);
  });

  it('that the server closes are told', async () => {
    const { url, sockets } = await serve(OK);
    const idle = await openIdleConnections(url, '/', 20);
    const some = [...sockets].slice(0, 3);
    // The client has seen the end when it ends its own side.
    await Promise.all(
      some.map((socket) => {
        socket.end();
        return once(socket, 'close');
      }),
    );
    await expect(idle.close()).rejects.toThrow('3 of 20 idle connections were closed');
  });

  it('are not opened on a server that refuses', async () => {
    const { url } = await serve('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n');
    await expect(openIdleConnections(url, '/', 5)).rejects.toThrow('status 503');
  });
});
