/**
 * What the redirect's sockets lean on and Node's documentation does not say, so that another Node which
 * does it otherwise fails here first; and that no descriptor is left behind. Without root: that the
 * sockets are transparent is tested in root/.
 */
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { SocketAddress } from '../../src/model/address.ts';
import { type Identity, parsePort } from '../../src/model/identity.ts';
import {
  bindSocket,
  openTcpSocket,
  socketOption,
  withTcpSocket,
} from '../../src/platform/socket_calls.ts';
import { identityMark, MARK_PROXY_EGRESS } from '../../src/redirect/layout.ts';
import {
  connectDescriptor,
  type SocketReading,
  TransparentSockets,
  unconnectedSocket,
} from '../../src/redirect/transparent_sockets.ts';
import { address } from '../support/plane_rig.ts';
import { settled } from '../support/settled.ts';
import { until } from '../support/until.ts';

const BUFFER = 16 * 1024;
const UNREAD = { bufferBytesMax: BUFFER, onRead: () => {} };
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe('a socket that is made of a descriptor', () => {
  it.each(['127.0.0.1', '::1'])('connects, passes bytes and ends both ways: %s', async (ip) => {
    const target = await echo(ip);
    const { socket, text } = read((reading) =>
      connectDescriptor(openTcpSocket(target.family), target, reading),
    );
    // As with net.connect, what is written before it is connected is sent then.
    socket.write('early ');
    await once(socket, 'connect');
    expect(socket.remotePort).toBe(target.port);
    const isClosed = closed(socket);
    socket.end('late');
    await isClosed;
    expect(text()).toBe('early late');
  });

  it('keeps the address that it was bound to', async () => {
    const target = await echo('127.0.0.1');
    const fd = openTcpSocket(4);
    bindSocket(fd, address('127.0.0.9:0'));
    const socket = connectDescriptor(fd, target, UNREAD);
    await once(socket, 'connect');
    expect(socket.localAddress).toBe('127.0.0.9');
    await destroyed(socket);
  });

  it('has the options of a connecting one: half-open, no delay, keep-alive, its buffer', async () => {
    const target = await echo('127.0.0.1');
    const fd = openTcpSocket(4);
    const socket = connectDescriptor(fd, target, UNREAD);
    await once(socket, 'connect');
    expect(socket.allowHalfOpen).toBe(true);
    expect(socket.writableHighWaterMark).toBe(BUFFER);
    expect(socket.readableHighWaterMark).toBe(BUFFER);
    expect(socketOption(fd, 'noDelay')).toBe(1);
    expect(socketOption(fd, 'keepAlive')).toBe(1);
    expect(socketOption(fd, 'keepAliveIdle')).toBe(300);
    await destroyed(socket);
  });

  it('is not read before it is connected', async () => {
    const target = await echo('127.0.0.1');
    const { socket, text } = read((reading) => unconnectedSocket(openTcpSocket(4), reading));
    const seen: string[] = [];
    for (const event of ['end', 'error', 'close']) socket.on(event, () => seen.push(event));
    await settled();
    expect(seen).toEqual([]);
    socket.connect({ host: target.ip, port: target.port });
    // From here on it may be listened to: it is connecting at once, not only at the next turn.
    expect(socket.connecting).toBe(true);
    await once(socket, 'connect');
    socket.write('x');
    await until(() => text() === 'x');
    await destroyed(socket);
  });

  it('that is refused has one error, and leaves no descriptor', async () => {
    const before = openSockets();
    const socket = connectDescriptor(openTcpSocket(4), address('127.0.0.1:1'), UNREAD);
    const errors: string[] = [];
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
    await closed(socket);
    expect(errors).toEqual(['ECONNREFUSED']);
    expect(isNoneLeft(before)).toBe(true);
  });

  it('reset in the middle leaves no descriptor', async () => {
    const target = await echo('127.0.0.1');
    const before = openSockets();
    for (let n = 0; n < 20; n++) {
      const socket = connectDescriptor(openTcpSocket(4), target, UNREAD);
      socket.on('error', () => {});
      await once(socket, 'connect');
      const isClosed = closed(socket);
      socket.resetAndDestroy();
      await isClosed;
    }
    await until(() => isNoneLeft(before));
  });
});

