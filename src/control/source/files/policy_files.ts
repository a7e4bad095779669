/**
 * Policies from files: reads files, directories and standard input into a bundle of texts, and
 * watches them. Knows nothing of what the texts say. Files are named as they were given, so that a
 * ConfigMap mount (`..data` and the symbolic links into it) shows stable names in messages.
 */
import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Limits } from '../../../model/limits.ts';
import type { Timers } from '../../../platform/platform.ts';
import { PolicyFolders } from './policy_folders.ts';
import { ReadBudget } from './read_budget.ts';
import { ReadError, reading } from './read_error.ts';
import { policyFiles, readText, STDIN } from './read_texts.ts';
import type { SourceBundle, SourceText } from './source_bundle.ts';
import { areReplacedWhole, digestOf, stampOf, unreadableStamp } from './stamps.ts';

export interface PolicyFilesOptions {
  /** Files, directories or "-" (standard input, read once). */
  readonly policies: readonly string[];
  readonly endpoints: string | null;
  readonly secrets: string | null;
  /** For the bundle. */
  readonly hasNodeLabels?: boolean;
  readonly limits: Pick<
    Limits,
    | 'policyBytesMax'
    | 'policyFileCountMax'
    | 'policyFolderCountMax'
    | 'reloadDelayMs'
    | 'reloadPollIntervalMs'
  >;
  readonly timers: Timers;
  /** What an earlier reader read from standard input. */
  readonly stdin?: string | null;
  /** Stands before the file system's: for tests. */
  readonly readBytes?: (path: string) => Buffer;
}

export type ReadResult =
  | { readonly kind: 'ok'; readonly bundle: SourceBundle }
  | { readonly kind: 'error'; readonly path: string; readonly message: string }
  /** The files are just being written. A watcher is called again. */
  | { readonly kind: 'moving'; readonly path: string; readonly message: string };

const CHANGED = 'a file changed while it was read';
/** Files that are replaced all the time are read after so many delays without one in which nothing moved. */
const RESTLESS_LOOKS_MAX = 5;
/** That something is written in place all the time is told after so many, and then as often again. */
const RESTLESS_LOOKS_TOLD = 50;

/** Told in the log while no set of files can be read whole. */
export const RESTLESS =
  'policy, endpoints or secrets files keep being written to; the last good set stays in force until they rest';

