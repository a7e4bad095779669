/**
 * Memory for several datagrams of one recvmmsg or sendmmsg (struct mmsghdr, linux/socket.h). Made once, as the kernel's
 * structures point into it: what was received is read, and what is to be sent is written, in place.
 *
 *     headers[i] ─┬► names[i]                the other side's address
 *                 ├► iovecs[i] ─► data[i]
 *                 └► controls[i]             one control message: the address of our side
 */
import koffi from 'koffi';

/** In words of four bytes: struct mmsghdr. */
const HEADER_WORDS = 16;
const NAME_AT = 0;
const NAME_BYTES_AT = 2;
const IOVECS_AT = 4;
const IOVEC_COUNT_AT = 6;
const CONTROL_POINTER_AT = 8;
const CONTROL_BYTES_AT = 10;
const BYTES_AT = 14;

const IOVEC_WORDS = 4;
const IOVEC_BYTES_AT = 2;

export const NAME_BYTES = 32;
export const CONTROL_BYTES = 64;
/** UDP has no longer ones. */
export const DATA_BYTES_MAX = 65_535;
/** Odd lines more than that: the beginnings of all of them must not meet in the same lines of the cache. */
const DATA_STEP = 65_536 + 320;

export class MessageBatch {
  readonly size: number;
  readonly names: Buffer;
  readonly controls: Buffer;
  readonly data: Buffer;
  /** Of the headers, as the kernel is told it: a process has none beyond what numbers hold exactly. */
  readonly address: number;
  readonly #headers: Uint32Array;
  readonly #iovecs: Uint32Array;

  constructor(size: number) {
    this.size = size;
    this.names = zeroed(size * NAME_BYTES);
    this.controls = zeroed(size * CONTROL_BYTES);
    // Not touched: the system gives no memory for what no datagram has needed yet.
    this.data = Buffer.allocUnsafeSlow(size * DATA_STEP);
    const headers = zeroed(size * HEADER_WORDS * 4);
    const iovecs = zeroed(size * IOVEC_WORDS * 4);
    this.#headers = wordsOf(headers);
    this.#iovecs = wordsOf(iovecs);
    this.address = Number(addressOf(headers));
    const parts = { names: addressOf(this.names), controls: addressOf(this.controls) };
    const [data, vectors] = [addressOf(this.data), addressOf(iovecs)];
    for (let i = 0; i < size; i++) {
      const at = i * HEADER_WORDS;
      writePointer(this.#headers, at + NAME_AT, parts.names + BigInt(i * NAME_BYTES));
      writePointer(this.#headers, at + IOVECS_AT, vectors + BigInt(i * IOVEC_WORDS * 4));
      this.#headers[at + IOVEC_COUNT_AT] = 1;
      writePointer(
        this.#headers,
        at + CONTROL_POINTER_AT,
        parts.controls + BigInt(i * CONTROL_BYTES),
      );
      writePointer(this.#iovecs, i * IOVEC_WORDS, data + BigInt(i * DATA_STEP));
    }
  }

  dataAt(index: number): number {
    return index * DATA_STEP;
  }

  /** As it is to be sent, or as there is room to receive it. */
  describe(index: number, nameBytes: number, controlBytes: number, dataBytes: number): void {
    const at = index * HEADER_WORDS;
    this.#headers[at + NAME_BYTES_AT] = nameBytes;
    this.#headers[at + CONTROL_BYTES_AT] = controlBytes;
    this.#iovecs[index * IOVEC_WORDS + IOVEC_BYTES_AT] = dataBytes;
  }

  /** That came. */
  bytesOf(index: number): number {
    return this.#headers[index * HEADER_WORDS + BYTES_AT] as number;
  }

  /** What came. Its place here is the next one's. */
  copyOf(index: number): Buffer {
    const [at, length] = [this.dataAt(index), this.bytesOf(index)];
    const bytes = Buffer.allocUnsafe(length);
    this.data.copy(bytes, 0, at, at + length);
    return bytes;
  }

  /** Of the control messages that came. */
  controlBytesOf(index: number): number {
    return this.#headers[index * HEADER_WORDS + CONTROL_BYTES_AT] as number;
  }

  addressAt(index: number): number {
    return this.address + index * HEADER_WORDS * 4;
  }
}

function zeroed(bytes: number): Buffer {
  return Buffer.allocUnsafeSlow(bytes).fill(0);
}

/** Memory of a buffer that is not pooled begins where V8 has aligned it. */
function wordsOf(bytes: Buffer): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

function addressOf(bytes: Buffer): bigint {
  return BigInt(koffi.address(bytes));
}

function writePointer(words: Uint32Array, at: number, pointer: bigint): void {
  words[at] = Number(pointer & 0xffff_ffffn);
  words[at + 1] = Number(pointer >> 32n);
}
