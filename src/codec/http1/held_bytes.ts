/**
 * The bytes of a head or trailer section that is spread over several chunks. Grows by doubling;
 * the caller never appends beyond the bound of the section that it reads.
 */
const CAPACITY_MIN = 512;
const NOTHING = Buffer.alloc(0);

export class HeldBytes {
  buffer: Buffer = NOTHING;
  length = 0;

  append(chunk: Buffer, from: number, to: number): void {
    const length = this.length + (to - from);
    if (length > this.buffer.length) this.#grow(length);
    chunk.copy(this.buffer, this.length, from, to);
    this.length = length;
  }

  /** Lets go of the memory: a head that was read from it may still be in use. */
  release(): void {
    this.buffer = NOTHING;
    this.length = 0;
  }

  #grow(length: number): void {
    let capacity = Math.max(CAPACITY_MIN, this.buffer.length);
    while (capacity < length) capacity *= 2;
    const grown = Buffer.allocUnsafeSlow(capacity);
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }
}
