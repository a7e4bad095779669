/**
 * hot path
 *
 * Lines that wait to be written together, as bytes, in pieces of one size that are used again and again:
 * a sink that is slow for a moment makes more of them, and none is ever copied into a larger one.
 */

/**
 * Each write is a turn of another thread, for which a worker that is full lets it wait milliseconds: what has
 * gathered meanwhile has to fit into one, or lines come faster than they go. Of a piece that is not filled only what
 * was written to takes memory.
 */
export const PIECE_BYTES = 1024 * 1024;
/** Fewer bytes are copied, so that the piece is used on: they must not hold it while a sink does not take them. */
const COPIED_BYTES_MAX = 16 * 1024;
/**
 * Pieces kept for the next turn: as many as this one needed, so that a log of 200 MB a second makes none anew (new
 * ones are memory outside of the heap, which brings full collections: six a second), and few at rest.
 */
const KEPT_COUNT_MAX = 8;
const KEPT_COUNT_AT_REST = 2;

export class LineBatch {
  #piece: Buffer | null = null;
  #at = 0;
  #full: Buffer[] = [];
  #byteLength = 0;
  #lineCount = 0;
  /** Full and not taken yet, though what was taken before may be written by now. */
  #closed: Buffer[] = [];
  /** Taken and perhaps not written yet: no byte of them may change. */
  #taken: Buffer[] = [];
  readonly #kept: Buffer[] = [];

  get byteLength(): number {
    return this.#byteLength;
  }

  get lineCount(): number {
    return this.#lineCount;
  }

  add(line: Uint8Array): void {
    if (this.#piece === null || this.#at + line.length > this.#piece.length) {
      this.#closePiece();
      const isLong = line.length > PIECE_BYTES;
      const kept = isLong ? undefined : this.#kept.pop();
      this.#piece = kept ?? Buffer.allocUnsafeSlow(isLong ? line.length : PIECE_BYTES);
    }
    this.#piece.set(line, this.#at);
    this.#at += line.length;
    this.#byteLength += line.length;
    this.#lineCount++;
  }

  /** All lines, in pieces that end with a line. The bytes stay as they are at least until `written`. */
  take(): readonly Buffer[] {
    if (this.#at < COPIED_BYTES_MAX) this.#copyPiece();
    else this.#closePiece();
    const lines = this.#full;
    this.#full = [];
    this.#taken.push(...this.#closed);
    this.#closed = [];
    this.#byteLength = 0;
    this.#lineCount = 0;
    return lines;
  }

  /** Everything that was taken has been written. */
  written(): void {
    const countMax = Math.min(KEPT_COUNT_MAX, KEPT_COUNT_AT_REST + 2 * this.#taken.length);
    for (const piece of this.#taken) {
      if (piece.length === PIECE_BYTES && this.#kept.length < countMax) this.#kept.push(piece);
    }
    if (this.#kept.length > countMax) this.#kept.length = countMax;
    this.#taken = [];
  }

  #copyPiece(): void {
    if (this.#piece === null || this.#at === 0) return;
    this.#full.push(Buffer.from(this.#piece.subarray(0, this.#at)));
    this.#at = 0;
  }

  #closePiece(): void {
    if (this.#piece === null) return;
    if (this.#at > 0) this.#full.push(this.#piece.subarray(0, this.#at));
    this.#closed.push(this.#piece);
    this.#piece = null;
    this.#at = 0;
  }
}
