/** UDP sockets that are connected to a backend, of all network namespaces, as the hooks remember them (bpf/sockets.bpf.c). */
import { closeSync, readSync } from 'node:fs';
import { createIterator } from '../kernel/bpf.ts';
import { KernelMap } from '../kernel/kernel_map.ts';
import { loadObject } from '../kernel/libbpf.ts';
import { checkObject } from '../kernel/manifest.ts';
import { SERVICES_LAYOUT_VERSION } from './layout.ts';

export interface KeptSocket {
  readonly cookie: bigint;
  /** See `decodeConnection`. */
  readonly connection: Buffer;
}

const PROGRAM = 'find_kept';
const MAP = 'kept';
/** The kernel ends a turn after a million sockets. */
const TURNS_MAX = 64;

/** `connectedFd`: of the map `connected`. Throws a KernelError: where the kernel has no BTF of its own, among others. */
export function keptSockets(objectPath: string, connectedFd: number): readonly KeptSocket[] {
  checkObject(objectPath, SERVICES_LAYOUT_VERSION);
  const mapPins = new Map([[MAP, null]]);
  const object = loadObject({ path: objectPath, mapPins, programs: [PROGRAM] });
  try {
    runIterator(object.programFds.get(PROGRAM) as number, connectedFd);
    const map = new KernelMap(object.mapFds.get(MAP) as number, MAP);
    return [...map.entries()].map(([key, value]) => ({
      cookie: key.readBigUInt64LE(),
      connection: value,
    }));
  } finally {
    object.close();
  }
}

function runIterator(programFd: number, mapFd: number): void {
  const iterator = createIterator(programFd, mapFd);
  try {
    const nothing = Buffer.alloc(1);
    for (let turn = 0; turn < TURNS_MAX; turn++) if (isOver(iterator, nothing)) return;
  } finally {
    closeSync(iterator);
  }
}

function isOver(iterator: number, buffer: Buffer): boolean {
  try {
    return readSync(iterator, buffer) === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
    throw error;
  }
}
