/**
 * Bytes that come in pieces and are looked at as one, each copied a bounded number of times: what is kept is
 * never in memory that it shares with others, and never takes more than twice what it is.
 */
const NOTHING = Buffer.alloc(0);
const FIRST_BYTES = 256;

export class GrowingBytes {
  #memory: Buffer = NOTHING;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(bytes: Buffer): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#memory.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#memory.length, FIRST_BYTES));
      this.#memory.copy(grown, 0, 0, this.#length);
      this.#memory = grown;
    }
    bytes.copy(this.#memory, this.#length);
    this.#length = needed;
  }

  /** Valid until the next `append`. */
  view(): Buffer {
    return this.#memory.subarray(0, this.#length);
  }

  /** All of them; nothing is left. */
  take(): Buffer {
    const bytes = this.view();
    this.#memory = NOTHING;
    this.#length = 0;
    return bytes;
  }
}
