/**
 * Finds out before any worker starts whether the fixed ports can be bound. Workers share ports by
 * SO_REUSEPORT, and with it a second Sallyport of the same user (or, for datagrams, any DNS server that shares its
 * port) would silently take half of what comes; the probe binds without it, so that a port in use is an error.
 */
import { createServer } from 'node:net';
import { formatSocketAddress, type SocketAddress } from '../model/address.ts';
import { PLAIN_DATAGRAMS } from '../platform/datagrams.ts';
import type { ListenerProtocol } from '../proxy/plane/options.ts';

export interface ProbedListener {
  readonly name: string;
  readonly address: SocketAddress;
  /** With dns the port is for datagrams as well. */
  readonly protocol?: ListenerProtocol;
}

/** Null when every port is free, else one line on the first that is not. */
export async function probePorts(listeners: readonly ProbedListener[]): Promise<string | null> {
  for (const { name, address, protocol } of listeners) {
    if (address.port === 0) continue;
    const isDns = protocol === 'dns';
    const code = (await bindOnce(address)) ?? (isDns ? await bindDatagrams(address) : null);
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

async function bindDatagrams(address: SocketAddress): Promise<string | null> {
  const unheard = { isTransparent: false, onDatagram: () => {}, onError: () => {} };
  try {
    const door = await PLAIN_DATAGRAMS.bind({ address, isPortShared: false, ...unheard });
    await door.close();
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
