/** Ids and spellings of the questions that go to servers: whoever forges an answer has to guess them. */
const POOL_BYTES = 4096;

export class QuestionIds {
  readonly #fill: (bytes: Uint8Array) => void;
  /** Randomness costs less in bulk. */
  readonly #pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  #at = POOL_BYTES;

  constructor(fill: (bytes: Uint8Array) => void) {
    this.#fill = fill;
  }

  next(): number {
    if (this.#at === POOL_BYTES) {
      this.#fill(this.#pool);
      this.#at = 0;
    }
    const id = this.#pool.readUInt16BE(this.#at);
    // What was used is not to be found in memory.
    this.#pool.writeUInt16BE(0, this.#at);
    this.#at += 2;
    return id;
  }

  /** A bit for each letter (codec/dns/spelling.ts). */
  nextSpelling(): number {
    return ((this.next() << 16) | this.next()) >>> 0;
  }

  /** One that none of `taken` has; it must have less than all. */
  nextBut(taken: ReadonlyMap<number, unknown>): number {
    let id = this.next();
    while (taken.has(id)) id = this.next();
    return id;
  }
}
