/**
 * Where access log lines go: a file descriptor or a file, by pino's destination, never blocking.
 * Lines are gathered and written in batches of whole lines; when the sink does not keep up, more
 * than `accessLogBufferBytesMax` waiting bytes are dropped, and counted.
 */
import { appendFileSync, closeSync, openSync, writeSync } from 'node:fs';
import { destination } from 'pino';
import type { Limits } from '../model/limits.ts';
import type { Timers } from '../platform/platform.ts';

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

/** Batches above this are handed on at once (below the 16 KiB that pino's sink writes at a time). */
const BATCH_BYTES = 8 * 1024;
const STDOUT_FD = 1;
/** Lines name clients and paths: not for everybody on the machine. */
const FILE_MODE = 0o640;

export class LogSink {
  readonly #options: LogSinkOptions;
  readonly #stream: ReturnType<typeof destination>;
  readonly #batchBytesMax: number;
  #batch = '';
  #batchLines = 0;
  #stopTimer: (() => void) | null = null;
  #droppedBefore = 0;
  #writtenLines = 0;
  #droppedLines = 0;
  #errors = 0;
  #isClosed = false;
  /** A new file is wanted and not open yet. */
  #isReopening = false;
  /** The reader of a pipe has gone away. */
  #isBroken = false;

  /** Throws when the file cannot be opened for appending: better at the start than never. */
  constructor(options: LogSinkOptions) {
    this.#options = options;
    const { target } = options;
    const bufferBytesMax = options.limits.accessLogBufferBytesMax;
    if (target.kind === 'file') closeSync(openSync(target.path, 'a', FILE_MODE));
    this.#batchBytesMax = Math.min(BATCH_BYTES, bufferBytesMax >> 1);
    this.#stream = destination({
      dest: destinationOf(target),
      sync: false,
      minLength: 0,
      maxLength: bufferBytesMax,
      append: true,
      mode: FILE_MODE,
    });
    this.#stream.on('drop', () => {
      this.#droppedBefore++;
    });
    this.#countErrors();
    // pino would flush at exit in a loop that never ends when the disk is full: a worker that died
    // would stay, with its share of the connections. What is left is written once, by us.
    this.#stream.flushSync = () => {};
    process.on('exit', this.#onExit);
  }

  /** `line` ends in a line feed and is ASCII. Never throws, never waits. */
  write(line: string): void {
    if (this.#isClosed || this.#isBroken) {
      this.#droppedLines++;
      return;
    }
    this.#batch += line;
    this.#batchLines++;
    if (this.#batch.length >= this.#batchBytesMax) this.#handOn();
    else this.#stopTimer ??= this.#handOnLater();
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
    this.#handOn();
    if (this.#options.target.kind !== 'file' || this.#isClosed || this.#isReopening) return;
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
    if (this.#isBroken) return Promise.resolve();
    return new Promise((resolve) => {
      const { limits, timers } = this.#options;
      const stop = timers.after(limits.accessLogCloseTimeoutMs, () => {
        this.#stream.destroy();
        resolve();
      });
      const done = (): void => {
        stop();
        resolve();
      };
      this.#stream.once('close', done);
      // The stream forgets an end that is asked for while it waits to open the new file.
      if (this.#isReopening) this.#stream.once('ready', () => this.#end(done));
      else this.#end(done);
    });
  }

  #end(onFailure: () => void): void {
    try {
      this.#stream.end();
    } catch {
      onFailure();
    }
  }

  #handOnLater(): () => void {
    const { limits, timers } = this.#options;
    return timers.after(limits.accessLogDelayMs, () => this.#handOn());
  }

  #handOn(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    const lines = this.#batchLines;
    if (lines === 0) return;
    const batch = this.#batch;
    this.#batch = '';
    this.#batchLines = 0;
    const droppedBefore = this.#droppedBefore;
    try {
      this.#stream.write(batch);
    } catch {
      this.#errors++;
      this.#droppedLines += lines;
      return;
    }
    // The stream drops a batch whole, and says so before `write` returns.
    if (this.#droppedBefore > droppedBefore) this.#droppedLines += lines;
    else this.#writtenLines += lines;
  }

  /**
   * In place of pino's own listener, which silently swallows all later lines after EPIPE and lets any
   * other error loose. What waits is tried again with the next write (a disk that was full).
   */
  #countErrors(): void {
    this.#stream.removeAllListeners('error');
    this.#stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#errors++;
      this.#isReopening = false;
      if (error.code !== 'EPIPE' || this.#isBroken) return;
      this.#isBroken = true;
      this.#stream.destroy();
    });
  }

  /** A worker that dies of an exception leaves the lines that were still being gathered. */
  readonly #onExit = (): void => {
    const { target } = this.#options;
    try {
      if (target.kind === 'file') appendFileSync(target.path, this.#batch);
      else writeSync(target.kind === 'stdout' ? STDOUT_FD : target.fd, this.#batch);
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
