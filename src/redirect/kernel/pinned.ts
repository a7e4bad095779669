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
  withListeners(path, (fd) => updateElement(fd, slotKey(slot), socketValue(socketFd), path));
}

/** Puts it into those of the slots that are empty; false: none was. */
export function sockmapFill(path: string, slots: readonly number[], socketFd: number): boolean {
  const value = socketValue(socketFd);
  return withListeners(path, (fd) => {
    const taken = slots.filter((slot) => addElement(fd, slotKey(slot), value, path));
    return taken.length > 0;
  });
}

function withListeners<T>(path: string, task: (fd: number) => T): T {
  const fd = openPin(path, OPEN_WRITE_ONLY);
  try {
    return task(fd);
  } finally {
    closeDescriptor(fd);
  }
}

function slotKey(slot: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(slot);
  return key;
}

function socketValue(socketFd: number): Buffer {
  const value = Buffer.alloc(8);
  value.writeUInt32LE(socketFd);
  return value;
}
