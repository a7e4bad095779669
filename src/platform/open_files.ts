/** How many file descriptors this process, and each that it starts, may have. */
import { readFileSync } from 'node:fs';

/** The soft RLIMIT_NOFILE, which Node raises to the hard one as it starts; null where it is not told. */
export function openFileCountMax(): number | null {
  try {
    return parseOpenFileCountMax(readFileSync('/proc/self/limits', 'latin1'));
  } catch {
    return null;
  }
}

/** Null when there is no limit, too. */
export function parseOpenFileCountMax(text: string): number | null {
  const found = /^Max open files\s+(\d+)\s/m.exec(text);
  return found === null ? null : Number(found[1]);
}
