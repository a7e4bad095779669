/**
 * A file of state that only its owner reads or writes. Whatever could have been written by another user is not used: an
 * old set is only as good as our certainty that it is ours. It is replaced as a whole, by renaming, so a crash leaves
 * the one before or the new one.
 */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  type Stats,
} from 'node:fs';
import { lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolders } from '../../../platform/folders.ts';

export interface OwnerOnlyOptions {
  /** Made when it is not there. */
  readonly folder: string;
  readonly fileName: string;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
}

const OWNER_ONLY_FILE = 0o600;
export const OWNER_ONLY_FOLDER = 0o700;
const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_ALL = 0o002;
/** Behind the name: not yet renamed. */
const LEFTOVER = /^\.[0-9a-f-]{36}$/;
/** Another process may write beside us; its file is younger. */
const LEFTOVER_AGE_MS = 10_000;

export class OwnerOnlyFile {
  readonly path: string;
  readonly #options: OwnerOnlyOptions;

  constructor(options: OwnerOnlyOptions) {
    this.#options = options;
    this.path = join(options.folder, options.fileName);
  }

  /** Throws; `stateProblem` says why. */
  read(): string {
    let descriptor: number | null = null;
    try {
      checkOwner(lstatSync(this.#options.folder), 'its folder');
      // Opening a pipe would wait for its writer.
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
      descriptor = openSync(this.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const stats = fstatSync(descriptor);
      checkOwner(stats, 'it');
      if (!stats.isFile()) throw new UnusableState('it is not a regular file');
      return readFileSync(descriptor, 'utf8');
    } finally {
      if (descriptor !== null) closeSync(descriptor);
    }
  }

  /** Writes it beside the one before and renames. Rejects; `stateProblem` says why. */
  async write(parts: Iterable<string> | AsyncIterable<string>): Promise<void> {
    const { folder } = this.#options;
    makeFolders(folder, OWNER_ONLY_FOLDER);
    checkOwner(lstatSync(folder), 'its folder');
    await this.#removeLeftovers();
    const temporary = `${this.path}.${randomUUID()}`;
    try {
      const file = await open(temporary, 'wx', OWNER_ONLY_FILE);
      try {
        for await (const part of parts) await file.writeFile(part);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /** A process that is killed while it writes leaves its part behind: one that is killed again and again fills the disk. */
  async #removeLeftovers(): Promise<void> {
    const { folder, fileName, wallMs } = this.#options;
    for (const name of await readdir(folder)) {
      if (!name.startsWith(fileName) || !LEFTOVER.test(name.slice(fileName.length))) continue;
      const path = join(folder, name);
      try {
        const { mtimeMs } = await lstat(path);
        if (wallMs() - mtimeMs > LEFTOVER_AGE_MS) await rm(path, { force: true });
      } catch {
        // Another process beside us has finished it meanwhile.
      }
    }
  }
}

/** For the user: what is wrong with the file. */
export class UnusableState extends Error {}

/** Throws when another user could have written what is there. */
export function checkOwner(stats: Stats, what: string): void {
  const own = process.geteuid?.() ?? 0;
  if (stats.isSymbolicLink()) throw new UnusableState(`${what} is a symbolic link`);
  if (stats.uid !== own && stats.uid !== 0) {
    throw new UnusableState(
      `${what} belongs to user ${stats.uid}, not to us (user ${own}) or root`,
    );
  }
  // Our own group is as good as we are: a container's root can give a folder to a group, and not to a user.
  const isOurGroup = stats.gid === process.getegid?.();
  const forbidden = isOurGroup ? WRITABLE_BY_ALL : WRITABLE_BY_ALL | WRITABLE_BY_GROUP;
  if ((stats.mode & forbidden) !== 0) {
    throw new UnusableState(`${what} can be written by other users`);
  }
}

/** Goes on from the path: "there is none", "its checksum is wrong". */
export function readProblem(error: unknown): string {
  if (error instanceof UnusableState) return error.message;
  if (error instanceof SyntaxError) return 'it is damaged';
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return 'there is none';
    case 'ELOOP':
      return 'it is a symbolic link';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EROFS':
      return 'the file system is read-only';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full';
    default:
      return code ?? message;
  }
}

/** Goes on from the path. */
export function writeProblem(error: unknown): string {
  // Nothing is asked of the file itself: it is a folder above that is not there, and cannot be made.
  const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  return isMissing ? 'its folder cannot be made' : readProblem(error);
}
