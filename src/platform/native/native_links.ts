/**
 * Sockets to peers, whose ports nobody may foresee. Each exchange has a socket of its own, as long as no more than
 * `FRESH_A_SECOND` are asked for. Beyond that an exchange takes one of the last that were made for the same peer,
 * 16 to 64, drawn at random (shared_socket.ts): whoever forges an answer has to guess its port and its id as before, and
 * each port is replaced as fast as new ones are made. What answers is told apart by its first two bytes.
 */
import { formatSocketAddress, type SocketAddress } from '../../model/address.ts';
import type { Port } from '../../model/identity.ts';
import type { ConnectedOptions, DatagramLink } from '../datagrams.ts';
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  openSocket,
  setSocketOption,
} from '../socket_calls.ts';
import { receiveInto } from './datagram_calls.ts';
import { DATA_BYTES_MAX, MessageBatch } from './message_batch.ts';
import type { Readiness } from './readiness.ts';
import { Ring, SharedSocket, type Waiting } from './shared_socket.ts';

const BATCH_SIZE = 16;
const FRESH_A_SECOND = 500;

export interface NativeLinksParts {
  readonly readiness: Readiness;
  readonly nowMs: () => number;
  /** 0 to 65,535, and not to be guessed. */
  readonly random: () => number;
}

export class NativeLinks {
  readonly #parts: NativeLinksParts;
  readonly #received = new MessageBatch(BATCH_SIZE);
  readonly #rings = new Map<string, Ring>();
  /** Until then all fresh ones of now are used up. */
  #freshUntilMs = 0;

  constructor(parts: NativeLinksParts) {
    this.#parts = parts;
    for (let i = 0; i < BATCH_SIZE; i++) this.#received.describe(i, 0, 0, DATA_BYTES_MAX);
  }

  /** Throws the system's error, and then nothing is open. */
  connect(peer: SocketAddress, options: ConnectedOptions): DatagramLink {
    const ring = this.#ringOf(peer, options);
    const nowMs = this.#parts.nowMs();
    const shared = this.#mayBeFresh(nowMs)
      ? null
      : ring.draw(options.id, this.#parts.random(), nowMs);
    return new NativeLink(shared ?? this.#open(peer, options, ring), options);
  }

  /** Closes what has not been used for a while. To be called every now and then. */
  sweep(): void {
    const nowMs = this.#parts.nowMs();
    for (const [key, ring] of this.#rings) if (ring.closeIdle(nowMs)) this.#rings.delete(key);
  }

  /** GCRA: so many a second, and as many at once after a second of silence. */
  #mayBeFresh(nowMs: number): boolean {
    const next = Math.max(this.#freshUntilMs, nowMs) + 1000 / FRESH_A_SECOND;
    if (next > nowMs + 1000) return false;
    this.#freshUntilMs = next;
    return true;
  }

  #ringOf({ ip, port }: SocketAddress, { sender }: ConnectedOptions): Ring {
    const from = sender === null ? '' : `${sender.address?.ip ?? ''} ${sender.mark}`;
    const key = `${formatSocketAddress(ip, port)} ${from}`;
    let ring = this.#rings.get(key);
    if (ring === undefined) {
      ring = new Ring();
      this.#rings.set(key, ring);
    }
    return ring;
  }

  #open(peer: SocketAddress, options: ConnectedOptions, ring: Ring): SharedSocket {
    const fd = openConnected(peer, options);
    const { readiness, nowMs } = this.#parts;
    try {
      const socket = new SharedSocket(fd, {
        ring,
        nowMs,
        close: () => {
          readiness.delete(fd);
          closeDescriptor(fd);
        },
      });
      readiness.add(fd, () => this.#read(socket));
      ring.put(socket);
      return socket;
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  #read(socket: SharedSocket): void {
    const batch = this.#received;
    const count = receiveInto(socket.fd, batch);
    if (count < 0) {
      socket.failed(count);
      return;
    }
    for (let i = 0; i < count && !socket.isClosed; i++) {
      socket.heard(batch.copyOf(i));
    }
  }
}

class NativeLink implements DatagramLink, Waiting {
  readonly id: number;
  readonly #socket: SharedSocket;
  readonly #options: ConnectedOptions;

  constructor(socket: SharedSocket, options: ConnectedOptions) {
    this.#socket = socket;
    this.#options = options;
    this.id = options.id;
    socket.join(this);
  }

  send(bytes: Buffer): void {
    this.#socket.send(bytes, this);
  }

  close(): void {
    this.#socket.leave(this);
  }

  heard(bytes: Buffer): void {
    this.#options.onDatagram(bytes);
  }

  failed(error: Error): void {
    this.#options.onError(error);
  }
}

function openConnected(peer: SocketAddress, { sender }: ConnectedOptions): number {
  const fd = openSocket(peer.family, 'datagram');
  try {
    if (sender !== null) setSocketOption(fd, 'mark', sender.mark);
    if (sender?.address != null) {
      setSocketOption(fd, peer.family === 4 ? 'transparent4' : 'transparent6', 1);
      // Its port is one that the kernel draws, as where it is left to connect.
      bindSocket(fd, { ...sender.address, port: 0 as Port });
    }
    connectSocket(fd, peer);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}
