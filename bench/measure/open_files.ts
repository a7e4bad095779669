/** How many files and sockets a process may have open: ten thousand connections need twice as many. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** For us and what we start from now on: as near to `wanted` as we are allowed; what it is then. */
export function raiseOpenFiles(wanted: number): number {
  const { soft, hard } = openFilesLimit();
  if (soft >= wanted) return soft;
  // Above the hard limit only root may go.
  for (const limits of [
    `${wanted}:${Math.max(hard, wanted)}`,
    `${Math.min(wanted, hard)}:${hard}`,
  ]) {
    const args = ['--pid', String(process.pid), `--nofile=${limits}`];
    if (spawnSync('prlimit', args, { stdio: 'ignore' }).status === 0) break;
  }
  return openFilesLimit().soft;
}

function openFilesLimit(): { readonly soft: number; readonly hard: number } {
  const line = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
  const count = (text: string | undefined): number =>
    text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text ?? 0);
  return { soft: count(line?.[1]), hard: count(line?.[2]) };
}
