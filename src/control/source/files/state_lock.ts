/**
 * Whose state folder it is: two proxies that keep their last good set in one file would each start with the other's.
 * One that stands beside the proxy which it replaces waits until that one has ended.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { type FileLock, lockFile } from '../../../platform/file_lock.ts';
import { makeFolders } from '../../../platform/folders.ts';
import type { Timers } from '../../../platform/platform.ts';
import { checkOwner, OWNER_ONLY_FOLDER } from './owner_only_file.ts';

export interface StateLockOptions {
  /** As in `LastGoodOptions`. */
  readonly folder: string;
  readonly name: string;
  readonly timers: Timers;
}

/** Between two tries to take it over. */
const RETRY_MS = 250;

export class StateLock {
  readonly #options: StateLockOptions;
  #release: (() => void) | null = null;
  #cancelRetry: (() => void) | null = null;
  #isOver = false;

  constructor(options: StateLockOptions) {
    this.#options = options;
  }

  async take(): Promise<FileLock> {
    const folder = join(this.#options.folder, this.#options.name);
    try {
      makeFolders(folder, OWNER_ONLY_FOLDER);
      // Else others could hold up our start for ever.
      checkOwner(lstatSync(folder), folder);
    } catch (error) {
      return { kind: 'error', message: error instanceof Error ? error.message : String(error) };
    }
    const lock = await lockFile(join(folder, 'lock'));
    if (lock.kind !== 'held') return lock;
    if (this.#isOver) lock.release();
    else this.#release = lock.release;
    return lock;
  }

  /** Calls `onHeld` when whoever has it has let it go. */
  takeLater(onHeld: () => void): void {
    if (this.#isOver) return;
    this.#cancelRetry = this.#options.timers.after(RETRY_MS, async () => {
      const lock = await this.take();
      if (this.#isOver) return;
      if (lock.kind === 'taken') this.takeLater(onHeld);
      else onHeld();
    });
  }

  release(): void {
    this.#isOver = true;
    this.#cancelRetry?.();
    this.#release?.();
    this.#release = null;
  }
}
