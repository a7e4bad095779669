/**
 * Where access log lines go: a file descriptor or a file, by pino's destination, never blocking.
 * While one write is under way the lines that come are gathered, and go together in the next; above
 * `accessLogBufferBytesMax` they are dropped, and counted.
 *
 *     write(line) ──► #batch (gathered) ──► #pending (given to the stream) ──► descriptor
 *
 * Lines are gathered as bytes: as one growing string they are thousands of small objects that outlive
 * several collections of the heap (half of the CPU of an HTTP/2 request, docs/performance.md).
 */
import { appendFileSync, closeSync, openSync, writeSync } from 'node:fs';
import { destination } from 'pino';
import type { Limits } from '../model/limits.ts';
import type { Timers } from '../platform/platform.ts';
import { LineBatch } from './line_batch.ts';

export type LogTarget =
  | { readonly kind: 'stdout' }
  | { readonly kind: 'file'; readonly path: string }
  /** For tests, and for whoever holds a descriptor. */
  | { readonly kind: 'descriptor'; readonly fd: number };

export interface LogSinkOptions {
  readonly target: LogTarget;
  readonly limits: Pick<
    Limits,
    'accessLogBufferBytesMax' | 'accessLogDelayMs' | 'accessLogCloseTimeoutMs'
  >;
  readonly timers: Timers;
}

export interface LogSinkCounts {
  readonly writtenLines: number;
  readonly droppedLines: number;
  readonly errors: number;
}

/** Gathered lines above this are written without waiting for more: few large writes cost less than many. */
const WITHOUT_WAITING_BYTES = 384 * 1024;
const STDOUT_FD = 1;
/** Lines name clients and paths: not for everybody on the machine. */
const FILE_MODE = 0o640;

export class LogSink {
  readonly #options: LogSinkOptions;
  readonly #stream: ReturnType<typeof destination>;
  readonly #batch = new LineBatch();
  #pendingBytes = 0;
  #pendingLines = 0;
  /** The stream has something to write and has not failed at it. */
  #isBusy = false;
  #stopTimer: (() => void) | null = null;
  #writtenLines = 0;
  #droppedLines = 0;
  #errors = 0;
  #isClosed = false;
  /** A new file is wanted and not open yet. */
  #isReopening = false;

  /** Throws when the file cannot be opened for appending: better at the start than never. */
  constructor(options: LogSinkOptions) {
    this.#options = options;
    const { target } = options;
    if (target.kind === 'file') closeSync(openSync(target.path, 'a', FILE_MODE));
    this.#stream = destination({
      dest: destinationOf(target),
      sync: false,
      minLength: 0,
      append: true,
      mode: FILE_MODE,
      contentMode: 'buffer',
    });
    // In place of pino's own listener, which silently swallows all later lines after EPIPE and lets
    // any other error loose.
    this.#stream.removeAllListeners('error');
    this.#stream.on('error', (error: NodeJS.ErrnoException) => this.#onError(error));
    this.#stream.on('drain', () => this.#onDrain());
    // pino would flush at exit in a loop that never ends when the disk is full: a worker that died
    // would stay, with its share of the connections. What is left is written once, by us.
    this.#stream.flushSync = () => {};
    process.on('exit', this.#onExit);
  }

  /** `line` ends in a line feed, and is copied. Never throws, never waits. */
  write(line: Uint8Array): void {
    const bytes = this.#pendingBytes + this.#batch.byteLength + line.length;
    if (this.#isClosed || bytes > this.#options.limits.accessLogBufferBytesMax) {
      this.#droppedLines++;
      return;
    }
    this.#batch.add(line);
    this.#writeIfDue();
  }

  counts(): LogSinkCounts {
    return {
      writtenLines: this.#writtenLines,
      droppedLines: this.#droppedLines,
      errors: this.#errors,
    };
  }

  /** After a rotation: goes on in a file of the same name. A failure leaves the old one in use. */
  reopen(): void {
    if (this.#isClosed) return;
    this.#handOn();
    if (this.#options.target.kind !== 'file' || this.#isReopening) return;
    this.#isReopening = true;
    this.#stream.once('ready', () => {
      this.#isReopening = false;
    });
    try {
      this.#stream.reopen();
    } catch {
      this.#isReopening = false;
      this.#errors++;
    }
  }

  /** Resolves when everything is written, or after a while when the sink does not take it. */
  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#handOn();
    this.#isClosed = true;
    process.off('exit', this.#onExit);
    return new Promise((resolve) => {
      const { limits, timers } = this.#options;
      const stop = timers.after(limits.accessLogCloseTimeoutMs, () => {
        this.#giveUp();
        resolve();
      });
      const done = (): void => {
        stop();
        this.#settle();
        resolve();
      };
      this.#stream.once('close', done);
      // The stream forgets an end that is asked for while it waits to open the new file.
      if (this.#isReopening) this.#stream.once('ready', () => this.#end(done));
      else this.#end(done);
    });
  }

  #writeIfDue(): void {
    if (this.#isBusy || this.#batch.lineCount === 0) return;
    if (this.#batch.byteLength >= WITHOUT_WAITING_BYTES) {
      this.#handOn();
    } else {
      const { limits, timers } = this.#options;
      this.#stopTimer ??= timers.after(limits.accessLogDelayMs, () => this.#handOn());
    }
  }

  #handOn(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    if (this.#batch.lineCount === 0) return;
    this.#pendingBytes += this.#batch.byteLength;
    this.#pendingLines += this.#batch.lineCount;
    this.#isBusy = true;
    const pieces = this.#batch.take();
    try {
      // The types know text only; the stream is made for bytes.
      for (const piece of pieces) this.#stream.write(piece as unknown as string);
    } catch {
      this.#errors++;
      this.#giveUp();
    }
  }

  #onDrain(): void {
    this.#settle();
    this.#writeIfDue();
  }

  #settle(): void {
    this.#writtenLines += this.#pendingLines;
    this.#pendingLines = 0;
    this.#pendingBytes = 0;
    this.#isBusy = false;
    this.#batch.written();
  }

  /** What waits is tried again with the next write: a disk that was full. */
  #onError(error: NodeJS.ErrnoException): void {
    this.#errors++;
    this.#isBusy = false;
    this.#isReopening = false;
    // The reader of a pipe has gone away, for good.
    if (error.code === 'EPIPE') this.#giveUp();
  }

  #giveUp(): void {
    this.#isClosed = true;
    this.#droppedLines += this.#pendingLines + this.#batch.lineCount;
    this.#pendingLines = 0;
    this.#batch.take();
    process.off('exit', this.#onExit);
    this.#stream.destroy();
  }

  #end(onFailure: () => void): void {
    try {
      this.#stream.end();
    } catch {
      onFailure();
    }
  }

  /** A worker that dies of an exception leaves the lines that were still being gathered. */
  readonly #onExit = (): void => {
    const { target } = this.#options;
    try {
      const batch = Buffer.concat(this.#batch.take());
      if (target.kind === 'file') appendFileSync(target.path, batch);
      else writeSync(target.kind === 'stdout' ? STDOUT_FD : target.fd, batch);
    } catch {
      // Nobody is left to tell.
    }
  };
}

function destinationOf(target: LogTarget): string | number {
  switch (target.kind) {
    case 'stdout':
      return STDOUT_FD;
    case 'file':
      return target.path;
    case 'descriptor':
      return target.fd;
  }
}
