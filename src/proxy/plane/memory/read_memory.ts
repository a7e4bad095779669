/**
 * Every read from a socket leaves a buffer behind that is garbage as soon as it is relayed. V8 lets
 * tens of MiB of such buffers pile up before it looks for them; taking them back every few MiB keeps
 * the process small while a large body passes, and fast: the same memory is used again while it is
 * still in the processor's caches. Measured on 5 GiB: 12 MB above rest instead of 42, 0.7 of the CPU.
 */
export class ReadMemory {
  readonly #bytesMax: number;
  readonly #release: (() => void) | null;
  #bytes = 0;

  /** `release` null: the platform has no way to do it. */
  constructor(bytesMax: number, release: (() => void) | null) {
    this.#bytesMax = bytesMax;
    this.#release = release;
  }

  /** So many bytes were read, and have been dealt with. */
  used(byteLength: number): void {
    this.#bytes += byteLength;
    if (this.#bytes < this.#bytesMax) return;
    this.#bytes = 0;
    this.#release?.();
  }
}
