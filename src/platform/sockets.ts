/**
 * How sockets are made, as an interface with two forms: the plain one below (standalone), and the
 * transparent one of the redirect, which listens for other addresses than this machine's and connects
 * from them (`redirect/transparent_sockets.ts`).
 */
import {
  connect,
  type ListenOptions as NetListenOptions,
  type Server,
  type TcpNetConnectOpts,
} from 'node:net';
import type { SocketAddress } from '../model/address.ts';
import type { Sender } from '../model/connection_meta.ts';
import { type OnRead, sharedReads } from './socket_reads.ts';
import type { ConnectingStream } from './stream.ts';

export interface Sockets {
  /** Resolves when `server` listens; rejects with the system's error, and then it does not. */
  listen(server: Server, options: ListenOptions): Promise<void>;
  /**
   * A socket that is connecting. Writes are queued until it is connected; half-open is allowed, so a
   * FIN from one side does not close the other. The caller handles 'error' and 'close'.
   */
  connect(target: SocketAddress, options: ConnectOptions): ConnectingStream;
}

export interface ListenOptions {
  readonly address: SocketAddress;
  /** SO_REUSEPORT, so that several workers share the port. */
  readonly isPortShared: boolean;
  /** Takes connections to addresses that are not this machine's. */
  readonly isTransparent: boolean;
  readonly backlog: number;
}

export interface ConnectOptions {
  /** Null: from this machine, as it chooses. */
  readonly sender: Sender | null;
  readonly bufferBytesMax: number;
  /** In place of 'data' events; must not throw. */
  readonly onRead: OnRead;
}

/** TCP_KEEPIDLE as cilium-envoy sets it. */
export const KEEP_ALIVE_DELAY_MS = 300_000;

export const PLAIN_SOCKETS = {
  async listen(server, { address, isPortShared, isTransparent, backlog }) {
    if (isTransparent) throw new Error('plain sockets cannot be transparent');
    await listening(server, {
      host: address.ip,
      port: address.port,
      reusePort: isPortShared,
      ipv6Only: true,
      backlog,
    });
  },

  connect(target, { sender, bufferBytesMax, onRead }) {
    // To connect as ourselves would be to show the upstream another client than there is.
    if (sender !== null) throw new Error('plain sockets connect from this machine only');
    // Duplex's option, which net.connect passes on although its type does not name it.
    const options: TcpNetConnectOpts & { readonly highWaterMark: number } = {
      host: target.ip,
      port: target.port,
      family: target.family,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
      highWaterMark: bufferBytesMax,
      onread: sharedReads(onRead),
    };
    return connect(options);
  },
} satisfies Sockets;

/** Resolves when it listens, rejects with the error. */
export function listening(
  server: Server,
  options: NetListenOptions & { readonly fd?: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
