/**
 * Finds out before any worker starts whether the fixed ports can be bound. Workers share ports by
 * SO_REUSEPORT, and with it a second Sallyport of the same user would silently take half of the
 * connections; the probe binds without it, so that a port in use is an error.
 */
import { createServer } from 'node:net';
import { formatSocketAddress, type SocketAddress } from '../model/address.ts';

export interface ProbedListener {
  readonly name: string;
  readonly address: SocketAddress;
}

/** Null when every port is free, else one line on the first that is not. */
export async function probePorts(listeners: readonly ProbedListener[]): Promise<string | null> {
  for (const { name, address } of listeners) {
    if (address.port === 0) continue;
    const code = await bindOnce(address);
    if (code !== null) {
      return `listener ${name}: ${formatSocketAddress(address.ip, address.port)}: ${bindErrorText(code)}`;
    }
  }
  return null;
}

/** What a failed bind means to the person who has to mend it. */
export function bindErrorText(code: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return 'the port is in use by another program';
    case 'EADDRNOTAVAIL':
      return 'this machine does not have the address';
    case 'EACCES':
      return 'permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)';
    default:
      return `cannot be bound (${code})`;
  }
}

function bindOnce(address: SocketAddress): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host: address.ip, port: address.port, ipv6Only: true, exclusive: true }, () => {
      server.close(() => resolve(null));
    });
  });
}
