/**
 * bpf(2), as far as the redirect needs it. Every call fills a `union bpf_attr` by hand: the offsets are
 * those of linux/bpf.h, which are for ever.
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { EEXIST, ENOENT, KernelError } from './kernel_error.ts';

const COMMANDS = {
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_TEST_RUN: 10,
  OBJ_GET_INFO_BY_FD: 15,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  ITER_CREATE: 33,
} as const;

export type BpfCommand = keyof typeof COMMANDS;

/** Larger than what any command here reads; the kernel wants what it does not know to be zero. */
const ATTR_BYTES = 96;
const SYSCALL_BPF: Readonly<Record<string, number>> = { x64: 321, arm64: 280 };

const ATTACH_TRACE_ITER = 28;
export const ATTACH_SK_LOOKUP = 36;
export const ATTACH_TCX_INGRESS = 46;
export const ATTACH_TCX_EGRESS = 47;

/** BPF_OBJ_GET for readers and for writers, so that the file's permission for just that is enough. */
export const OPEN_READ_ONLY = 1 << 3;
export const OPEN_WRITE_ONLY = 1 << 4;

const BPF_NOEXIST = 1n;

type Syscall = (number: number, command: number, attr: Buffer, bytes: number) => number;

let syscall: Syscall | null = null;

/** The result (a descriptor, or 0), or -errno. `attr` is written to by some commands. */
function call(command: BpfCommand, attr: Buffer): number {
  syscall ??= koffi
    .load(null)
    .func('long syscall(long number, int command, void *attr, uint32_t bytes)') as Syscall;
  const number = SYSCALL_BPF[process.arch];
  if (number === undefined) throw new Error(`the redirect does not run on ${process.arch}`);
  const result = Number(syscall(number, COMMANDS[command], attr, attr.length));
  return result < 0 ? -koffi.errno() : result;
}

function check(command: BpfCommand, result: number, about: string): number {
  if (result < 0) throw new KernelError(`bpf(${command}) ${about}`, -result);
  return result;
}

