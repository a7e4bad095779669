/**
 * Pinned maps by path: for the proxy, which has no capability and no libbpf, only the permission of the
 * files. Also for maps that are not ours (Cilium's).
 */
import type { ReadableMap } from './api.ts';
import {
  addElement,
  closeDescriptor,
  OPEN_READ_ONLY,
  OPEN_WRITE_ONLY,
  openPin,
  updateElement,
} from './bpf.ts';
import { KernelMap } from './kernel_map.ts';

/** Throws a KernelError: ENOENT is "not there", EACCES "may not be read by this user". */
export function openPinnedMap(path: string): ReadableMap {
  return KernelMap.open(path, OPEN_READ_ONLY);
}

/** Puts a listening socket into a slot of `listeners`; the kernel takes it out when it closes. */
export function sockmapUpdate(path: string, slot: number, socketFd: number): void {
  intoSlot(path, slot, socketFd, updateElement);
}

/** The same for a slot that is empty; false: it is not. */
export function sockmapAdd(path: string, slot: number, socketFd: number): boolean {
  return intoSlot(path, slot, socketFd, addElement);
}

function intoSlot<T>(
  path: string,
  slot: number,
  socketFd: number,
  put: (fd: number, key: Buffer, value: Buffer, about: string) => T,
): T {
  const fd = openPin(path, OPEN_WRITE_ONLY);
  try {
    const key = Buffer.alloc(4);
    const value = Buffer.alloc(8);
    key.writeUInt32LE(slot);
    value.writeUInt32LE(socketFd);
    return put(fd, key, value, path);
  } finally {
    closeDescriptor(fd);
  }
}
