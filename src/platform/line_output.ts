/**
 * A descriptor to which lines are written: in order, whole, one write at a time, without ever blocking. What cannot
 * be written now is tried again from where it stopped, be it a full pipe or a full disk. Without a reader it is given
 * up, and what comes later is tried: a pipe that has a name can get another reader.
 *
 *     │ piece: line line li│ne line │ piece: line line │
 *              written ────┘ at       a piece ends with a line, a write may end anywhere
 *
 * Not pino's destination, which this was: after a failed write it waits for the next line to try again, it closes a
 * descriptor twice (by then somebody else's) when a file could not be opened again before, and it copies all that it
 * writes.
 */
import { close, writev } from 'node:fs';
import { assert } from '../model/contract.ts';
import type { Timers } from './platform.ts';

export interface LineOutputOptions {
  readonly timers: Timers;
  /** All pieces are with the kernel: their memory is the caller's again. */
  readonly onWritten: () => void;
  /** A write has failed, and will be tried again. */
  readonly onError: () => void;
  /** The reader is gone; so many lines were not written. `onWritten` follows when it is time to try others. */
  readonly onGone: (lineCount: number) => void;
  /**
   * Others write to it, too, and a write may be taken in part, as by a pipe: so each is one that the kernel takes
   * whole or not at all.
   */
  readonly isShared?: boolean;
  /** For tests, which have failures at hand. */
  readonly system?: OutputSystem;
}

export interface OutputSystem {
  /** Of the pieces, from the first byte on, as much as goes. */
  writev(
    fd: number,
    pieces: readonly Buffer[],
    done: (error: NodeJS.ErrnoException | null, byteLength: number) => void,
  ): void;
  close(fd: number): void;
}

/** A pipe that does not block and is full says so; asked again after this. */
const FULL_PIPE_RETRY_MS = 10;
/** A disk that is full, or broken; a pipe without a reader. */
const FAILURE_RETRY_MS = 200;
/** PIPE_BUF of linux/limits.h: a write of so many bytes to a pipe is whole or fails (pipe(7)). */
const WHOLE_BYTES_MAX = 4096;
const LINE_FEED = 0x0a;
const NOTHING: readonly Buffer[] = [];

export class LineOutput {
  readonly #options: LineOutputOptions;
  readonly #system: OutputSystem;
  #fd: number;
  /** Takes the place of `#fd` as soon as that can be. */
  #nextFd: number | null = null;
  #pieces: readonly Buffer[] = NOTHING;
  #at = 0;
  #byteLength = 0;
  #isUnderWay = false;
  #stopRetry: (() => void) | null = null;
  #isOver = false;
  #isClosing = false;
  #isGone = false;

  constructor(fd: number, options: LineOutputOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#system = options.system ?? NODE;
  }

  /** There is something that is not written yet, or nobody to read it. */
  get isBusy(): boolean {
    return this.#pieces.length > 0 || this.#isGone;
  }

