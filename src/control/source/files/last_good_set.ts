/**
 * The last good policy set on disk, so that a process that starts while the files are bad has something better
 * than nothing to enforce. Texts as they were read, in one file that only its owner reads or writes, since
 * secrets are among them:
 *
 *     {"format":1,"sha256":"<of the second line>","savedAt":"2026-01-02T03:04:05.000Z"}
 *     {"policies":[{"path","text"}, ...],"endpoints":...,"secrets":...}
 *
 * Whatever could have been written by another user, or is damaged, is not used: an old set is only as good as
 * our certainty that it is ours.
 */
import { createHash, randomUUID } from 'node:crypto';
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
import type { SourceBundle, SourceText } from './source_bundle.ts';

export interface LastGoodOptions {
  /** Made when it is not there, with a folder for each user in it. */
  readonly folder: string;
  /** Who uses it: "proxy" or "loader". They may run as different users. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  /** A set that could not be saved; told once for each attempt. */
  readonly onError: (message: string) => void;
  /** False: nothing is written before `own`, since another process has the folder. Absent: it is ours. */
  readonly isOurs?: boolean;
}

export type LoadedSet =
  | { readonly kind: 'found'; readonly bundle: SourceBundle; readonly savedAt: string }
  /** `message` goes on from the path: "there is none", "its checksum is wrong". */
  | { readonly kind: 'none'; readonly message: string };

const FORMAT = 1;
const OWNER_ONLY_FILE = 0o600;
export const OWNER_ONLY_FOLDER = 0o700;
const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_ALL = 0o002;
/** Not yet renamed. */
const LEFTOVER = /^last-good\.[0-9a-f-]{36}$/;
/** Another process may write beside us; its file is younger. */
const LEFTOVER_AGE_MS = 10_000;

export class LastGoodSet {
  readonly path: string;
  readonly #folder: string;
  readonly #options: LastGoodOptions;
  #next: SourceBundle | null = null;
  #saving: Promise<void> | null = null;
  #isOurs: boolean;

  constructor(options: LastGoodOptions) {
    this.#options = options;
    this.#isOurs = options.isOurs ?? true;
    this.#folder = join(options.folder, options.name);
    this.path = join(this.#folder, 'last-good');
  }

  load(): LoadedSet {
    let descriptor: number | null = null;
    try {
      checkOwner(lstatSync(this.#folder), 'its folder');
      // Opening a pipe would wait for its writer.
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
      descriptor = openSync(this.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const stats = fstatSync(descriptor);
      checkOwner(stats, 'it');
      if (!stats.isFile()) throw new Unusable('it is not a regular file');
      return parsed(readFileSync(descriptor, 'utf8'));
    } catch (error) {
      return { kind: 'none', message: messageOf(error) };
    } finally {
      if (descriptor !== null) closeSync(descriptor);
    }
  }

  /** Writes it beside the one before and renames, so a crash leaves one of the two. The newest wins. */
  save(bundle: SourceBundle): void {
    this.#next = bundle;
    if (this.#isOurs) this.#saving ??= this.#saveAll();
  }

  /** What was to be saved meanwhile is saved now. */
  own(): void {
    this.#isOurs = true;
    if (this.#next !== null) this.#saving ??= this.#saveAll();
  }

  /** Resolves when what was to be saved is, or could not be. */
  async settled(): Promise<void> {
    await this.#saving;
  }

  async #saveAll(): Promise<void> {
    while (this.#next !== null) {
      const bundle = this.#next;
      this.#next = null;
      try {
        await this.#write(printed(bundle, this.#options.wallMs()));
      } catch (error) {
        // Nothing is asked of the file itself: it is a folder above that is not there, and cannot be made.
        const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
        const message = isMissing ? 'its folder cannot be made' : messageOf(error);
        this.#options.onError(`cannot write ${this.path}: ${message}`);
      }
    }
    this.#saving = null;
  }

  async #write(text: string): Promise<void> {
    makeFolders(this.#folder, OWNER_ONLY_FOLDER);
    checkOwner(lstatSync(this.#folder), 'its folder');
    await this.#removeLeftovers();
    const temporary = `${this.path}.${randomUUID()}`;
    try {
      const file = await open(temporary, 'wx', OWNER_ONLY_FILE);
      try {
        await file.writeFile(text);
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
    for (const name of await readdir(this.#folder)) {
      if (!LEFTOVER.test(name)) continue;
      const path = join(this.#folder, name);
      try {
        const { mtimeMs } = await lstat(path);
        if (this.#options.wallMs() - mtimeMs > LEFTOVER_AGE_MS) await rm(path, { force: true });
      } catch {
        // Another process beside us has finished it meanwhile.
      }
    }
  }
}

/** For the user: what is wrong with the file. */
class Unusable extends Error {}

/** Throws when another user could have written what is there. */
export function checkOwner(stats: Stats, what: string): void {
  const own = process.geteuid?.() ?? 0;
  if (stats.isSymbolicLink()) throw new Unusable(`${what} is a symbolic link`);
  if (stats.uid !== own && stats.uid !== 0) {
    throw new Unusable(`${what} belongs to user ${stats.uid}, not to us (user ${own}) or root`);
  }
  // Our own group is as good as we are: a container's root can give a folder to a group, and not to a user.
  const isOurGroup = stats.gid === process.getegid?.();
  const forbidden = isOurGroup ? WRITABLE_BY_ALL : WRITABLE_BY_ALL | WRITABLE_BY_GROUP;
  if ((stats.mode & forbidden) !== 0) {
    throw new Unusable(`${what} can be written by other users`);
  }
}

function printed(bundle: SourceBundle, wallMs: number): string {
  const body = JSON.stringify({
    policies: bundle.policies,
    endpoints: bundle.endpoints,
    secrets: bundle.secrets,
    hasNodeLabels: bundle.hasNodeLabels,
  });
  const header = {
    format: FORMAT,
    sha256: sha256(body),
    savedAt: new Date(wallMs).toISOString(),
  };
  return `${JSON.stringify(header)}\n${body}\n`;
}

function parsed(text: string): LoadedSet {
  const lineEnd = text.indexOf('\n');
  const header: unknown = JSON.parse(text.slice(0, lineEnd));
  if (!isRecord(header)) throw new Unusable('it has no header');
  if (header['format'] !== FORMAT) {
    throw new Unusable(`its format is ${String(header['format'])}, not ${FORMAT}`);
  }
  const body = text.slice(lineEnd + 1, -1);
  if (header['sha256'] !== sha256(body)) throw new Unusable('its checksum is wrong');
  const bundle: unknown = JSON.parse(body);
  const savedAt = header['savedAt'];
  if (!isBundle(bundle) || typeof savedAt !== 'string') throw new Unusable('it holds no set');
  return { kind: 'found', bundle, savedAt };
}

function isBundle(value: unknown): value is SourceBundle {
  if (!isRecord(value)) return false;
  const { policies, endpoints, secrets, hasNodeLabels = false } = value;
  return (
    typeof hasNodeLabels === 'boolean' &&
    Array.isArray(policies) &&
    policies.every(isText) &&
    [endpoints, secrets].every((one) => one === null || isText(one))
  );
}

function isText(value: unknown): value is SourceText {
  return isRecord(value) && typeof value['path'] === 'string' && typeof value['text'] === 'string';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function messageOf(error: unknown): string {
  if (error instanceof Unusable) return error.message;
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
