/**
 * A stream of JSON values, one a line, as they arrive: a watch of the Kubernetes API. A line break within a value is
 * escaped, so a line that is no JSON costs itself only.
 */
import { GatheredPiece, type JsonPiece, type PieceLimits } from './json_piece.ts';

const LINE_FEED = 0x0a;

export class JsonLines {
  readonly #line: GatheredPiece;

  constructor(limits: PieceLimits) {
    this.#line = new GatheredPiece(limits);
  }

  /** Those that end in this chunk. What follows the last line break waits for the next one. */
  *split(chunk: Buffer): Generator<JsonPiece, void> {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      const isBlank = this.#line.isEmpty && isBlankBetween(chunk, start, end);
      if (!isBlank) yield this.#line.take(chunk, start, end);
      start = end + 1;
    }
    this.#line.add(chunk, start, chunk.length);
  }
}

function isBlankBetween(chunk: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if ((chunk[at] ?? 0) > 0x20) return false;
  return true;
}
