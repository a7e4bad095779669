/** Where the hierarchy of cgroups v2 is mounted: alone, or beside v1 (systemd's hybrid layout). */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * False: a part of the hierarchy, such as a container sees it in a cgroup namespace of its own. Only the root has no
 * type (cgroup v2, "Threads").
 */
export function isCgroupRoot(folder: string): boolean {
  return !existsSync(join(folder, 'cgroup.type'));
}

/** Null: it is mounted nowhere. */
export function cgroupRoot(
  mounts: string = readFileSync('/proc/self/mounts', 'utf8'),
): string | null {
  for (const line of mounts.split('\n')) {
    const [, folder, type] = line.split(' ');
    if (type === 'cgroup2' && folder !== undefined) return folder;
  }
  return null;
}