describe('a listener that is made of a descriptor', () => {
  it('listens on that very descriptor, which is what is registered', async () => {
    const fd = openTcpSocket(4);
    bindSocket(fd, address('127.0.0.1:0'));
    const server = serverOf((socket) => socket.end('hello'));
    server.listen({ fd });
    await once(server, 'listening');
    expect(socketOption(fd, 'isListening')).toBe(1);
    const { socket, text } = read((reading) =>
      connectDescriptor(openTcpSocket(4), addressOf(server), reading),
    );
    await until(() => text() === 'hello');
    await destroyed(socket);
  });
});

describe('what cannot be done', () => {
  it('closes the descriptor when a call on it fails', () => {
    const before = openSockets();
    // 192.0.2.1 is no address of this machine.
    expect(() =>
      withTcpSocket(4, (fd) => {
        bindSocket(fd, address('192.0.2.1:0'));
        return fd;
      }),
    ).toThrow(
      // As Node's own, so that it is told in the same words.
      expect.objectContaining({ code: 'EADDRNOTAVAIL', address: '192.0.2.1', port: 0 }),
    );
    expect(isNoneLeft(before)).toBe(true);
  });

  it('to connect as somebody is told by the socket, as any failure to connect', async () => {
    const before = openSockets();
    const sockets = new TransparentSockets(() => {});
    // An IPv6 client cannot be shown to an IPv4 upstream (and without rights nobody can).
    const socket = sockets.connect(address('127.0.0.1:9'), {
      sender: { address: address('[2001:db8::1]:1'), mark: 0x0a00 },
      ...UNREAD,
    });
    const errors: string[] = [];
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''));
    socket.write('lost');
    await closed(socket);
    expect(errors).toHaveLength(1);
    expect(isNoneLeft(before)).toBe(true);
  });
});

it('a mark is as Cilium lays it out', () => {
  expect(identityMark(MARK_PROXY_EGRESS, 0x0001_2345 as Identity)).toBe(0x2345_0b01);
  expect(identityMark(0x0a00, 0x00ff_ffff as Identity)).toBe(0xffff_0aff);
  // The scope byte of a CIDR's identity has no place in it.
  expect(identityMark(0x0a00, 0x0100_0007 as Identity)).toBe(0x0007_0a00);
});

async function echo(ip: string): Promise<SocketAddress> {
  const server = serverOf((socket) => socket.pipe(socket));
  server.listen(0, ip);
  await once(server, 'listening');
  return addressOf(server);
}

function serverOf(onSocket: (socket: Socket) => void): Server {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    onSocket(socket);
  });
  servers.push(server);
  return server;
}

function addressOf(server: Server): SocketAddress {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('not listening');
  const port = parsePort(bound.port);
  if (port === null) throw new Error('no port');
  return { ...address(bound.family === 'IPv6' ? '[::1]:1' : '127.0.0.1:1'), port };
}

/** The socket that `open` makes, and what was read from it so far. */
function read(open: (reading: SocketReading) => Socket): {
  readonly socket: Socket;
  readonly text: () => string;
} {
  let text = '';
  const onRead = (chunk: Buffer) => {
    text += chunk.toString();
  };
  return { socket: open({ bufferBytesMax: BUFFER, onRead }), text: () => text };
}

/** Unlike `once`, an error before it is none of this. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}

function destroyed(socket: Socket): Promise<void> {
  const isClosed = closed(socket);
  socket.destroy();
  return isClosed;
}

/** By inode: the number of a descriptor is soon another's. */
function openSockets(): ReadonlySet<string> {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return new Set(links.filter((link) => link.startsWith('socket:')));
}

function isNoneLeft(before: ReadonlySet<string>): boolean {
  return [...openSockets()].every((socket) => before.has(socket));
}
