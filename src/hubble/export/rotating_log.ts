/**
 * Lines in a file that is put aside when it is full: `flows.log`, then `flows-2026-03-01T10-00-00.000.log` beside it, as
 * Cilium's exporter names them. So many of those stay, compressed if that is wanted. Whoever writes never waits.
 */
import { createReadStream, createWriteStream, readdir, renameSync, rm, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { Limits } from '../../model/limits.ts';
import { LogSink } from '../../observe/log/sink.ts';
import type { Clock, Timers } from '../../platform/platform.ts';

export interface RotatingLogOptions {
  /** Absolute. */
  readonly path: string;
  readonly fileBytesMax: number;
  /** Files that were put aside; 0: none stays. */
  readonly backupCountMax: number;
  readonly isCompressed: boolean;
  readonly limits: Pick<
    Limits,
    'hubbleExportQueueBytesMax' | 'accessLogDelayMs' | 'accessLogCloseTimeoutMs'
  >;
  readonly timers: Timers;
  readonly clock: Clock;
  /** A file could not be put aside, compressed or removed. */
  readonly onProblem: (problem: string) => void;
}

export interface RotatingLogCounts {
  readonly writtenLines: number;
  readonly droppedLines: number;
  readonly errors: number;
}

const COMPRESSED = '.gz';
const LOOK_PART = 8;

export class RotatingLog {
  readonly #options: RotatingLogOptions;
  readonly #sink: LogSink;
  /** Of the file, with what is on its way to it. */
  #byteLength: number;
  #fullAt: number;
  /** The work on files that were put aside, one after the other. */
  #aside: Promise<void> = Promise.resolve();

  /** Throws when the file cannot be opened. */
  constructor(options: RotatingLogOptions) {
    const { path, limits, timers } = options;
    this.#options = options;
    this.#sink = new LogSink({
      target: { kind: 'file', path },
      limits: { ...limits, accessLogBufferBytesMax: limits.hubbleExportQueueBytesMax },
      timers,
    });
    this.#fullAt = options.fileBytesMax;
    this.#byteLength = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** `line` ends in a line feed. */
  write(line: Uint8Array): void {
    if (this.#byteLength > 0 && this.#byteLength + line.length > this.#fullAt) this.#putAside();
    this.#byteLength += line.length;
    this.#sink.write(line);
  }

  counts(): RotatingLogCounts {
    return this.#sink.counts();
  }

  async close(): Promise<void> {
    await this.#sink.close();
    await this.#aside;
  }

  /** What is on its way to the file goes there under its new name. */
  #putAside(): void {
    const { path, clock, fileBytesMax, onProblem } = this.#options;
    try {
      const stats = statSync(path, { throwIfNoEntry: false });
      if (stats?.isFile() !== true || stats.size === 0) {
        // A pipe, or what is written is not there yet: seen again when as much again has come, or a part of it.
        this.#fullAt = this.#byteLength + Math.ceil(fileBytesMax / LOOK_PART);
        return;
      }
      const backup = backupPath(path, clock.wallMs());
      renameSync(path, backup);
      this.#aside = this.#aside.then(() => this.#keep(backup));
    } catch (error) {
      onProblem(`${path} cannot be put aside: ${textOf(error)}`);
    }
    this.#byteLength = 0;
    this.#fullAt = fileBytesMax;
    this.#sink.reopen();
  }

  async #keep(backup: string): Promise<void> {
    const { path, backupCountMax, isCompressed, onProblem } = this.#options;
    try {
      const names = (await namesIn(dirname(path))).filter((name) => isBackupOf(path, name));
      const old = names.sort().reverse().slice(backupCountMax);
      for (const name of old) await removed(join(dirname(path), name));
      if (isCompressed && !old.includes(basename(backup))) await compressed(backup);
    } catch (error) {
      onProblem(`files put aside of ${path}: ${textOf(error)}`);
    }
  }
}

function backupPath(path: string, nowMs: number): string {
  const extension = extname(path);
  const stem = path.slice(0, path.length - extension.length);
  return `${stem}-${new Date(nowMs).toISOString().slice(0, -1).replaceAll(':', '-')}${extension}`;
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}$/;

function isBackupOf(path: string, name: string): boolean {
  const extension = extname(path);
  const stem = basename(path, extension);
  const plain = name.endsWith(COMPRESSED) ? name.slice(0, -COMPRESSED.length) : name;
  if (!plain.startsWith(`${stem}-`) || !plain.endsWith(extension)) return false;
  return TIME.test(plain.slice(stem.length + 1, plain.length - extension.length));
}

function namesIn(folder: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    readdir(folder, (error, names) => (error === null ? resolve(names) : reject(error)));
  });
}

function removed(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    rm(path, { force: true }, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** The whole file under the new name, or none. */
async function compressed(path: string): Promise<void> {
  const unfinished = `${path}${COMPRESSED}.unfinished`;
  const target = createWriteStream(unfinished, { mode: 0o640 });
  await new Promise<void>((resolve, reject) => {
    pipeline(createReadStream(path), createGzip(), target, (error) =>
      error ? reject(error) : resolve(),
    );
  });
  renameSync(unfinished, `${path}${COMPRESSED}`);
  await removed(path);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
