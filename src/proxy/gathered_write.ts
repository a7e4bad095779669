/**
 * hot path
 *
 * What one turn writes to a socket, as few writes as can be. Slices that lie side by side in the memory into
 * which they were read (a head and its content) go on as the one slice that they were; others are corked.
 * Between `begin` and `end` nothing has reached the socket for sure: `flush` before anything else is done with it.
 */
import type { Socket } from 'node:net';
import { unshared } from '../platform/socket_reads.ts';

export class GatheredWrite {
  readonly #socket: Socket;
  #isGathering = false;
  #isCorked = false;
  #wasWaiting = false;
  #pending: Buffer | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  begin(): void {
    this.#isGathering = true;
  }

  /** False when whoever makes the bytes has to wait for 'drain', as far as that is known yet. */
  write(bytes: Buffer): boolean {
    if (!this.#isGathering) return this.#send(bytes);
    const pending = this.#pending;
    if (pending === null) {
      this.#pending = bytes;
    } else if (areAdjacent(pending, bytes)) {
      const { buffer, byteOffset, length } = pending;
      this.#pending = Buffer.from(buffer, byteOffset, length + bytes.length);
    } else {
      this.#cork();
      this.#send(pending);
      this.#pending = bytes;
    }
    return true;
  }

  /** Everything is with the socket now. As `write`. */
  end(): boolean {
    this.#isGathering = false;
    return this.flush();
  }

  /** The same, and what comes is gathered again. */
  flush(): boolean {
    const pending = this.#pending;
    if (pending === null) return true;
    this.#pending = null;
    const hasRoom = this.#send(pending);
    if (this.#isCorked) {
      this.#isCorked = false;
      this.#socket.uncork();
    }
    return hasRoom;
  }

  /** For a socket that is given up. */
  discard(): void {
    this.#pending = null;
    if (this.#isCorked) this.#socket.uncork();
    this.#isCorked = false;
  }

  /** Behind bytes that wait for the other side to read, small slices would each keep the memory they are from. */
  #send(bytes: Buffer): boolean {
    const isWaiting = this.#isCorked ? this.#wasWaiting : this.#socket.writableLength > 0;
    return this.#socket.write(isWaiting ? unshared(bytes) : bytes);
  }

  #cork(): void {
    if (this.#isCorked) return;
    this.#wasWaiting = this.#socket.writableLength > 0;
    this.#isCorked = true;
    this.#socket.cork();
  }
}

function areAdjacent(first: Buffer, second: Buffer): boolean {
  return first.byteOffset + first.length === second.byteOffset && first.buffer === second.buffer;
}
