/**
 * Where access log lines go: a descriptor or a file, never blocking. While one write is under way the lines that
 * come are gathered, and go together in the next; above `accessLogBufferBytesMax` they are dropped, and counted.
 *
 *     write(line) ──► #batch (gathered) ──► #output (being written) ──► descriptor
 *
 * Lines are gathered as bytes: as one growing string they are thousands of small objects that outlive
 * several collections of the heap (half of the CPU of an HTTP/2 request, docs/performance.md).
 */
import { close, constants, open, openSync, stat, statSync, writeSync } from 'node:fs';
import type { Limits } from '../../model/limits.ts';
import { countLines, LineOutput } from '../../platform/line_output.ts';
import type { Timers } from '../../platform/platform.ts';
import { LineBatch } from './batch.ts';

export type LogTarget =
  | { readonly kind: 'stdout' }
  | { readonly kind: 'file'; readonly path: string }
  /** For tests, and for whoever has a descriptor: it is the sink's from now on. */
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
const { O_RDWR, O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
/** To append. To open a pipe would wait for its reader; for a file O_NONBLOCK says nothing. */
const FILE_FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK;
/**
 * As if we read it as well: then it can be opened before its reader, and outlives one that is started again, which
 * finds what was written meanwhile (fifo(7)).
 */
const PIPE_FLAGS = O_RDWR | O_NONBLOCK;

export class LogSink {
  readonly #options: LogSinkOptions;
  readonly #output: LineOutput;
  readonly #batch = new LineBatch();
  #fd: number;
  #pendingBytes = 0;
  #pendingLines = 0;
  #stopTimer: (() => void) | null = null;
  #writtenLines = 0;
  #droppedLines = 0;
  #errors = 0;
  #isClosed = false;
  /** Counts what was asked to be opened again: only the last one is used. */
  #openTurn = 0;
  /** What is gathered waits for the new file. */
  #isOpening = false;
  #onceEnded: (() => void) | null = null;
  #hasEnded = false;

  /** Throws when the file cannot be opened for appending: better at the start than never. */
  constructor(options: LogSinkOptions) {
    this.#options = options;
    this.#fd = openTarget(options.target);
    this.#output = new LineOutput(this.#fd, {
      timers: options.timers,
      isShared: isPipe(options.target),
      onWritten: () => this.#onWritten(),
      onError: () => {
        this.#errors++;
      },
      onGone: (lineCount) => {
        this.#errors++;
        this.#onGone(lineCount);
      },
    });
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

  /** A line that is not worth its room now: counted as dropped. */
  drop(): void {
    this.#droppedLines++;
  }

  /** So full that it could be one source that fills it. */
  get isCrowded(): boolean {
    const bytes = this.#pendingBytes + this.#batch.byteLength;
    return 2 * bytes > this.#options.limits.accessLogBufferBytesMax;
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
    const { target } = this.#options;
    if (this.#isClosed || target.kind !== 'file') return;
    this.#handOn();
    this.#isOpening = true;
    const turn = ++this.#openTurn;
    stat(target.path, (_, stats) => {
      const flags = stats?.isFIFO() === true ? PIPE_FLAGS : FILE_FLAGS;
      open(target.path, flags, FILE_MODE, (error, fd) => this.#onOpened(turn, error, fd));
    });
  }

  #onOpened(turn: number, error: Error | null, fd: number): void {
    const isLast = turn === this.#openTurn;
    if (error !== null) {
      this.#errors++;
    } else if (!isLast || this.#hasEnded) {
      close(fd, () => {});
    } else {
      this.#fd = fd;
      this.#output.moveTo(fd);
    }
    if (!isLast) return;
    this.#isOpening = false;
    this.#goOn();
  }

  /** Resolves when everything is written, or after a while when the sink does not take it. */
  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#isClosed = true;
    return new Promise((resolve) => {
      const { limits, timers } = this.#options;
      const stop = timers.after(limits.accessLogCloseTimeoutMs, () => {
        this.#giveUp(countLines(this.#output.abandon()));
      });
      this.#onceEnded = () => {
        stop();
        resolve();
      };
      this.#goOn();
    });
  }

  #writeIfDue(): void {
    if (this.#output.isBusy || this.#batch.lineCount === 0) return;
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
    if (this.#output.isBusy || this.#isOpening || this.#batch.lineCount === 0) return;
    this.#pendingBytes = this.#batch.byteLength;
    this.#pendingLines = this.#batch.lineCount;
    this.#output.write(this.#batch.take());
  }

  #onWritten(): void {
    this.#writtenLines += this.#pendingLines;
    this.#pendingLines = 0;
    this.#pendingBytes = 0;
    this.#batch.written();
    this.#goOn();
  }

  /** What was gathered meanwhile, or the end when there is nothing. */
  #goOn(): void {
    if (this.#isClosed) {
      this.#handOn();
      if (this.#output.isGone) this.#giveUp(0);
      else if (!this.#output.isBusy && !this.#isOpening) this.#end();
    } else {
      this.#writeIfDue();
    }
  }

  /** So many of what was handed on are not written; what comes later is tried. */
  #onGone(lineCount: number): void {
    this.#writtenLines += this.#pendingLines - lineCount;
    this.#droppedLines += lineCount;
    this.#pendingLines = 0;
    this.#pendingBytes = 0;
    this.#batch.written();
    if (this.#isClosed) this.#goOn();
  }

  /** So many of what was handed on are not written, and what was gathered will not be. */
  #giveUp(lineCount: number): void {
    this.#writtenLines += this.#pendingLines - lineCount;
    this.#droppedLines += lineCount + this.#batch.lineCount;
    this.#isClosed = true;
    this.#end();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stopTimer?.();
    process.off('exit', this.#onExit);
    if (this.#options.target.kind !== 'stdout') this.#output.close();
    this.#onceEnded?.();
  }

  /** A worker that dies of an exception leaves what nobody was writing yet. */
  readonly #onExit = (): void => {
    try {
      const lines = [...this.#output.waiting(), ...this.#batch.take()];
      for (const bytes of lines) writeSync(this.#fd, bytes);
    } catch {
      // Nobody is left to tell.
    }
  };
}

function openTarget(target: LogTarget): number {
  switch (target.kind) {
    case 'stdout':
      return STDOUT_FD;
    case 'file':
      return isPipe(target) ? openPipe(target.path) : openSync(target.path, FILE_FLAGS, FILE_MODE);
    case 'descriptor':
      return target.fd;
  }
}

/** Who may only write to it needs its reader first. */
function openPipe(path: string): number {
  try {
    return openSync(path, PIPE_FLAGS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    return openSync(path, FILE_FLAGS);
  }
}

function isPipe(target: LogTarget): boolean {
  return (
    target.kind === 'file' && statSync(target.path, { throwIfNoEntry: false })?.isFIFO() === true
  );
}
