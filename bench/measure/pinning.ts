/**
 * Who runs on which core: what is measured has one for itself, the harness, the loads and the origin share
 * the others. Without `taskset` or a second core nothing is pinned, and the report says so.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { isInstalled } from '../subjects/tools.ts';

/** 'all': what is measured by how it spreads over cores. */
export type Place = 'measured' | 'other' | 'all';

export interface Pinning {
  /** As taskset takes it: "1". */
  readonly measured: string;
  /** "0", "0,2,3" */
  readonly other: string;
}

/** Null: one core only, or no taskset. */
export const PINNING: Pinning | null = findPinning();

/** `command`, on the core of what is measured or on those of everything else. */
export function pinned(place: Place, command: readonly string[]): readonly string[] {
  if (PINNING === null) return command;
  const { measured, other } = PINNING;
  const cores = place === 'all' ? `${measured},${other}` : PINNING[place];
  return ['taskset', '-c', cores, ...command];
}

/** The harness itself: it must not take turns with what it measures. Its children begin where it is. */
export function pinHarness(): void {
  if (PINNING === null) return;
  spawnSync('taskset', ['-acp', PINNING.other, String(process.pid)], { stdio: 'ignore' });
}

/** The second core is measured: interrupts mostly land on the first. */
export function choosePinning(
  cores: readonly number[],
  siblingsOf: (core: number) => readonly number[],
): Pinning | null {
  const measured = cores[1];
  if (measured === undefined) return null;
  const others = cores.filter((core) => core !== measured);
  const siblings = siblingsOf(measured);
  const apart = others.filter((core) => !siblings.includes(core));
  return { measured: String(measured), other: (apart.length > 0 ? apart : others).join(',') };
}

/** "0-2,5" -> 0, 1, 2, 5 */
export function parseCoreList(text: string): readonly number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

function findPinning(): Pinning | null {
  if (!isInstalled('taskset')) return null;
  return choosePinning(allowedCores(), siblingsOf);
}

function allowedCores(): readonly number[] {
  const status = readFileSync('/proc/self/status', 'latin1');
  return parseCoreList(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? '');
}

/** Threads of the same core share its units: a load beside what is measured would slow it down. */
function siblingsOf(core: number): readonly number[] {
  const path = `/sys/devices/system/cpu/cpu${core}/topology/thread_siblings_list`;
  try {
    return parseCoreList(readFileSync(path, 'latin1'));
  } catch {
    return [core];
  }
}
