/**
 * Reads big-endian integers and length-prefixed parts of a binary message within its bounds. Once a
 * read would go beyond the end the cursor is spent: every later read gives nothing, and the caller
 * asks `isSpent` once, at the end.
 */
const NOTHING = Buffer.alloc(0);

export class ByteCursor {
  isSpent = false;
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get remaining(): number {
    return this.isSpent ? 0 : this.#end - this.#at;
  }

  /** An unsigned integer of 1 to 4 bytes; 0 when they are not there. */
  uint(byteCount: number): number {
    const at = this.#take(byteCount);
    return at < 0 ? 0 : this.#bytes.readUIntBE(at, byteCount);
  }

  /** The next `length` bytes; empty when they are not there. */
  part(length: number): Buffer {
    const at = this.#take(length);
    return at < 0 ? NOTHING : this.#bytes.subarray(at, at + length);
  }

  /** A part whose length stands before it in `lengthBytes` bytes. */
  vector(lengthBytes: number): Buffer {
    return this.part(this.uint(lengthBytes));
  }

  #take(length: number): number {
    if (this.isSpent || length > this.#end - this.#at) {
      this.isSpent = true;
      return -1;
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }
}
