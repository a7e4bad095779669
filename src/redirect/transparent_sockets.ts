/**
 * Sockets that are invisible: a listener takes connections to addresses that are not this machine's, and
 * a connection to an upstream has its client's address. Needs CAP_NET_RAW or CAP_NET_ADMIN, no more.
 *
 * The only file that leans on what Node's documentation of sockets does not say: that a socket made of a
 * descriptor may be connected, that `manualStart` keeps Node from reading it before, and that such a
 * socket takes the options of a connecting one. `test/redirect/transparent_sockets.test.ts` fails when one
 * of them is gone.
 */
import { closeSync } from 'node:fs';
import { type Server, Socket, type SocketConstructorOpts } from 'node:net';
import type { SocketAddress } from '../model/address.ts';
import type { Sender } from '../model/connection_meta.ts';
import type { Port } from '../model/identity.ts';
import { bindSocket, setSocketOption, withTcpSocket } from '../platform/socket_calls.ts';
import { sharedReads } from '../platform/socket_reads.ts';
import {
  type ConnectOptions,
  KEEP_ALIVE_DELAY_MS,
  type ListenOptions,
  listening,
  PLAIN_SOCKETS,
  type Sockets,
} from '../platform/sockets.ts';
import { MARK_PROXY_INGRESS } from './layout.ts';

/** Told of each transparent listener once it takes connections; may throw. */
export type OnListening = (fd: number, address: SocketAddress) => void;

export class TransparentSockets implements Sockets {
  readonly #onListening: OnListening;

  constructor(onListening: OnListening) {
    this.#onListening = onListening;
  }

  async listen(server: Server, options: ListenOptions): Promise<void> {
    if (!options.isTransparent) return PLAIN_SOCKETS.listen(server, options);
    const { address } = options;
    const fd = transparently(() =>
      withTcpSocket(address.family, (fd) => bindListener(fd, address)),
    );
    await listening(server, { fd, backlog: options.backlog });
    try {
      this.#onListening(fd, address);
    } catch (error) {
      server.close();
      throw error;
    }
  }

  connect(target: SocketAddress, options: ConnectOptions): Socket {
    const { sender } = options;
    if (sender === null) return PLAIN_SOCKETS.connect(target, options);
    try {
      const fd = withTcpSocket(target.family, (fd) => bindAsSender(fd, target.family, sender));
      return connectDescriptor(fd, target, options);
    } catch (error) {
      return failedSocket(error);
    }
  }
}

export type SocketReading = Pick<ConnectOptions, 'bufferBytesMax' | 'onRead'>;

/** `fd`, which is not connected yet, on its way to `target`. Takes `fd` over, also when it throws. */
export function connectDescriptor(
  fd: number,
  target: SocketAddress,
  options: SocketReading,
): Socket {
  const socket = unconnectedSocket(fd, options);
  socket.connect({ host: target.ip, port: target.port, family: target.family });
  return socket;
}

/** Out of descriptors, say: told as a connection that could not be made is, and no later than that. */
function failedSocket(error: unknown): Socket {
  const socket = new Socket();
  socket.destroy(error instanceof Error ? error : new Error(String(error)));
  return socket;
}

function bindAsSender(fd: number, family: 4 | 6, sender: Sender): number {
  setSocketOption(fd, 'mark', sender.mark);
  if (sender.address === null) return fd;
  setSocketOption(fd, family === 4 ? 'transparent4' : 'transparent6', 1);
  setSocketOption(fd, 'bindWithoutPort', 1);
  // Another port than the client's: with its own, conntrack would take both legs for one connection.
  bindSocket(fd, { ...sender.address, port: 0 as Port });
  return fd;
}

function bindListener(fd: number, address: SocketAddress): number {
  setSocketOption(fd, 'reuseAddress', 1);
  // The next proxy listens beside us before we go.
  setSocketOption(fd, 'reusePort', 1);
  if (address.family === 6) setSocketOption(fd, 'only6', 1);
  setSocketOption(fd, address.family === 4 ? 'transparent4' : 'transparent6', 1);
  // Accepted sockets inherit it: the kernel's programs know our own packets by it.
  setSocketOption(fd, 'mark', MARK_PROXY_INGRESS);
  bindSocket(fd, address);
  return fd;
}

/** Takes `fd` over, also when it throws. */
export function unconnectedSocket(fd: number, { bufferBytesMax, onRead }: SocketReading): Socket {
  const options: SocketConstructorOpts & {
    readonly manualStart: boolean;
    readonly highWaterMark: number;
    readonly noDelay: boolean;
    readonly keepAlive: boolean;
    readonly keepAliveInitialDelay: number;
  } = {
    fd,
    manualStart: true,
    allowHalfOpen: true,
    highWaterMark: bufferBytesMax,
    onread: sharedReads(onRead),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
  };
  try {
    return new Socket(options);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The one error that the user has to mend by rights, in words that say which. */
function transparently<T>(task: () => T): T {
  try {
    return task();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    throw new Error(
      'a transparent listener needs CAP_NET_RAW or CAP_NET_ADMIN (run as root, or give the process one of them)',
      { cause: error },
    );
  }
}