  /** Nobody reads it, as far as was tried. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Of what is not written yet. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Only when it is not busy. No byte of the pieces may change until `onWritten`. */
  write(pieces: readonly Buffer[]): void {
    if (this.#isOver) return;
    assert(!this.isBusy, 'lines are written when those before are');
    this.#pieces = pieces;
    this.#at = 0;
    this.#byteLength = pieces.reduce((sum, { length }) => sum + length, 0);
    if (pieces.length > 0) this.#writeOn();
  }

  /**
   * Goes on in another descriptor, and closes this one. What is under way goes where it was sent; a line that could
   * be written only in part is written again, as a whole.
   */
  moveTo(fd: number): void {
    if (this.#isOver) {
      this.#system.close(fd);
      return;
    }
    if (this.#nextFd !== null) this.#system.close(this.#nextFd);
    this.#nextFd = fd;
    if (this.#isUnderWay) return;
    this.#move();
    if (this.#stopRetry === null) return;
    this.#stopRetry();
    this.#stopRetry = null;
    this.#tryAgain();
  }

  /** What is not written yet, when no write of it is under way. */
  waiting(): readonly Buffer[] {
    return this.#isUnderWay ? NOTHING : this.#rest();
  }

  /** Tries no more, and tells what is not written; what is under way is taken as lost. */
  abandon(): readonly Buffer[] {
    this.#stopRetry?.();
    this.#stopRetry = null;
    this.#isOver = true;
    const rest = this.#rest();
    this.#pieces = NOTHING;
    this.#byteLength = 0;
    return rest;
  }

  /** After `abandon`, or when it is not busy. Not while a write is under way, which could end in another's file. */
  close(): void {
    this.#isOver = true;
    this.#isClosing = true;
    this.#stopRetry?.();
    this.#stopRetry = null;
    if (this.#isUnderWay) return;
    if (this.#nextFd !== null) this.#system.close(this.#nextFd);
    this.#nextFd = null;
    this.#system.close(this.#fd);
  }

  #writeOn(): void {
    this.#isUnderWay = true;
    this.#system.writev(this.#fd, this.#nextWrite(), (error, byteLength) => {
      this.#isUnderWay = false;
      if (this.#isClosing) this.close();
      if (this.#isOver) return;
      if (error !== null) this.#onError(error);
      else if (byteLength === 0) this.#writeAfter(FULL_PIPE_RETRY_MS);
      else this.#onBytes(byteLength);
    });
  }

  #onBytes(byteLength: number): void {
    this.#byteLength -= byteLength;
    let left = byteLength;
    let index = 0;
    for (; index < this.#pieces.length; index++) {
      const length = (this.#pieces[index] as Buffer).length - this.#at;
      if (left < length) break;
      left -= length;
      this.#at = 0;
    }
    this.#pieces = index === 0 ? this.#pieces : this.#pieces.slice(index);
    this.#at += left;
    if (this.#pieces.length > 0) {
      this.#writeOn();
    } else {
      this.#move();
      this.#options.onWritten();
    }
  }

  #onError(error: NodeJS.ErrnoException): void {
    if (error.code === 'EPIPE') {
      this.#onGone();
      return;
    }
    const isFull = error.code === 'EAGAIN';
    if (!isFull) this.#options.onError();
    if (this.#nextFd !== null) {
      this.#move();
      this.#writeOn();
      return;
    }
    this.#writeAfter(isFull ? FULL_PIPE_RETRY_MS : FAILURE_RETRY_MS);
  }

  #onGone(): void {
    const lineCount = countLines(this.#rest());
    this.#pieces = NOTHING;
    this.#at = 0;
    this.#byteLength = 0;
    this.#move();
    this.#isGone = true;
    this.#writeAfter(FAILURE_RETRY_MS);
    this.#options.onGone(lineCount);
  }

  #writeAfter(delayMs: number): void {
    this.#stopRetry = this.#options.timers.after(delayMs, () => {
      this.#stopRetry = null;
      this.#tryAgain();
    });
  }

  #tryAgain(): void {
    if (this.#isGone) {
      this.#isGone = false;
      this.#options.onWritten();
    } else {
      this.#writeOn();
    }
  }

  #move(): void {
    if (this.#nextFd === null) return;
    this.#system.close(this.#fd);
    this.#fd = this.#nextFd;
    this.#nextFd = null;
    const first = this.#pieces[0];
    if (first === undefined || this.#at === 0) return;
    const lineStart = first.lastIndexOf(LINE_FEED, this.#at - 1) + 1;
    this.#byteLength += this.#at - lineStart;
    this.#at = lineStart;
  }

  #nextWrite(): readonly Buffer[] {
    const rest = this.#rest();
    const [first] = rest;
    if (this.#options.isShared !== true || first === undefined) return rest;
    return [first.subarray(0, wholeLinesLength(first))];
  }

  #rest(): readonly Buffer[] {
    const [first, ...others] = this.#pieces;
    if (first === undefined || this.#at === 0) return this.#pieces;
    return [first.subarray(this.#at), ...others];
  }
}

/** Of as many lines as the kernel takes whole; of one that is longer, all of it. */
function wholeLinesLength(lines: Buffer): number {
  if (lines.length <= WHOLE_BYTES_MAX) return lines.length;
  const within = lines.lastIndexOf(LINE_FEED, WHOLE_BYTES_MAX - 1);
  const end = within === -1 ? lines.indexOf(LINE_FEED, WHOLE_BYTES_MAX) : within;
  return end === -1 ? lines.length : end + 1;
}

/** Each line feed is one, be its line whole or the rest of one. */
export function countLines(pieces: readonly Buffer[]): number {
  let count = 0;
  for (const bytes of pieces) {
    for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, at + 1))
      count++;
  }
  return count;
}

const NODE: OutputSystem = {
  writev: (fd, pieces, done) => writev(fd, pieces as Buffer[], null, done),
  // A failure to close leaves nothing to be done; what was written is with the kernel.
  close: (fd) => close(fd, () => {}),
};
