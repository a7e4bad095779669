/**
 * What the kernel has of ours, read from the pins: loads nothing, changes nothing. For `redirect status`.
 */
import { existsSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { EntriesInForce } from './differences.ts';
import type { MapName, ProgramName, Refusal } from './kernel/api.ts';
import { MAP_NAMES, PROGRAM_NAMES } from './kernel/api.ts';
import { closeDescriptor, openPin, readInfo } from './kernel/bpf.ts';
import { readCounters, readRefusals } from './kernel/counters.ts';
import { openPinnedMap } from './kernel/pinned.ts';
import { LAYOUT_FOLDER } from './kernel/pinned_object.ts';
import {
  COUNTERS,
  type CounterName,
  decodeSettings,
  LAYOUT_VERSION,
  LISTENER_SLOTS,
} from './layout.ts';
import { GENERATION_MAPS } from './plan.ts';
import { entriesInForce } from './table_updater.ts';

/** Slots that lead to a socket of the proxy. */
export interface ListenerSlots {
  readonly ip4: number;
  readonly ip6: number;
  readonly datagrams4: number;
  readonly datagrams6: number;
}

export interface Inspection {
  /** Other layouts whose pins are still there. */
  readonly otherLayouts: readonly string[];
  /** SHA-256 of the object that was loaded; null: not noted. */
  readonly object: string | null;
  readonly programs: readonly InspectedProgram[];
  readonly links: readonly InspectedLink[];
  readonly maps: readonly InspectedMap[];
  readonly generation: number;
  readonly flags: number;
  /** Of the generation in force. */
  readonly inForce: EntriesInForce;
  readonly counters: Readonly<Record<CounterName, bigint>>;
  /** The latest first. */
  readonly refusals: readonly Refusal[];
  /** Slots of `listeners` with a socket, by family. */
  readonly listeners: ListenerSlots;
}

export interface InspectedProgram {
  readonly name: ProgramName;
  readonly id: number;
  readonly runCount: bigint;
  readonly runTimeNs: bigint;
}

export interface InspectedLink {
  /** Of the pin. */
  readonly name: string;
  readonly kind: 'tcx' | 'netns' | 'other';
  /** tcx: 0 when the interface has gone, as has the link then. netns: its inode. */
  readonly target: number;
  readonly programId: number;
}

export interface InspectedMap {
  readonly name: MapName;
  readonly entryCount: number;
  readonly maxEntries: number;
}

const LINK_NETNS = 5;
const LINK_TCX = 11;
const LINK_INFO_BYTES = 24;
const PROGRAM_INFO_BYTES = 216;
const OBJECT_NOTE = 'object';

/** Null: nothing of this layout is there. Throws what the kernel says, EPERM most often. */
export function inspect(root: string): Inspection | null {
  let last: Inspection | null = null;
  // A loader may change generations while we read: then what was read is of neither.
  for (let tries = 0; tries < READ_TRIES; tries++) {
    last = inspectOnce(root);
    if (last === null || generationOf(root) === last.generation) break;
  }
  return last;
}

const READ_TRIES = 3;

export interface LostLinks {
  readonly interfaces: readonly number[];
  readonly isLookupLost: boolean;
}

/**
 * Links that should be there, and are not, or of an interface that has gone, or have another program.
 * Null: nothing of ours is pinned any more.
 */
export function lostLinks(
  root: string,
  wanted: { readonly interfaces: Iterable<number>; readonly netns: number },
): LostLinks | null {
  const own = join(root, `v${LAYOUT_VERSION}`);
  if (!PROGRAM_NAMES.every((name) => existsSync(join(own, 'progs', name)))) return null;
  if (!MAP_NAMES.every((name) => existsSync(join(own, 'maps', name)))) return null;
  const programs = new Map(
    PROGRAM_NAMES.map((name) => [name, readProgram(join(own, 'progs', name), name).id]),
  );
  const isThere = (name: string, program: ProgramName, target: number): boolean => {
    try {
      const link = readLink(join(own, 'links'), name);
      return link.target === target && link.programId === programs.get(program);
    } catch {
      return false;
    }
  };
  const lost = [...wanted.interfaces].filter(
    (ifindex) =>
      !isThere(`tcx_ingress_${ifindex}`, 'from_interface', ifindex) ||
      !isThere(`tcx_egress_${ifindex}`, 'to_endpoint', ifindex),
  );
  const { netns } = wanted;
  return { interfaces: lost, isLookupLost: !isThere(`lookup_${netns}`, 'proxy_lookup', netns) };
}

function inspectOnce(root: string): Inspection | null {
  const own = `v${LAYOUT_VERSION}`;
  const folder = join(root, own);
  if (!existsSync(join(folder, 'maps', 'settings'))) return null;
  const open = new Map(
    MAP_NAMES.map((name) => [name, openPinnedMap(join(folder, 'maps', name))] as const),
  );
  const map = (name: MapName) => open.get(name) as ReturnType<typeof openPinnedMap>;
  try {
    const settings = map('settings').lookup(Buffer.alloc(4));
    // In one piece: the flags are those of this generation.
    const { generation, flags } = settings === null ? NO_SETTINGS : decodeSettings(settings);
    return {
      otherLayouts: readdirSync(root).filter((name) => LAYOUT_FOLDER.test(name) && name !== own),
      object: notedObject(folder),
      programs: PROGRAM_NAMES.map((name) => readProgram(join(folder, 'progs', name), name)),
      links: readdirSync(join(folder, 'links')).map((name) =>
        readLink(join(folder, 'links'), name),
      ),
      maps: MAP_NAMES.map((name) => mapStatus(name, map(name))),
      generation,
      flags,
      inForce: Object.fromEntries(
        GENERATION_MAPS.map((name) => [
          name,
          entriesInForce({ entries: () => map(name).entries() }, name, generation),
        ]),
      ) as unknown as EntriesInForce,
      counters: readCounters(map('counters'), COUNTERS),
      refusals: readRefusals(map('refusals')),
      listeners: {
        ip4: liveSlots(map('listeners'), 0),
        ip6: liveSlots(map('listeners'), LISTENER_SLOTS),
        datagrams4: liveSlots(map('listeners'), 2 * LISTENER_SLOTS),
        datagrams6: liveSlots(map('listeners'), 3 * LISTENER_SLOTS),
      },
    };
  } finally {
    for (const one of open.values()) one.close();
  }
}

const NO_SETTINGS = { generation: 0, flags: 0 };

/** Which object the programs were loaded from: a symbolic link, as a bpffs holds no files. */
export function noteObject(folder: string, digest: string): void {
  const path = join(folder, OBJECT_NOTE);
  if (notedObject(folder) === digest) return;
  try {
    rmSync(path, { force: true });
    symlinkSync(digest, path);
  } catch {
    // Without the note `status` cannot tell whether the object is the same; nothing else needs it.
  }
}

export function notedObject(folder: string): string | null {
  try {
    return readlinkSync(join(folder, OBJECT_NOTE));
  } catch {
    return null;
  }
}

function mapStatus(name: MapName, map: ReturnType<typeof openPinnedMap>): InspectedMap {
  const isCounted = name !== 'settings' && name !== 'counters' && name !== 'listeners';
  const entryCount = isCounted ? map.count() : map.maxEntries;
  return { name, entryCount, maxEntries: map.maxEntries };
}

function generationOf(root: string): number {
  const settings = openPinnedMap(join(root, `v${LAYOUT_VERSION}`, 'maps', 'settings'));
  try {
    return settings.lookup(Buffer.alloc(4))?.readUInt32LE(0) ?? 0;
  } finally {
    settings.close();
  }
}

/** A lookup in a sockmap gives the socket's cookie, or that there is none. */
function liveSlots(map: ReturnType<typeof openPinnedMap>, first: number): number {
  let count = 0;
  for (let slot = first; slot < first + LISTENER_SLOTS; slot++) {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(slot);
    if (map.lookup(key) !== null) count += 1;
  }
  return count;
}

function readProgram(path: string, name: ProgramName): InspectedProgram {
  const info = readPinInfo(path, PROGRAM_INFO_BYTES);
  return {
    name,
    id: info.readUInt32LE(4),
    runTimeNs: info.readBigUInt64LE(192),
    runCount: info.readBigUInt64LE(200),
  };
}

/** struct bpf_link_info: type, id, prog_id, then what the type says; the target comes first there. */
function readLink(folder: string, name: string): InspectedLink {
  const info = readPinInfo(join(folder, name), LINK_INFO_BYTES);
  const type = info.readUInt32LE(0);
  return {
    name,
    kind: type === LINK_TCX ? 'tcx' : type === LINK_NETNS ? 'netns' : 'other',
    target: info.readUInt32LE(16),
    programId: info.readUInt32LE(8),
  };
}

function readPinInfo(path: string, bytes: number): Buffer {
  const fd = openPin(path);
  try {
    return readInfo(fd, bytes);
  } finally {
    closeDescriptor(fd);
  }
}
