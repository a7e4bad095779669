/**
 * A JSON object with many values in its list `items`, as it arrives: a page of a list of the Kubernetes API. Each
 * element is parsed alone, and what is around them at the end, so that a page of large objects is never in memory.
 *
 *     {"kind":"PodList","items":[ ELEMENT , ELEMENT ],"metadata":{...}}
 *     └────────── rest ─────────┘                   └────── rest ─────┘
 */
import { GatheredPiece, type JsonPiece, type PieceLimits } from './json_piece.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const LIST_OPEN = 0x5b;
const BACKSLASH = 0x5c;
const LIST_CLOSE = 0x5d;
const MAP_OPEN = 0x7b;
const MAP_CLOSE = 0x7d;

/** How many lists and maps are open where the elements stand. */
const ELEMENT_DEPTH = 2;
/** Bytes that the key of the list and white space around it may have. */
const KEY_BYTES_MAX = 64;

export class JsonItems {
  readonly #element: GatheredPiece;
  readonly #rest: GatheredPiece;
  /** The last bytes of the rest: they tell which key a list has. */
  #restTail = '';
  #depth = 0;
  #isInString = false;
  /** The byte before this one was a backslash within a string. */
  #isEscaped = false;
  #isInItems = false;
  #isInElement = false;

  constructor(limits: PieceLimits) {
    this.#element = new GatheredPiece(limits);
    this.#rest = new GatheredPiece(limits);
  }

  /** The elements that end in this chunk. */
  *split(chunk: Buffer): Generator<JsonPiece, void> {
    let start = 0;
    while (start < chunk.length) {
      if (this.#isInElement) {
        const end = this.#endOfElement(chunk, start);
        if (end === -1) {
          this.#element.add(chunk, start, chunk.length);
          return;
        }
        this.#isInElement = false;
        yield this.#element.take(chunk, start, end);
        start = end;
      } else {
        start = this.#startOfElement(chunk, start);
      }
    }
  }

  /** All but the elements, once all has arrived; `items` of it is empty. */
  rest(): JsonPiece {
    return this.#rest.take(Buffer.alloc(0), 0, 0);
  }

  /** The index behind it; -1: it goes on in the next chunk. */
  #endOfElement(chunk: Buffer, start: number): number {
    let depth = this.#depth;
    let isInString = this.#isInString;
    let at = start;
    if (this.#isEscaped) {
      this.#isEscaped = false;
      at += 1;
    }
    for (; at < chunk.length; at++) {
      const byte = chunk[at];
      if (isInString) {
        if (byte === QUOTE) isInString = false;
        else if (byte === BACKSLASH) at += 1;
      } else if (byte === QUOTE) {
        isInString = true;
      } else if (byte === MAP_OPEN || byte === LIST_OPEN) {
        depth += 1;
      } else if (byte === MAP_CLOSE || byte === LIST_CLOSE) {
        depth -= 1;
        if (depth === ELEMENT_DEPTH) break;
      }
    }
    this.#depth = depth;
    this.#isInString = isInString;
    if (at < chunk.length) return at + 1;
    this.#isEscaped = at > chunk.length;
    return -1;
  }

  /** Keeps what is before it. The end of the chunk, if none begins in it. */
  #startOfElement(chunk: Buffer, start: number): number {
    let from = start;
    let at = start;
    for (; at < chunk.length; at++) {
      const byte = chunk[at];
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#isInString = false;
        continue;
      }
      const isBetween = this.#isInItems && this.#depth === ELEMENT_DEPTH;
      if (isBetween && byte === COMMA) {
        this.#addRest(chunk, from, at);
        from = at + 1;
      } else if (isBetween && byte === MAP_OPEN) {
        this.#isInElement = true;
        break;
      }
      this.#passOutside(byte, chunk, from, at);
    }
    this.#addRest(chunk, from, at);
    return at;
  }

  #passOutside(byte: number | undefined, chunk: Buffer, from: number, at: number): void {
    if (byte === QUOTE) {
      this.#isInString = true;
    } else if (byte === MAP_OPEN || byte === LIST_OPEN) {
      if (this.#depth === 1 && byte === LIST_OPEN) {
        this.#isInItems = /"items"\s*:\s*$/.test(
          this.#restTail + chunk.toString('latin1', Math.max(from, at - KEY_BYTES_MAX), at),
        );
      }
      this.#depth += 1;
    } else if (byte === MAP_CLOSE || byte === LIST_CLOSE) {
      this.#depth -= 1;
      if (this.#depth === 1) this.#isInItems = false;
    }
  }

  #addRest(chunk: Buffer, from: number, to: number): void {
    if (to <= from) return;
    this.#rest.add(chunk, from, to);
    const tail = chunk.toString('latin1', Math.max(from, to - KEY_BYTES_MAX), to);
    this.#restTail = (this.#restTail + tail).slice(-KEY_BYTES_MAX);
  }
}
