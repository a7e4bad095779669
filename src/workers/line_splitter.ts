/**
 * Cuts a byte stream at line ends, so that lines of several workers that share one stdout never mix.
 * Holds at most one unfinished line, within a bound; the rest of a longer line is dropped.
 */
const LINE_FEED = 0x0a;

export class LineSplitter {
  readonly #lineBytesMax: number;
  readonly #emit: (lines: Buffer) => void;
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #isDropping = false;
  droppedBytes = 0;

  /** `emit` gets one or more whole lines, line feeds included. */
  constructor(lineBytesMax: number, emit: (lines: Buffer) => void) {
    this.#lineBytesMax = lineBytesMax;
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    const end = chunk.lastIndexOf(LINE_FEED) + 1;
    if (end > 0) this.#finish(chunk.subarray(0, end));
    if (end < chunk.length) this.#hold(chunk.subarray(end));
  }

  /** The stream has ended: an unfinished line is finished. */
  end(): void {
    if (this.#partialBytes > 0) this.#finish(Buffer.of(LINE_FEED));
  }

  #finish(lines: Buffer): void {
    let rest = lines;
    if (this.#isDropping) {
      const lineEnd = lines.indexOf(LINE_FEED);
      this.droppedBytes += lineEnd;
      rest = lines.subarray(lineEnd);
      this.#isDropping = false;
    }
    const whole = this.#partialBytes === 0 ? rest : Buffer.concat([...this.#partial, rest]);
    this.#partial = [];
    this.#partialBytes = 0;
    this.#emit(whole);
  }

  #hold(bytes: Buffer): void {
    const room = this.#isDropping ? 0 : this.#lineBytesMax - this.#partialBytes;
    if (bytes.length <= room) {
      this.#partial.push(bytes);
      this.#partialBytes += bytes.length;
      return;
    }
    if (room > 0) {
      this.#partial.push(bytes.subarray(0, room));
      this.#partialBytes += room;
    }
    this.droppedBytes += bytes.length - room;
    this.#isDropping = true;
  }
}
