/** Maps of the kernel for tests, made by bpf(2) and pinned where a test says: stand-ins for Cilium's. */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { pin, updateElement } from '../../../src/redirect/kernel/bpf.ts';

const MAP_CREATE = 0;
const SYSCALL_BPF: Readonly<Record<string, number>> = { x64: 321, arm64: 280 };
const BPF_F_NO_PREALLOC = 1;
const ATTR_BYTES = 96;

export const HASH = 1;
export const LRU_HASH = 9;
export const LPM_TRIE = 11;

export interface MapShape {
  readonly type: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
}

const syscall = koffi
  .load(null)
  .func('long syscall(long number, int command, void *attr, uint32_t bytes)');

export class PinnedTestMap {
  readonly #fd: number;
  readonly #path: string;

  constructor(path: string, { type, keyBytes, valueBytes }: MapShape) {
    const attr = Buffer.alloc(ATTR_BYTES);
    const values = [type, keyBytes, valueBytes, 1024, type === LPM_TRIE ? BPF_F_NO_PREALLOC : 0];
    for (const [index, value] of values.entries()) attr.writeUInt32LE(value, 4 * index);
    this.#fd = Number(syscall(SYSCALL_BPF[process.arch] ?? 0, MAP_CREATE, attr, attr.length));
    if (this.#fd < 0) throw new Error(`bpf(MAP_CREATE): errno ${koffi.errno()}`);
    this.#path = path;
    pin(this.#fd, path);
  }

  set(key: Buffer, value: Buffer): void {
    updateElement(this.#fd, key, value, this.#path);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
