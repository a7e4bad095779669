/**
 * The supervisor's stdout: whole lines in order, written without ever blocking the process. Waits for
 * a slow reader within a bound; above it lines are dropped whole and counted. A reader that has gone
 * away stops nothing.
 */
import { write } from 'node:fs';

/** A pipe that is non-blocking and full says so; asked again after this. */
const RETRY_MS = 10;
const LINE_FEED = 0x0a;

export class LineSink {
  readonly #fd: number;
  readonly #bytesMax: number;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isWriting = false;
  #isBroken = false;
  #onIdle: (() => void)[] = [];
  droppedLineCount = 0;

  constructor(fd: number, bytesMax: number) {
    this.#fd = fd;
    this.#bytesMax = bytesMax;
  }

  /** `lines` are whole lines, line feeds included. */
  write(lines: Buffer | string): void {
    const bytes = typeof lines === 'string' ? Buffer.from(lines) : lines;
    if (this.#isBroken || this.#queuedBytes + bytes.length > this.#bytesMax) {
      this.droppedLineCount += countLines(bytes);
      return;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (!this.#isWriting) this.#writeNext();
  }

  /** Resolves when everything is written, or cannot be. */
  idle(): Promise<void> {
    if (!this.#isWriting) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  #writeNext(): void {
    if (this.#queue.length === 0) {
      this.#isWriting = false;
      const waiting = this.#onIdle;
      this.#onIdle = [];
      for (const resolve of waiting) resolve();
      return;
    }
    this.#isWriting = true;
    // Everything that has queued up goes in one write.
    const bytes =
      this.#queue.length === 1 ? (this.#queue[0] as Buffer) : Buffer.concat(this.#queue);
    this.#queue = [];
    this.#writeAll(bytes);
  }

  #writeAll(bytes: Buffer): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#writeAll(bytes), RETRY_MS);
        return;
      }
      if (error) {
        this.#break(bytes);
        return;
      }
      this.#queuedBytes -= written;
      if (written < bytes.length) this.#writeAll(bytes.subarray(written));
      else this.#writeNext();
    });
  }

  #break(unwritten: Buffer): void {
    this.#isBroken = true;
    this.droppedLineCount += countLines(unwritten);
    for (const bytes of this.#queue) this.droppedLineCount += countLines(bytes);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#writeNext();
  }
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, at + 1)) count++;
  return count;
}
