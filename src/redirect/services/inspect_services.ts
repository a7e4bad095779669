/**
 * What the kernel has of Services, read from the pins: loads nothing, changes nothing. For `redirect status` and the
 * metrics of the proxy.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { closeDescriptor, openPin, readInfo } from '../kernel/bpf.ts';
import { readCounters } from '../kernel/counters.ts';
import { openPinnedMap } from '../kernel/pinned.ts';
import { SERVICE_COUNTERS, SERVICES_LAYOUT_VERSION, type ServiceCounter } from './layout.ts';
import { HOOK_NAMES, type HookName, hooksFolder, linkName } from './socket_hooks.ts';

export interface ServicesInspection {
  /** Those that do not stand on the cgroup, or have another program. */
  readonly missingHooks: readonly HookName[];
  readonly frontends: number;
  readonly backends: number;
  readonly counters: Readonly<Record<ServiceCounter, bigint>>;
}

const LINK_CGROUP = 3;
const LINK_INFO_BYTES = 24;
const PROGRAM_INFO_BYTES = 8;

/** Null: nothing of this layout is there. Throws what the kernel says, EPERM most often. */
export function inspectServices(root: string, cgroup: string): ServicesInspection | null {
  const folder = layoutFolder(root);
  if (!existsSync(join(folder, 'maps', 'frontends'))) return null;
  const inode = existsSync(cgroup) ? statSync(cgroup).ino : 0;
  return {
    missingHooks: HOOK_NAMES.filter((name) => !isAttached(folder, name, inode)),
    frontends: withMap(folder, 'frontends', (map) => map.count()),
    backends: withMap(folder, 'backends', (map) => map.count()),
    counters: countersOf(folder),
  };
}

/** What may be read by the proxy's group. Null: nothing is there, or it is not for this user. */
export function serviceCounters(root: string): ServicesInspection['counters'] | null {
  try {
    return countersOf(layoutFolder(root));
  } catch {
    return null;
  }
}

function countersOf(folder: string): ServicesInspection['counters'] {
  return withMap(folder, 'counters', (map) => readCounters(map, SERVICE_COUNTERS));
}

function layoutFolder(root: string): string {
  return join(hooksFolder(root), `v${SERVICES_LAYOUT_VERSION}`);
}

function withMap<T>(
  folder: string,
  name: string,
  read: (map: ReturnType<typeof openPinnedMap>) => T,
): T {
  const map = openPinnedMap(join(folder, 'maps', name));
  try {
    return read(map);
  } finally {
    map.close();
  }
}

/** struct bpf_link_info: type, id, prog_id; of a cgroup then its id, which is its inode. 0: it has gone. */
function isAttached(folder: string, name: HookName, inode: number): boolean {
  const link = join(folder, 'links', linkName(name, inode));
  const program = join(folder, 'progs', name);
  if (!existsSync(link) || !existsSync(program)) return false;
  const info = infoOf(link, LINK_INFO_BYTES);
  return (
    info.readUInt32LE(0) === LINK_CGROUP &&
    info.readUInt32LE(8) === infoOf(program, PROGRAM_INFO_BYTES).readUInt32LE(4) &&
    info.readBigUInt64LE(16) === BigInt(inode)
  );
}

function infoOf(path: string, bytes: number): Buffer {
  const fd = openPin(path);
  try {
    return readInfo(fd, bytes);
  } finally {
    closeDescriptor(fd);
  }
}
