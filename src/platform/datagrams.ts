/**
 * How datagrams come and go, as an interface: each comes with both of its ends, and is answered from the end that it
 * was sent to. The plain form below knows the one address that it is bound to; the native one (native/) knows to which
 * address of the machine each came, or from which address the redirect took it. The way on is a socket for one peer
 * alone, with a port that the kernel draws for it (udp_lib_get_port begins at a random one): whoever forges an answer
 * has to guess it.
 */
import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import { once } from 'node:events';
import { parseIp, type SocketAddress } from '../model/address.ts';
import type { Sender } from '../model/connection_meta.ts';
import { parsePort } from '../model/identity.ts';

export interface Datagrams {
  /** It takes what the redirect sends it, and sends in another's name. */
  readonly canBeTransparent: boolean;
  /** Resolves when it is bound; rejects with the system's error, and then nothing is. */
  bind(options: BindOptions): Promise<DatagramDoor>;
  /** From a port of its own. Throws the system's error, and then nothing is open. */
  connect(peer: SocketAddress, options: ConnectedOptions): DatagramLink;
}

export interface BindOptions {
  readonly address: SocketAddress;
  /** SO_REUSEPORT: the kernel gives all datagrams of one sender's port to one of those that share it. */
  readonly isPortShared: boolean;
  /** Takes what the redirect sends it, whatever its destination, and answers from there. */
  readonly isTransparent: boolean;
  /** Must not throw. The bytes are the receiver's. */
  readonly onDatagram: (bytes: Buffer, ends: DatagramEnds) => void;
  /** Of what the kernel tells of the socket; a send that it refuses is lost without a word. */
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

export interface ConnectedOptions {
  /** Null: from this machine, as it chooses. */
  readonly sender: Sender | null;
  /**
   * The first two bytes of what is sent and of what answers it. Where a socket is shared, what has the id of another is
   * not told; what has nobody's is told to all.
   */
  readonly id: number;
  /** Of the peer only. Must not throw. The bytes are the receiver's. */
  readonly onDatagram: (bytes: Buffer) => void;
  /** ICMP says that nobody is there, or the system refused a send. */
  readonly onError: (error: Error) => void;
}

/** An exchange with one peer. */
export interface DatagramLink {
  /** What the system refuses may be told before this returns. */
  send(bytes: Buffer): void;
  /** Nothing is heard of it after this. */
  close(): void;
}

export const PLAIN_DATAGRAMS: Datagrams = {
  canBeTransparent: false,

  async bind({ address, isPortShared, isTransparent, onDatagram, onError }) {
    if (isTransparent) throw new Error('plain sockets cannot be transparent');
    const socket = createSocket({ ...typeFor(address), reusePort: isPortShared });
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

  connect(peer, { sender, onDatagram, onError }) {
    // To ask as ourselves would be to show the server another client than there is.
    if (sender !== null) throw new Error('plain sockets send from this machine only');
    const socket = createSocket(typeFor(peer));
    let isOpen = false;
    let failure: Error | null = null;
    socket.on('error', (error) => {
      failure ??= error;
      if (isOpen) onError(error);
    });
    // Between the bind and the connect the kernel takes datagrams of anybody.
    socket.on('message', (bytes, from) => {
      if (isOf(peer, from)) onDatagram(bytes);
    });
    try {
      // Left to `connect`, a bind that fails leaves it waiting for one that never comes, and not to be closed.
      socket.bind({ port: 0, exclusive: true });
      if (failure !== null) throw failure;
      socket.connect(peer.port, peer.ip);
      // Done by now, as there was nothing to look up; this throws if not.
      socket.remoteAddress();
    } catch (error) {
      socket.close();
      throw failure ?? error;
    }
    isOpen = true;
    return new PlainLink(socket, onError);
  },
};

/** Addresses are numbers already: to look them up would cost a turn of the event loop for each socket. */
function typeFor({ family }: SocketAddress): SocketOptions {
  const lookup: NonNullable<SocketOptions['lookup']> = (ip, _options, found) =>
    found(null, ip, family);
  return family === 6 ? { type: 'udp6', ipv6Only: true, lookup } : { type: 'udp4', lookup };
}

function isOf(peer: SocketAddress, { address, port }: RemoteInfo): boolean {
  if (port !== peer.port) return false;
  return address === peer.ip || endOf(address, port)?.ip === peer.ip;
}

class PlainLink implements DatagramLink {
  readonly #socket: Socket;
  readonly #onError: (error: Error) => void;
  #isClosed = false;

  constructor(socket: Socket, onError: (error: Error) => void) {
    this.#socket = socket;
    this.#onError = onError;
  }

  send(bytes: Buffer): void {
    // Nobody is told of one that is refused (by a packet filter, for example) but who asks for it.
    this.#socket.send(bytes, (error) => {
      if (error !== null && !this.#isClosed) this.#onError(error);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.removeAllListeners();
    this.#socket.on('error', () => {});
    this.#socket.close();
  }
}

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
