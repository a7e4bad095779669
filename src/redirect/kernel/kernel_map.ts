/** One map of the kernel by its descriptor. Sizes come from the kernel, so a wrong key is told, not sent. */
import { readFileSync } from 'node:fs';
import type { MapEntry, ReadableMap, WritableMap } from './api.ts';
import {
  batch,
  closeDescriptor,
  deleteElement,
  lookupElement,
  nextKey,
  openPin,
  readInfo,
  updateElement,
} from './bpf.ts';
import { EINVAL, ENOENT, ENOSPC, ENOTSUPP, KernelError } from './kernel_error.ts';

const MAP_INFO_BYTES = 40;
const BATCH_MAX = 4096;
/** Of a table of buckets the cursor is a number, of a trie a key. */
const CURSOR_BYTES_MIN = 4;
const ROUNDS_MIN = 16;

/** BPF_MAP_TYPE_* whose values are one for each CPU. */
const PER_CPU_TYPES: readonly number[] = [5, 6, 10, 21];

export class KernelMap implements ReadableMap, WritableMap {
  readonly fd: number;
  readonly name: string;
  readonly type: number;
  readonly keyBytes: number;
  /** Of a lookup: for a map per CPU the values of all CPUs, one after another. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  #isClosed = false;

  constructor(fd: number, name: string) {
    this.fd = fd;
    this.name = name;
    const info = readInfo(fd, MAP_INFO_BYTES);
    this.type = info.readUInt32LE(0);
    this.keyBytes = info.readUInt32LE(8);
    const declared = info.readUInt32LE(12);
    this.valueBytes = PER_CPU_TYPES.includes(this.type)
      ? Math.ceil(declared / 8) * 8 * possibleCpus()
      : declared;
    this.maxEntries = info.readUInt32LE(16);
  }

  static open(path: string, flags = 0): KernelMap {
    const fd = openPin(path, flags);
    try {
      return new KernelMap(fd, path.slice(path.lastIndexOf('/') + 1));
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  lookup(key: Buffer): Buffer | null {
    this.#checkSize('key', key, this.keyBytes);
    const value = Buffer.alloc(this.valueBytes);
    return lookupElement(this.fd, key, value, this.name) ? value : null;
  }

  update(key: Buffer, value: Buffer): void {
    this.#checkSize('key', key, this.keyBytes);
    this.#checkSize('value', value, this.valueBytes);
    updateElement(this.fd, key, value, this.name);
  }

  delete(key: Buffer): boolean {
    this.#checkSize('key', key, this.keyBytes);
    return deleteElement(this.fd, key, this.name);
  }

  updateMany(entries: Iterable<MapEntry>): void {
    for (const part of chunks(entries)) {
      for (const [key, value] of part) {
        this.#checkSize('key', key, this.keyBytes);
        this.#checkSize('value', value, this.valueBytes);
      }
      const keys = Buffer.concat(part.map(([key]) => key));
      const values = Buffer.concat(part.map(([, value]) => value));
      const { done, errno } = batch('MAP_UPDATE_BATCH', this.fd, {
        keys,
        values,
        count: part.length,
      });
      if (errno === 0) continue;
      if (!isBatchUnknown(errno))
        throw new KernelError(`bpf(MAP_UPDATE_BATCH) ${this.name}`, errno);
      const rest = part.slice(done < part.length ? done : 0);
      for (const [key, value] of rest) updateElement(this.fd, key, value, this.name);
    }
  }

  deleteMany(keys: Iterable<Buffer>): void {
    // One by one: a batch ends at the first key that has gone already.
    for (const key of keys) this.delete(key);
  }

  *entries(): Generator<MapEntry> {
    const { keyBytes, valueBytes } = this;
    let isRead = false;
    for (const { keys, values, count } of this.#batches()) {
      isRead = true;
      for (let i = 0; i < count; i++) {
        yield [
          keys.subarray(i * keyBytes, (i + 1) * keyBytes),
          values.subarray(i * valueBytes, (i + 1) * valueBytes),
        ];
      }
    }
    if (isRead) return;
    for (const key of this.#keysOneByOne()) {
      const value = this.lookup(key);
      if (value !== null) yield [key, value];
    }
  }

  /** How many entries there are; a few may be missed or counted twice while others write. */
  count(): number {
    let total = 0;
    let isRead = false;
    for (const { count } of this.#batches()) {
      isRead = true;
      total += count;
    }
    if (!isRead) for (const _ of this.#keysOneByOne()) total += 1;
    return total;
  }

  /** Thousands at a time: one by one a full table takes minutes. Nothing where the kernel has no batches. */
  *#batches(): Generator<{
    readonly keys: Buffer;
    readonly values: Buffer;
    readonly count: number;
  }> {
    let size = BATCH_MAX;
    let from: Buffer | null = null;
    for (
      let rounds = 2 * Math.ceil(this.maxEntries / BATCH_MAX) + ROUNDS_MIN;
      rounds > 0;
      rounds--
    ) {
      const keys = Buffer.alloc(size * this.keyBytes);
      const values = Buffer.alloc(size * this.valueBytes);
      const to: Buffer = Buffer.alloc(Math.max(this.keyBytes, CURSOR_BYTES_MIN));
      const work = { keys, values, count: size, from, to };
      const { done, errno } = batch('MAP_LOOKUP_BATCH', this.fd, work);
      if (errno === ENOSPC && size < this.maxEntries) {
        // One bucket of the table has more than that.
        size *= 2;
        continue;
      }
      if (errno !== 0 && errno !== ENOENT) {
        if (isBatchUnknown(errno) && from === null) return;
        throw new KernelError(`bpf(MAP_LOOKUP_BATCH) ${this.name}`, errno);
      }
      yield { keys, values, count: done };
      if (errno === ENOENT) return;
      from = to;
    }
  }

  *keys(): Generator<Buffer> {
    for (const [key] of this.entries()) yield key;
  }

  *#keysOneByOne(): Generator<Buffer> {
    let key: Buffer | null = null;
    // No more than the map holds: who deletes while we read may send us to the beginning again.
    for (let step = 0; step <= this.maxEntries; step++) {
      const next: Buffer = Buffer.alloc(this.keyBytes);
      if (!nextKey(this.fd, key, next, this.name)) return;
      yield next;
      key = next;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeDescriptor(this.fd);
  }

  #checkSize(what: string, bytes: Buffer, expected: number): void {
    if (bytes.length === expected) return;
    throw new TypeError(
      `map ${this.name}: a ${what} has ${expected} bytes, this one ${bytes.length}`,
    );
  }
}

function isBatchUnknown(errno: number): boolean {
  return errno === ENOTSUPP || errno === EINVAL || errno === ENOENT;
}

function* chunks(entries: Iterable<MapEntry>): Generator<MapEntry[]> {
  let part: MapEntry[] = [];
  for (const entry of entries) {
    part.push(entry);
    if (part.length < BATCH_MAX) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}

let cpuCount: number | null = null;

/** Of /sys/devices/system/cpu/possible: "0-3" or "0-1,4-5". */
export function possibleCpus(): number {
  cpuCount ??= readFileSync('/sys/devices/system/cpu/possible', 'utf8')
    .trim()
    .split(',')
    .map((range) => range.split('-').map(Number))
    .reduce((sum, [first = 0, last = first]) => sum + last - first + 1, 0);
  return cpuCount;
}
