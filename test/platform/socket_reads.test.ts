/**
 * Sockets that share the memory into which they are read, over the loopback: what one is given is never
 * changed by what comes later, and everything else is as with any socket. Another Node that no longer lets a
 * connection be taken over shows itself here.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { sharedReads, takeOver } from '../../src/platform/socket_reads.ts';
import { settled } from '../support/settled.ts';

const BUFFER = 16 * 1024;
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

interface Taken {
  readonly socket: Socket;
  readonly chunks: readonly Buffer[];
}

describe('what is read', () => {
  it('stays as it was for whoever keeps it, however much comes on other sockets', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.array(sizes, { minLength: 1, maxLength: 4 }), async (connections) => {
        const pairs = await Promise.all(connections.map(() => pair()));
        await Promise.all(
          connections.map(async (pieces, number) => {
            const { client } = pairs[number] as Pair;
            for (const [index, size] of pieces.entries()) {
              client.write(pattern(size, number * 31 + index));
              await new Promise(setImmediate);
            }
            client.end();
          }),
        );
        for (const [number, pieces] of connections.entries()) {
          const { taken } = pairs[number] as Pair;
          if (!taken.socket.readableEnded) await once(taken.socket, 'end');
          const expected = Buffer.concat(pieces.map((size, i) => pattern(size, number * 31 + i)));
          expect(Buffer.concat(taken.chunks).equals(expected)).toBe(true);
        }
        for (const { client, taken } of pairs) {
          client.destroy();
          taken.socket.destroy();
        }
      }),
      { numRuns: 40 },
    );
  });

  it('takes no more memory than its size, and a small slab for many small ones', async () => {
    const { client, taken } = await pair();
    for (let n = 0; n < 3; n++) {
      client.write('x'.repeat(10));
      await untilBytes(taken, (n + 1) * 10);
    }
    client.write('y'.repeat(6000));
    await untilBytes(taken, 6030);
    const memory = new Set(taken.chunks.map(({ buffer }) => buffer));
    for (const { byteLength } of memory) expect(byteLength).toBeLessThanOrEqual(16 * 1024);
    expect(memory.size).toBeLessThan(taken.chunks.length + 1);
    destroy({ client, taken });
  });
});

describe('a connection that was taken over', () => {
  it('reads no more while it is paused', async () => {
    const { client, taken } = await pair();
    client.write('1');
    await untilBytes(taken, 1);
    taken.socket.pause();
    expect(taken.socket.isPaused()).toBe(true);
    client.write('2');
    await settled();
    expect(textOf(taken)).toBe('1');
    taken.socket.resume();
    await untilBytes(taken, 2);
    expect(textOf(taken)).toBe('12');
    destroy({ client, taken });
  });

  it('may be paused by the one who is given a chunk, with no further chunk after it', async () => {
    let pauses = 0;
    const { client, taken } = await pair((socket) => {
      socket.pause();
      pauses += 1;
    });
    client.write(pattern(300_000, 7));
    await untilBytes(taken, 1);
    await settled();
    expect(pauses).toBe(1);
    while (bytesOf(taken) < 300_000) {
      taken.socket.resume();
      await sleep(1);
    }
    expect(Buffer.concat(taken.chunks).equals(pattern(300_000, 7))).toBe(true);
    destroy({ client, taken });
  });

  it('is half-open after the FIN of the other side, and closes after its own', async () => {
    const { client, taken } = await pair();
    client.end('bye');
    await once(taken.socket, 'end');
    expect(textOf(taken)).toBe('bye');
    expect(taken.socket.writable).toBe(true);
    const closed = once(taken.socket, 'close');
    taken.socket.end('bye too');
    expect((await once(client, 'data')).toString()).toBe('bye too');
    await closed;
    client.destroy();
  });

  it('tells a reset as an error', async () => {
    const { client, taken } = await pair();
    client.write('x');
    await untilBytes(taken, 1);
    const failed = once(taken.socket, 'error');
    client.resetAndDestroy();
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
  });

  it('has the addresses, the buffer and the options of the accepted one', async () => {
    const { client, taken } = await pair();
    expect(taken.socket.remotePort).toBe(client.localPort);
    expect(taken.socket.localPort).toBe(client.remotePort);
    expect(taken.socket.allowHalfOpen).toBe(true);
    expect(taken.socket.writableHighWaterMark).toBe(BUFFER);
    destroy({ client, taken });
  });

  it('does not keep its server open, and does not end with it', async () => {
    const { client, taken, server } = await pair();
    await new Promise((resolve) => server.close(resolve));
    client.write('x');
    await untilBytes(taken, 1);
    destroy({ client, taken });
  });

  it('is the connection that was accepted: nothing is left of that', async () => {
    const { client, taken, accepted } = await pair();
    expect(taken.socket).not.toBe(accepted);
    expect(accepted.destroyed).toBe(true);
    client.write('x');
    await untilBytes(taken, 1);
    destroy({ client, taken });
  });

  it('is read by events where its handle is not to be had', async () => {
    // As a server with `pauseOnConnect` hands it on.
    const socket = new Socket().pause();
    const chunks: Buffer[] = [];
    const taken = takeOver(socket, {
      onRead: (chunk) => chunks.push(chunk),
      bufferBytesMax: BUFFER,
    });
    expect(taken).toBe(socket);
    socket.push(Buffer.from('x'));
    await new Promise(setImmediate);
    expect(Buffer.concat(chunks).toString()).toBe('x');
  });
});

it('a socket that connects is read so, too', async () => {
  const server = await listening((socket) => socket.end('hello'));
  const chunks: Buffer[] = [];
  const { port } = server.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1', onread: sharedReads((c) => chunks.push(c)) });
  await once(socket, 'end');
  expect(Buffer.concat(chunks).toString()).toBe('hello');
  socket.destroy();
});

interface Pair {
  readonly client: Socket;
  readonly taken: Taken;
  readonly accepted: Socket;
  readonly server: Server;
}

async function pair(onRead: (socket: Socket) => void = () => {}): Promise<Pair> {
  const accepting = Promise.withResolvers<Socket>();
  const server = await listening(accepting.resolve);
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: '127.0.0.1' });
  client.on('error', () => {});
  await once(client, 'connect');
  const accepted = await accepting.promise;
  const chunks: Buffer[] = [];
  const socket: Socket = takeOver(accepted, {
    onRead: (chunk) => {
      chunks.push(chunk);
      onRead(socket);
    },
    bufferBytesMax: BUFFER,
  });
  socket.on('error', () => {});
  return { client, taken: { socket, chunks }, accepted, server };
}

async function listening(onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, onSocket);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function pattern(size: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + seed) & 0xff));
}

function bytesOf({ chunks }: Taken): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

function textOf({ chunks }: Taken): string {
  return Buffer.concat(chunks).toString('latin1');
}

async function untilBytes(taken: Taken, count: number): Promise<void> {
  for (let n = 0; n < 1000 && bytesOf(taken) < count; n++) await sleep(2);
  expect(bytesOf(taken)).toBeGreaterThanOrEqual(count);
}

function destroy({ client, taken }: { readonly client: Socket; readonly taken: Taken }): void {
  client.destroy();
  taken.socket.destroy();
}
