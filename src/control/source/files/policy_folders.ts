/**
 * Which files a path stands for: itself, or the policy files of a folder and of those below it, as `kubectl -R`
 * takes them. Hidden names are left out (`..data` of a ConfigMap mount, `.git`, what editors leave); links are
 * followed, so that a mounted folder is found under its stable name, and what several links lead to is taken once.
 * Throws what the file system says, with the path.
 */
import { type Dirent, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Limits } from '../../../model/limits.ts';

export type FolderLimits = Pick<Limits, 'policyFolderCountMax'>;

/** What a folder contributes; anything else in it is not policy (READMEs, scripts). */
const POLICY_FILE = /\.(ya?ml|json)$/;

export class FolderError extends Error {
  readonly path: string;

  constructor(path: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.path = path;
  }
}

export class PolicyFolders {
  /** All that were looked into, as they were come by. */
  readonly folders: string[] = [];
  readonly #countMax: number;
  /** Real paths of files and folders that were come by. */
  readonly #taken = new Set<string>();

  constructor(limits: FolderLimits) {
    this.#countMax = limits.policyFolderCountMax;
  }

  /** In the order of their names, a folder in the place of its own; what was given before is left out. */
  filesOf(path: string): readonly string[] {
    const files: string[] = [];
    const isFolderPath = isFolder(path);
    const real = realPathOf(path);
    if (isFolderPath) this.#addFolder({ path, real }, files);
    else this.#addFile({ path, real }, files);
    return files;
  }

  #addFolder(folder: Place, files: string[]): void {
    if (this.#taken.has(folder.real)) return;
    this.#taken.add(folder.real);
    if (this.folders.length >= this.#countMax) {
      const message = `it is one folder more than policyFolderCountMax allows (${this.#countMax})`;
      throw new FolderError(folder.path, new Error(message));
    }
    this.folders.push(folder.path);
    const entries = trying(folder.path, () => readdirSync(folder.path, { withFileTypes: true }));
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (!entry.name.startsWith('.')) this.#addEntry(folder, entry, files);
    }
  }

  #addEntry(folder: Place, entry: Dirent, files: string[]): void {
    const path = join(folder.path, entry.name);
    const isPolicyFile = POLICY_FILE.test(entry.name);
    let real = join(folder.real, entry.name);
    let isDirectory = entry.isDirectory();
    if (entry.isSymbolicLink()) {
      // A link that leads nowhere is no matter unless it was to be a policy.
      if (!isPolicyFile && !leadsSomewhere(path)) return;
      isDirectory = isFolder(path);
      real = realPathOf(path);
    }
    if (isDirectory) this.#addFolder({ path, real }, files);
    else if (isPolicyFile) this.#addFile({ path, real }, files);
  }

  #addFile(file: Place, files: string[]): void {
    if (this.#taken.has(file.real)) return;
    this.#taken.add(file.real);
    files.push(file.path);
  }
}

interface Place {
  readonly path: string;
  /** Without links. */
  readonly real: string;
}

function isFolder(path: string): boolean {
  return trying(path, () => statSync(path)).isDirectory();
}

/** What has no path of its own is known by the one that it was asked for: a pipe of the shell (`-p <(...)`). */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Neither into the void nor in a circle. What else is wrong could hide policies. */
function leadsSomewhere(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ELOOP') return false;
    throw new FolderError(path, error);
  }
}

function trying<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (error) {
    throw new FolderError(path, error);
  }
}
