/** Folders as they are made. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes the folder and those above it that are missing; throws what the system says. Not `recursive: true` of Node:
 * below a path where nothing can be made and nothing is missing (/proc/self/fdinfo) that tries for ever.
 */
export function makeFolders(folder: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.push(at);
  for (const path of missing.reverse()) makeOne(path, mode);
}

/** Another process may make the same. */
function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && existsSync(path);
    if (!isThere) throw error;
  }
}
