/**
 * hot path
 *
 * Content that waits for a window, as copies in blocks: what waits must neither keep a whole read of
 * the socket alive, nor cost a buffer object for each byte when it came one byte a frame.
 *
 *     blocks[0]        blocks[1]        blocks[2]
 *     ....xxxxxxxx     xxxxxxxxxxxx     xxxxxx......
 *         ^ headStart                        ^ tailEnd
 */
const BLOCK_BYTES_MIN = 4096;

export class SendQueue {
  byteLength = 0;
  readonly #blocks: Buffer[] = [];
  #headStart = 0;
  #tailEnd = 0;

  append(content: Buffer, start: number, end: number): void {
    let from = start;
    const tail = this.#blocks[this.#blocks.length - 1];
    if (tail !== undefined) {
      const copied = content.copy(
        tail,
        this.#tailEnd,
        from,
        Math.min(end, from + tail.length - this.#tailEnd),
      );
      this.#tailEnd += copied;
      from += copied;
    }
    if (from < end) {
      const block = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES_MIN, end - from));
      this.#tailEnd = content.copy(block, 0, from, end);
      this.#blocks.push(block);
    }
    this.byteLength += end - start;
  }

  /** The oldest block, its content from `start` to `end`; null when nothing waits. */
  head(): { readonly bytes: Buffer; readonly start: number; readonly end: number } | null {
    const block = this.#blocks[0];
    if (block === undefined) return null;
    const end = this.#blocks.length === 1 ? this.#tailEnd : block.length;
    return { bytes: block, start: this.#headStart, end };
  }

  /** The first `byteCount` bytes of `head` have left. */
  drop(byteCount: number): void {
    const head = this.head();
    if (head === null) return;
    this.byteLength -= byteCount;
    this.#headStart += byteCount;
    if (this.#headStart < head.end) return;
    this.#blocks.shift();
    this.#headStart = 0;
  }
}