function pointer(buffer: Buffer): bigint {
  return BigInt(koffi.address(buffer));
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

/** A descriptor of what is pinned at `path`. */
export function openPin(path: string, flags = 0): number {
  const attr = Buffer.alloc(ATTR_BYTES);
  const name = cString(path);
  attr.writeBigUInt64LE(pointer(name), 0);
  attr.writeUInt32LE(flags, 12);
  return check('OBJ_GET', call('OBJ_GET', attr), path);
}

export function pin(fd: number, path: string): void {
  const attr = Buffer.alloc(ATTR_BYTES);
  const name = cString(path);
  attr.writeBigUInt64LE(pointer(name), 0);
  attr.writeUInt32LE(fd, 8);
  check('OBJ_PIN', call('OBJ_PIN', attr), path);
}

function elementAttr(fd: number, key: Buffer | null, value: Buffer | null, flags = 0n): Buffer {
  const attr = Buffer.alloc(ATTR_BYTES);
  attr.writeUInt32LE(fd, 0);
  if (key !== null) attr.writeBigUInt64LE(pointer(key), 8);
  if (value !== null) attr.writeBigUInt64LE(pointer(value), 16);
  attr.writeBigUInt64LE(flags, 24);
  return attr;
}

/** False: no such key. */
export function lookupElement(fd: number, key: Buffer, value: Buffer, about: string): boolean {
  const result = call('MAP_LOOKUP_ELEM', elementAttr(fd, key, value));
  if (result === -ENOENT) return false;
  check('MAP_LOOKUP_ELEM', result, about);
  return true;
}

export function updateElement(fd: number, key: Buffer, value: Buffer, about: string): void {
  check('MAP_UPDATE_ELEM', call('MAP_UPDATE_ELEM', elementAttr(fd, key, value)), about);
}

/** False: there is one already, and it stays. */
export function addElement(fd: number, key: Buffer, value: Buffer, about: string): boolean {
  const result = call('MAP_UPDATE_ELEM', elementAttr(fd, key, value, BPF_NOEXIST));
  if (result === -EEXIST) return false;
  check('MAP_UPDATE_ELEM', result, about);
  return true;
}

/** False: no such key. */
export function deleteElement(fd: number, key: Buffer, about: string): boolean {
  const result = call('MAP_DELETE_ELEM', elementAttr(fd, key, null));
  if (result === -ENOENT) return false;
  check('MAP_DELETE_ELEM', result, about);
  return true;
}

/** False: `key` was the last. Null begins; a key that has gone begins again. */
export function nextKey(fd: number, key: Buffer | null, next: Buffer, about: string): boolean {
  const result = call('MAP_GET_NEXT_KEY', elementAttr(fd, key, next));
  if (result === -ENOENT) return false;
  check('MAP_GET_NEXT_KEY', result, about);
  return true;
}

export interface Batch {
  readonly keys: Buffer;
  readonly values: Buffer | null;
  readonly count: number;
  /** Cursors of a lookup: null begins. */
  readonly from?: Buffer | null;
  readonly to?: Buffer;
}

/** How many were done, and the errno that ended it (0: none). */
export function batch(
  command: 'MAP_LOOKUP_BATCH' | 'MAP_UPDATE_BATCH' | 'MAP_DELETE_BATCH',
  fd: number,
  work: Batch,
): { readonly done: number; readonly errno: number } {
  const attr = Buffer.alloc(ATTR_BYTES);
  if (work.from) attr.writeBigUInt64LE(pointer(work.from), 0);
  if (work.to) attr.writeBigUInt64LE(pointer(work.to), 8);
  attr.writeBigUInt64LE(pointer(work.keys), 16);
  if (work.values !== null) attr.writeBigUInt64LE(pointer(work.values), 24);
  attr.writeUInt32LE(work.count, 32);
  attr.writeUInt32LE(fd, 36);
  const result = call(command, attr);
  // EFAULT and EINVAL leave `count` as it was.
  const done = attr.readUInt32LE(32);
  return { done, errno: result < 0 ? -result : 0 };
}

/** `target`: an ifindex, or the descriptor of a network namespace. */
export function createLink(programFd: number, target: number, attachType: number): number {
  const attr = Buffer.alloc(ATTR_BYTES);
  attr.writeUInt32LE(programFd, 0);
  attr.writeUInt32LE(target, 4);
  attr.writeUInt32LE(attachType, 8);
  return check('LINK_CREATE', call('LINK_CREATE', attr), `attach type ${attachType}`);
}

/** A descriptor; whoever reads from it runs the iterator over the map. */
export function createIterator(programFd: number, mapFd: number): number {
  const info = Buffer.alloc(8);
  info.writeUInt32LE(mapFd);
  const link = Buffer.alloc(ATTR_BYTES);
  link.writeUInt32LE(programFd, 0);
  link.writeUInt32LE(ATTACH_TRACE_ITER, 8);
  link.writeBigUInt64LE(pointer(info), 16);
  link.writeUInt32LE(info.length, 24);
  const linkFd = check('LINK_CREATE', call('LINK_CREATE', link), 'iterator');
  try {
    const attr = Buffer.alloc(ATTR_BYTES);
    attr.writeUInt32LE(linkFd, 0);
    return check('ITER_CREATE', call('ITER_CREATE', attr), '');
  } finally {
    closeSync(linkFd);
  }
}

export function updateLink(linkFd: number, programFd: number): void {
  const attr = Buffer.alloc(ATTR_BYTES);
  attr.writeUInt32LE(linkFd, 0);
  attr.writeUInt32LE(programFd, 4);
  check('LINK_UPDATE', call('LINK_UPDATE', attr), '');
}

/** `struct bpf_map_info`, `bpf_prog_info` or `bpf_link_info`, cut to `bytes`. */
export function readInfo(fd: number, bytes: number): Buffer {
  const info = Buffer.alloc(bytes);
  const attr = Buffer.alloc(ATTR_BYTES);
  attr.writeUInt32LE(fd, 0);
  attr.writeUInt32LE(bytes, 4);
  attr.writeBigUInt64LE(pointer(info), 8);
  check('OBJ_GET_INFO_BY_FD', call('OBJ_GET_INFO_BY_FD', attr), '');
  return info;
}

export interface TestRun {
  readonly packet: Buffer;
  /** `struct __sk_buff` or `struct bpf_sk_lookup`; also written to. */
  readonly context: Buffer;
}

/** BPF_PROG_TEST_RUN: what the program returned and left of the packet. */
export function runProgram(
  programFd: number,
  run: TestRun,
): { readonly result: number; readonly packet: Buffer; readonly context: Buffer } {
  const packet = Buffer.alloc(run.packet.length + 512);
  const context = Buffer.alloc(run.context.length);
  const attr = Buffer.alloc(ATTR_BYTES);
  attr.writeUInt32LE(programFd, 0);
  attr.writeUInt32LE(run.packet.length, 8);
  attr.writeUInt32LE(packet.length, 12);
  attr.writeBigUInt64LE(pointer(run.packet), 16);
  attr.writeBigUInt64LE(pointer(packet), 24);
  attr.writeUInt32LE(run.context.length, 40);
  attr.writeUInt32LE(context.length, 44);
  attr.writeBigUInt64LE(pointer(run.context), 48);
  attr.writeBigUInt64LE(pointer(context), 56);
  check('PROG_TEST_RUN', call('PROG_TEST_RUN', attr), '');
  const result = attr.readInt32LE(4);
  return { result, packet: packet.subarray(0, attr.readUInt32LE(12)), context };
}

export function closeDescriptor(fd: number): void {
  closeSync(fd);
}
