/**
 * hot path
 *
 * Lines that wait to be written together, as bytes. Two buffers take turns: one gathers while the other
 * is being written. A burst may make them large; they are not kept so.
 */

/** What a buffer begins with, and what is kept of it for the next turn. */
const KEPT_BYTES_MAX = 256 * 1024;
const FIRST_BYTES = 16 * 1024;

export class LineBatch {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #byteLength = 0;
  #lineCount = 0;
  /** Taken and perhaps not written yet: no byte of it may change. */
  #taken: Buffer | null = null;
  #spare: Buffer | null = null;

  get byteLength(): number {
    return this.#byteLength;
  }

  get lineCount(): number {
    return this.#lineCount;
  }

  /** `line` is ASCII, so that a char is a byte. */
  add(line: string): void {
    const end = this.#byteLength + line.length;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.write(line, this.#byteLength, 'latin1');
    this.#byteLength = end;
    this.#lineCount++;
  }

  /** All lines. The bytes stay as they are at least until `written`. */
  take(): Buffer {
    const lines = this.#bytes.subarray(0, this.#byteLength);
    // Where one was taken before and is not written yet, it is left to whoever has it.
    this.#taken = this.#bytes;
    this.#bytes = this.#spare ?? Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.#spare = null;
    this.#byteLength = 0;
    this.#lineCount = 0;
    return lines;
  }

  /** Everything that was taken has been written. */
  written(): void {
    const taken = this.#taken;
    this.#taken = null;
    if (taken !== null && taken.length <= KEPT_BYTES_MAX) this.#spare = taken;
  }

  #grow(byteLength: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(byteLength, 2 * this.#bytes.length));
    this.#bytes.copy(bytes, 0, 0, this.#byteLength);
    this.#bytes = bytes;
  }
}
