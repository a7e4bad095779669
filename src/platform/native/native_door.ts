/**
 * A socket that datagrams come to, several at a time, each with the address that it was sent to, and that answers
 * from there. Answers are gathered for one system call.
 *
 *     plain         bound, also to all addresses of the machine; answers leave by the same socket
 *     transparent   takes what the kernel sends it, whatever its address; answers leave by a raw socket, so that no
 *                   socket is ever bound to an address of another, where it could hear what is not for it
 */
import type { SocketAddress } from '../../model/address.ts';
import type { BindOptions, DatagramDoor, DatagramEnds } from '../datagrams.ts';
import {
  bindSocket,
  boundAddress,
  closeDescriptor,
  hearNothing,
  openSocket,
  setSocketOption,
} from '../socket_calls.ts';
import { receiveInto, sendFrom } from './datagram_calls.ts';
import { CONTROL_ROOM, Ends, NAME_LENGTH } from './ends.ts';
import { DATA_BYTES_MAX, MessageBatch } from './message_batch.ts';
import type { Readiness } from './readiness.ts';
import { UDP_HEADER_BYTES, writeUdpHeader } from './udp_header.ts';

const BATCH_SIZE = 32;
/** The system may give less (net.core.rmem_max). */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;

export interface NativeDoorParts {
  readonly readiness: Readiness;
  /** Of a transparent one: SO_MARK of its answers. */
  readonly answerMark: number;
  /** `door.flush` is to be called soon. */
  readonly onPending: (door: NativeDoor) => void;
  readonly onClosed: (door: NativeDoor) => void;
}

export class NativeDoor implements DatagramDoor {
  readonly address: SocketAddress;
  /** Of the socket that is bound. */
  readonly fd: number;
  readonly #parts: NativeDoorParts;
  readonly #options: BindOptions;
  /** Of the answers: the same, or raw. */
  readonly #senderFd: number;
  readonly #ends: Ends;
  readonly #received = new MessageBatch(BATCH_SIZE);
  readonly #sent = new MessageBatch(BATCH_SIZE);
  #pendingCount = 0;
  #isClosed = false;

  /** Throws the system's error, and then nothing is open. */
  constructor(options: BindOptions, parts: NativeDoorParts) {
    const { family } = options.address;
    this.#options = options;
    this.#parts = parts;
    this.#ends = new Ends(family);
    this.fd = openSocket(family, 'datagram');
    let senderFd = this.fd;
    try {
      bindDoor(this.fd, options);
      this.address = boundAddress(this.fd);
      if (options.isTransparent) senderFd = openRawSender(family, parts.answerMark);
      parts.readiness.add(this.fd, () => this.#read());
    } catch (error) {
      if (senderFd !== this.fd) closeDescriptor(senderFd);
      closeDescriptor(this.fd);
      throw error;
    }
    this.#senderFd = senderFd;
    this.#makeRoom(BATCH_SIZE);
  }

  send(bytes: Buffer, { source, destination }: DatagramEnds): void {
    const isRaw = this.#options.isTransparent;
    if (!isRaw && source.port !== this.address.port) {
      throw new Error('a plain socket sends from its own port');
    }
    if (this.#isClosed || bytes.length > DATA_BYTES_MAX - UDP_HEADER_BYTES) return;
    const index = this.#pendingCount;
    const batch = this.#sent;
    let at = batch.dataAt(index);
    let length = bytes.length;
    if (isRaw) {
      const from = { address: this.#ends.bytesOf(source.ip), port: source.port };
      const to = { address: this.#ends.bytesOf(destination.ip), port: destination.port };
      writeUdpHeader(batch.data, at, { from, to, payload: bytes });
      at += UDP_HEADER_BYTES;
      length += UDP_HEADER_BYTES;
    }
    bytes.copy(batch.data, at);
    const nameBytes = this.#ends.writeName(batch, index, destination, isRaw);
    const controlBytes = this.#ends.writeSource(batch, index, source.ip);
    batch.describe(index, nameBytes, controlBytes, length);
    this.#pendingCount++;
    if (this.#pendingCount === BATCH_SIZE) this.flush();
    else if (index === 0) this.#parts.onPending(this);
  }

  /** What the kernel has no room for, or cannot send to its receiver, is lost without a word. */
  flush(): void {
    const count = this.#pendingCount;
    this.#pendingCount = 0;
    for (let first = 0; first < count && !this.#isClosed; ) {
      const taken = sendFrom(this.#senderFd, this.#sent, first, count - first);
      // Only the first of those that are left can have failed: a short count says nothing of the next one.
      first += taken > 0 ? taken : 1;
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.flush();
    this.#isClosed = true;
    this.#parts.readiness.delete(this.fd);
    if (this.#senderFd !== this.fd) closeDescriptor(this.#senderFd);
    closeDescriptor(this.fd);
    this.#parts.onClosed(this);
  }

  /** What is left is told again in the next turn, so that others have theirs. */
  #read(): void {
    const batch = this.#received;
    const count = receiveInto(this.fd, batch);
    // An error that the kernel had for the socket is over with this call; nobody waits for it.
    if (count <= 0) return;
    const { onDatagram } = this.#options;
    for (let i = 0; i < count && !this.#isClosed; i++) {
      const source = this.#ends.source(batch, i);
      const destination = this.#ends.destination(batch, i, this.address.port);
      if (source === null || destination === null) continue;
      onDatagram(batch.copyOf(i), { source, destination });
    }
    this.#makeRoom(count);
  }

  #makeRoom(count: number): void {
    const nameBytes = NAME_LENGTH[this.#options.address.family];
    for (let i = 0; i < count; i++)
      this.#received.describe(i, nameBytes, CONTROL_ROOM, DATA_BYTES_MAX);
  }
}

function bindDoor(fd: number, { address, isPortShared, isTransparent }: BindOptions): void {
  const is4 = address.family === 4;
  // As with connections, the next proxy takes what is redirected beside us before we go.
  if (isPortShared || isTransparent) setSocketOption(fd, 'reusePort', 1);
  if (!is4) setSocketOption(fd, 'only6', 1);
  if (isTransparent) {
    setSocketOption(fd, is4 ? 'transparent4' : 'transparent6', 1);
    setSocketOption(fd, is4 ? 'tellDestination4' : 'tellDestination6', 1);
  } else {
    setSocketOption(fd, is4 ? 'tellAddress4' : 'tellAddress6', 1);
  }
  setSocketOption(fd, 'receiveBuffer', RECEIVE_BUFFER_BYTES);
  bindSocket(fd, address);
}

/** Raw sockets get a copy of all UDP of the machine: this one takes none. */
function openRawSender(family: 4 | 6, mark: number): number {
  const fd = openSocket(family, 'raw');
  try {
    hearNothing(fd);
    setSocketOption(fd, family === 4 ? 'transparent4' : 'transparent6', 1);
    setSocketOption(fd, 'mark', mark);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}
