/** The memory of processes, from /proc. */
import { readFileSync } from 'node:fs';

export interface Memory {
  /** Resident: with what it shares with others, as the text of its program. */
  readonly rssBytes: number;
  /** Of what is shared only its share: the right one to add up. Null: may not be read. */
  readonly pssBytes: number | null;
}

/** The sum; a process that has ended is left out. */
export function readMemory(pids: readonly number[]): Memory {
  const each = pids.map(memoryOf).filter((memory) => memory !== null);
  const pss = each.map(({ pssBytes }) => pssBytes);
  return {
    rssBytes: each.reduce((sum, { rssBytes }) => sum + rssBytes, 0),
    pssBytes: pss.reduce((sum, bytes) => (sum === null || bytes === null ? null : sum + bytes), 0),
  };
}

function memoryOf(pid: number): Memory | null {
  const status = read(`/proc/${pid}/status`);
  const rssBytes = status === null ? null : kibibytes(status, /^VmRSS:\s+([0-9]+) kB$/m);
  if (rssBytes === null) return null;
  const rollup = read(`/proc/${pid}/smaps_rollup`);
  return {
    rssBytes,
    pssBytes: rollup === null ? null : kibibytes(rollup, /^Pss:\s+([0-9]+) kB$/m),
  };
}

function kibibytes(text: string, pattern: RegExp): number | null {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? null : Number(found) * 1024;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}
