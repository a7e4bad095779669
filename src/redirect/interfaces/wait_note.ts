/**
 * What the loader tells of those who wait, for `status` and the proxy's metrics: a symbolic link beside the pins, as a
 * bpffs holds no files. Who may look into the folder can read it.
 */
import { readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { LAYOUT_VERSION } from '../layout.ts';
import type { WaitCounts } from './interface_waits.ts';

const NOTE = 'waits';

/** In the order in which they are written. */
const FIELDS = [
  'interfaces',
  'pods',
  'overdue',
  'oldestSinceMs',
  'openedTotal',
  'openedWaitMsTotal',
  'openedWaitMsMax',
  'overdueTotal',
] as const satisfies readonly (keyof WaitCounts)[];

export function noteWaits(root: string, counts: WaitCounts): void {
  const path = pathOf(root);
  const text = FIELDS.map((field) => Math.round(counts[field])).join(' ');
  if (readText(path) === text) return;
  // No dot: a bpffs takes no name with one.
  const next = `${path}_next`;
  try {
    rmSync(next, { force: true });
    symlinkSync(text, next);
    renameSync(next, path);
  } catch {
    // What is told of waiting is old then; nobody's packets depend on it.
  }
}

/** Null: no loader that looks for interfaces has noted any. */
export function notedWaits(root: string): WaitCounts | null {
  const numbers = readText(pathOf(root))?.split(' ').map(Number);
  if (numbers?.length !== FIELDS.length || !numbers.every(Number.isSafeInteger)) return null;
  return Object.fromEntries(
    FIELDS.map((field, index) => [field, numbers[index]]),
  ) as unknown as WaitCounts;
}

function pathOf(root: string): string {
  return join(root, `v${LAYOUT_VERSION}`, NOTE);
}

function readText(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
