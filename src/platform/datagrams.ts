/**
 * How datagrams come and go, as an interface: each comes with both of its ends, and is answered from the end that it
 * was sent to. The plain form below knows the one address that it is bound to; a transparent one will know the
 * address that the redirect took the datagram from.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { parseIp, type SocketAddress } from '../model/address.ts';
import { parsePort } from '../model/identity.ts';

export interface Datagrams {
  /** Resolves when it is bound; rejects with the system's error, and then nothing is. */
  bind(options: BindOptions): Promise<DatagramDoor>;
}

export interface BindOptions {
  readonly address: SocketAddress;
  /** Must not throw. */
  readonly onDatagram: (bytes: Buffer, ends: DatagramEnds) => void;
  /** Of a send that the system refused, later than the call. */
  readonly onError: (error: Error) => void;
}

export interface DatagramEnds {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
}

export interface DatagramDoor {
  readonly address: SocketAddress;
  /** From `source`, which is an end that a datagram came to. Lost without a word when the kernel has no room. */
  send(bytes: Buffer, ends: DatagramEnds): void;
  close(): Promise<void>;
}

export const PLAIN_DATAGRAMS: Datagrams = {
  async bind({ address, onDatagram, onError }) {
    const socket = createSocket(
      address.family === 6 ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' },
    );
    try {
      const bound = once(socket, 'listening');
      socket.bind({ address: address.ip, port: address.port, exclusive: true });
      await bound;
    } catch (error) {
      socket.close();
      throw error;
    }
    const { port } = socket.address();
    const own = endOf(address.ip, port);
    if (own === null) throw new Error('the bound address cannot be read');
    socket.on('message', (bytes, from) => {
      const source = endOf(from.address, from.port);
      if (source !== null) onDatagram(bytes, { source, destination: own });
    });
    socket.on('error', onError);
    return new PlainDoor(socket, own);
  },
};

class PlainDoor implements DatagramDoor {
  readonly #socket: Socket;
  readonly address: SocketAddress;

  constructor(socket: Socket, address: SocketAddress) {
    this.#socket = socket;
    this.address = address;
  }

  send(bytes: Buffer, { source, destination }: DatagramEnds): void {
    // To answer as somebody else would be refused by whoever asked, at best.
    if (source.ip !== this.address.ip || source.port !== this.address.port) {
      throw new Error('a plain socket sends from its own address');
    }
    this.#socket.send(bytes, destination.port, destination.ip);
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }
}

/** Without the zone of a link-local address. */
function endOf(address: string, number: number): SocketAddress | null {
  const ip = parseIp(address.replace(/%.*$/, ''));
  const port = parsePort(number);
  return ip === null || port === null ? null : { ip: ip.text, family: ip.family, port };
}