export class PolicyFiles {
  readonly #options: PolicyFilesOptions;
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly ino: string }>();
  /** That the last look went into. */
  #folders: readonly string[] = [];
  #stdin: string | null = null;
  /** Of what was read last, taken before it was read: a change in between is seen later. */
  #fingerprint: string | null = null;
  /** What the last read failed with, where nothing in the files has to change for the next one to succeed. */
  #systemFault: ReadError | null = null;
  #stops: (() => void)[] = [];
  readonly #waiting = new Set<() => void>();
  #cancelLook: (() => void) | null = null;
  #onRestless: () => void = () => {};

  constructor(options: PolicyFilesOptions) {
    this.#options = options;
    this.#stdin = options.stdin ?? null;
  }

  /** Of what was read last: equal as long as no content can have changed. Null before the first read. */
  get fingerprint(): string | null {
    return this.#fingerprint === null ? null : digestOf(this.#fingerprint);
  }

  /** True when the files are those of that fingerprint: then they count as read. */
  passOver(fingerprint: string): boolean {
    const now = this.#look();
    if (digestOf(now) !== fingerprint) return false;
    this.#fingerprint = now;
    return true;
  }

  /**
   * Reads everything anew. An unreadable file or a bound that is exceeded is an error, not less; so
   * are files that change while they are read, which together are a set that nobody has written. `onLooked`: the
   * fingerprint is theirs, and none is open yet.
   */
  read(onLooked: () => void = () => {}): ReadResult {
    const before = this.#look();
    this.#fingerprint = before;
    this.#systemFault = null;
    onLooked();
    try {
      const bundle = this.#readBundle();
      if (this.#look() !== before) {
        const { path, message } = new ReadError(this.#firstPath(), CHANGED);
        return { kind: 'moving', path, message };
      }
      return { kind: 'ok', bundle };
    } catch (error) {
      if (error instanceof ReadError) {
        this.#systemFault = error.isOfSystem ? error : null;
        return { kind: 'error', path: error.path, message: error.message };
      }
      throw error;
    }
  }

  /**
   * Calls `onChange` after files changed and then were quiet for `reloadDelayMs`; the caller reads.
   * Notifications of the file system make it quick; a periodic look makes it certain (network file
   * systems, directories that come later). Does not keep the process alive. `onRestless`: a file is being written
   * in place without end, and nothing is read until it rests.
   */
  watch(onChange: () => void, onRestless: () => void = () => {}): void {
    this.#onRestless = onRestless;
    this.#fingerprint ??= this.#look();
    const changed = (): void => this.whenSettled(tell);
    const tell = (): void => {
      const now = this.#look();
      if (now === this.#fingerprint && !this.#isFaultOver()) return;
      this.#fingerprint = now;
      // A folder that came with the change is watched from now on.
      this.#watchAll(changed);
      onChange();
    };
    this.#watchAll(changed);
    const poll = (): void => {
      const now = this.#look();
      this.#watchAll(changed);
      if (now !== this.#fingerprint || this.#isFaultOver()) changed();
    };
    this.#stops.push(this.#options.timers.every(this.#options.limits.reloadPollIntervalMs, poll));
  }

  /**
   * Calls `task` when two looks, `reloadDelayMs` apart, saw the same files: a file that is written in
   * place, or is gone for a moment between two versions, is not taken at its word. Where the looks never agree
   * because files are replaced whole, by a rename, more often than that, the task does not wait for ever. One that waits
   * already is not added again. Notifications do not put it off: they also come for files that are no
   * policies, such as a log in the same directory. Never called after `stop`.
   */
  whenSettled(task: () => void): void {
    this.#waiting.add(task);
    if (this.#cancelLook === null) this.#lookAgain(this.#look(), 1);
  }

  stop(): void {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.#waiting.clear();
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /**
   * The system did not let us read (too many open files, a disk that did not answer), and now it does: no change of a
   * file tells of that. A failure of another kind is told as well.
   */
  #isFaultOver(): boolean {
    if (this.#systemFault === null) return false;
    const { path, message } = this.#systemFault;
    const { limits } = this.#options;
    try {
      const budget = new ReadBudget(limits);
      for (const file of policyFiles(path, new PolicyFolders(limits))) this.#readText(file, budget);
      return true;
    } catch (error) {
      if (error instanceof ReadError) return error.message !== message;
      throw error;
    }
  }

  #lookAgain(before: string, count: number): void {
    const { limits, timers } = this.#options;
    this.#cancelLook = timers.after(limits.reloadDelayMs, () => {
      this.#cancelLook = null;
      const now = this.#look();
      const isWhole = count >= RESTLESS_LOOKS_MAX && areReplacedWhole(before, now);
      if (now !== before && !isWhole) {
        if (count % RESTLESS_LOOKS_TOLD === 0) this.#onRestless();
        this.#lookAgain(now, count + 1);
        return;
      }
      const tasks = [...this.#waiting];
      this.#waiting.clear();
      for (const task of tasks) task();
    });
  }

  #readBundle(): SourceBundle {
    const { endpoints, secrets } = this.#options;
    const budget = new ReadBudget(this.#options.limits);
    const folders = new PolicyFolders(this.#options.limits);
    return {
      policies: [...new Set(this.#options.policies)].flatMap((path) =>
        policyFiles(path, folders).map((file) => this.#readText(file, budget)),
      ),
      endpoints: endpoints === null ? null : this.#readText(endpoints, budget),
      secrets: secrets === null ? null : this.#readText(secrets, budget),
      hasNodeLabels: this.#options.hasNodeLabels === true,
    };
  }

  #readText(path: string, budget: ReadBudget): SourceText {
    if (path === STDIN) {
      this.#stdin ??= reading('standard input', () => readFileSync(0, 'utf8'));
      budget.take(path, Buffer.byteLength(this.#stdin));
      return { path, text: this.#stdin };
    }
    const { readBytes } = this.#options;
    return readText(path, budget, { isPipeAllowed: false, readBytes });
  }

  #firstPath(): string {
    return this.#paths()[0] ?? STDIN;
  }

  /**
   * Watches the folder of each path, so that files that are replaced by a rename keep being seen, and all folders that
   * the last look went into. One that another has come in the place of is watched anew.
   */
  #watchAll(changed: () => void): void {
    const wanted = this.#wantedFolders();
    for (const [folder, { watcher, ino }] of this.#watchers) {
      if (wanted.get(folder) === ino) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const [folder, ino] of wanted) {
      if (this.#watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, changed);
        watcher.on('error', () => {
          watcher.close();
          if (this.#watchers.get(folder)?.watcher === watcher) this.#watchers.delete(folder);
        });
        this.#watchers.set(folder, { watcher, ino });
      } catch {
        // Gone again, or no watches left: the periodic look finds what changes.
      }
    }
  }

  /** Those that are there, with what tells one from another of the same name. */
  #wantedFolders(): ReadonlyMap<string, string> {
    const wanted = new Map<string, string>();
    for (const folder of [...this.#paths().map((path) => dirname(path)), ...this.#folders]) {
      const stats = statSync(folder, { bigint: true, throwIfNoEntry: false });
      if (stats?.isDirectory() === true) wanted.set(folder, `${stats.dev}:${stats.ino}`);
    }
    return wanted;
  }

  #paths(): readonly string[] {
    const { policies, endpoints, secrets } = this.#options;
    return [...policies, endpoints, secrets].filter(
      (path): path is string => path !== null && path !== STDIN,
    );
  }

  /** Names, sizes, times and inodes of all files: differs when any content may differ. */
  #look(): string {
    const { policies, limits } = this.#options;
    const folders = new PolicyFolders(limits);
    const parts: string[] = [];
    for (const path of this.#paths()) {
      try {
        const files = policies.includes(path) ? policyFiles(path, folders) : [path];
        for (const file of files) parts.push(stampOf(file));
      } catch {
        parts.push(unreadableStamp(path));
      }
    }
    this.#folders = folders.folders;
    return parts.join('\n');
  }
}
