/**
 * hot path
 *
 * What one turn of the event loop writes to a socket, as few writes as can be, and after all that the turn reads:
 *
 *     poll ─► read A ─► gather for a    ─┐
 *          ─► read B ─► gather for b     ├─ check ─► write a, write b, …
 *          ─► read C ─► gather for a, c ─┘
 *
 * Written one by one between reads, each finds the peer asleep again and has to wake it: 4 % of a request's CPU with
 * 32 connections, 11 % with 256, nothing with one (docs/performance.md). Slices that lie side by side in the
 * memory into which they were read (a head and its content) go on as the one slice that they were; others are corked.
 *
 * What was gathered has not reached the socket: `flush` before anything else is done with that.
 */
import { unshared } from '../../platform/socket_reads.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Guard } from './guard.ts';

/** Who makes the bytes: stopped when the socket takes no more, set going by its 'drain'. */
export interface Source {
  pause(): unknown;
}

/** More does not wait for the end of the turn: its peer has enough to do, and memory is bounded. */
const GATHERED_BYTES_MAX = 16 * 1024;
/** Sockets that are written to at once, so that a long turn keeps none waiting for all the others. */
const DUE_COUNT_MAX = 64;

export class GatheredWrite {
  readonly #socket: Stream;
  readonly #source: Source;
  readonly #turn: TurnWrites;
  readonly #guard: Guard;
  #isDue = false;
  #isCorked = false;
  #wasWaiting = false;
  #pending: Buffer | null = null;
  #byteLength = 0;
  #flushedBytes = 0;

  constructor(
    socket: Stream,
    options: { readonly source: Source; readonly turn: TurnWrites; readonly guard: Guard },
  ) {
    this.#socket = socket;
    this.#source = options.source;
    this.#turn = options.turn;
    this.#guard = options.guard;
  }

  /** Where the next byte stands among all that are written here. */
  get position(): number {
    return this.#flushedBytes + this.#byteLength;
  }

  /** The byte that stands there is with the socket. */
  isFlushed(position: number): boolean {
    return this.#flushedBytes > position;
  }

  write(bytes: Buffer): void {
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
    this.#byteLength += bytes.length;
    if (this.#byteLength > GATHERED_BYTES_MAX) {
      this.flush();
    } else if (!this.#isDue) {
      this.#isDue = true;
      this.#turn.add(this);
    }
  }

  /** Everything is with the socket now. */
  flush(): void {
    const pending = this.#pending;
    if (pending === null) return;
    this.#pending = null;
    this.#flushedBytes += this.#byteLength;
    this.#byteLength = 0;
    const hasRoom = this.#send(pending);
    if (this.#isCorked) {
      this.#isCorked = false;
      this.#socket.uncork();
    }
    if (!hasRoom) this.#source.pause();
  }

  /** For a socket that is given up. */
  discard(): void {
    this.#pending = null;
    this.#byteLength = 0;
    if (this.#isCorked) this.#socket.uncork();
    this.#isCorked = false;
  }

  /** The end of the turn. A bug of ours ends this connection only. */
  flushDue(): void {
    this.#isDue = false;
    try {
      this.flush();
    } catch (error) {
      this.#guard.broken(error);
    }
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

/** Of a worker: the sockets for which this turn has gathered something. */
export class TurnWrites {
  readonly #soon: (task: () => void) => void;
  #due: GatheredWrite[] = [];
  #isAsked = false;
  readonly #onTurnEnd = (): void => {
    this.#isAsked = false;
    this.#writeAll();
  };

  /** `soon` calls when everything that was ready has been read. */
  constructor(soon: (task: () => void) => void) {
    this.#soon = soon;
  }

  add(one: GatheredWrite): void {
    this.#due.push(one);
    if (this.#due.length >= DUE_COUNT_MAX) {
      this.#writeAll();
    } else if (!this.#isAsked) {
      this.#isAsked = true;
      this.#soon(this.#onTurnEnd);
    }
  }

  #writeAll(): void {
    const due = this.#due;
    this.#due = [];
    for (const one of due) one.flushDue();
  }
}

function areAdjacent(first: Buffer, second: Buffer): boolean {
  return first.byteOffset + first.length === second.byteOffset && first.buffer === second.buffer;
}
