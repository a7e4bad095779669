/** Programs on this machine: which are there, and of which version. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export function isInstalled(program: string): boolean {
  return findProgram(program) !== null;
}

/** Its path; null: not on PATH. */
export function findProgram(program: string): string | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program);
    if (folder !== '' && isExecutable(path)) return path;
  }
  return null;
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first thing like a version in what the command prints; "unknown" when there is none. */
export function versionOf(command: readonly string[]): string {
  const [program = '', ...args] = command;
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 20_000 });
  return findVersion(`${stdout ?? ''}\n${stderr ?? ''}`);
}

export function findVersion(text: string): string {
  return /(?<![\w.])[vV]?([0-9]+(?:\.[0-9]+)+[-+.\w]*)/.exec(text)?.[1] ?? 'unknown';
}
