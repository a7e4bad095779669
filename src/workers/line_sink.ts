/**
 * The supervisor's stdout: whole lines in order, written without ever blocking the process. Waits for
 * a slow reader, or a full disk, within a bound; above it lines are dropped whole and counted. A reader that has
 * gone away stops nothing, and another may come.
 */
import { countLines, LineOutput } from '../platform/line_output.ts';
import type { Timers } from '../platform/platform.ts';

export interface LineSinkOptions {
  readonly fd: number;
  /** That wait. */
  readonly bytesMax: number;
  readonly timers: Timers;
}

export class LineSink {
  readonly #options: LineSinkOptions;
  readonly #output: LineOutput;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isOver = false;
  #onIdle: (() => void)[] = [];
  droppedLineCount = 0;

  constructor(options: LineSinkOptions) {
    this.#options = options;
    this.#output = new LineOutput(options.fd, {
      timers: options.timers,
      onWritten: () => this.#writeNext(),
      onError: () => {},
      onGone: (lineCount) => this.#onGone(lineCount),
    });
  }

  /** `lines` are whole lines, line feeds included. */
  write(lines: Buffer | string): void {
    const bytes = typeof lines === 'string' ? Buffer.from(lines) : lines;
    const waitingBytes = this.#output.byteLength + this.#queuedBytes + bytes.length;
    if (this.#isOver || waitingBytes > this.#options.bytesMax) {
      this.droppedLineCount += countLines([bytes]);
      return;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (!this.#output.isBusy) this.#writeNext();
  }

  /** Resolves when everything is written, or after `timeoutMs`, when what is not is given up. */
  idle(timeoutMs: number): Promise<void> {
    if (this.#output.isGone) this.#giveUp(0);
    if (this.#isOver || !this.#output.isBusy) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.#options.timers.after(timeoutMs, () => {
        this.#giveUp(countLines(this.#output.abandon()));
      });
      this.#onIdle.push(() => {
        stop();
        resolve();
      });
    });
  }

  /** Everything that has queued up goes in one write. */
  #writeNext(): void {
    const pieces = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (pieces.length > 0) this.#output.write(pieces);
    else this.#tellIdle();
  }

  /** Who waits for the end does not wait for another reader. */
  #onGone(lineCount: number): void {
    this.droppedLineCount += lineCount;
    if (this.#onIdle.length > 0) this.#giveUp(0);
  }

  #giveUp(lineCount: number): void {
    this.#isOver = true;
    this.droppedLineCount += lineCount + countLines(this.#queue);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#tellIdle();
  }

  #tellIdle(): void {
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }
}
