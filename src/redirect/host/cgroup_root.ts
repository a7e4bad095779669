/** Where the hierarchy of cgroups v2 is mounted: alone, or beside v1 (systemd's hybrid layout). */
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';

/** linux/magic.h: CGROUP2_SUPER_MAGIC. */
const CGROUP2_MAGIC = 0x63_67_72_70;

/** False: a folder of something else, such as of cgroups v1, where no program can be put. */
export function isCgroup2(folder: string): boolean {
  return existsSync(folder) && statfsSync(folder).type === CGROUP2_MAGIC;
}

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
