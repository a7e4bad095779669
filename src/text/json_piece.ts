/** One value of many that a stream of JSON has, and the bytes of it as they gather. */
import type { Limits } from '../model/limits.ts';
import { type DocumentLimits, tooMuchTexts } from './document_bounds.ts';
import { parseJson } from './json_value.ts';

export type PieceLimits = DocumentLimits & Pick<Limits, 'kubeObjectBytesMax'>;

export type JsonPiece =
  | { readonly kind: 'value'; readonly value: unknown }
  /** It is skipped; the next one is read. */
  | {
      readonly kind: 'unreadable';
      readonly message: string;
      /** How its text begins, as far as it was kept. */
      readonly head: string;
    };

const BYTES_MIN = 64 * 1024;

/** The bytes of one value that came in parts. Keeps as many as one may have, and knows if there were more. */
export class GatheredPiece {
  readonly #limits: PieceLimits;
  #bytes: Buffer = Buffer.allocUnsafeSlow(BYTES_MIN);
  #length = 0;
  #isTooLong = false;

  constructor(limits: PieceLimits) {
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  add(chunk: Buffer, from: number, to: number): void {
    const room = this.#limits.kubeObjectBytesMax - this.#length;
    if (to - from > room) this.#isTooLong = true;
    const end = Math.min(to, from + room);
    if (end <= from) return;
    this.#grow(this.#length + end - from);
    this.#length += chunk.copy(this.#bytes, this.#length, from, end);
  }

  /** With the rest of it, which is in `chunk`. The next one begins. */
  take(chunk: Buffer, from: number, to: number): JsonPiece {
    if (this.#length === 0 && to - from <= this.#limits.kubeObjectBytesMax) {
      return this.#pieceOf(chunk.toString('utf8', from, to));
    }
    this.add(chunk, from, to);
    const text = this.#bytes.toString('utf8', 0, this.#length);
    const isTooLong = this.#isTooLong;
    this.#length = 0;
    this.#isTooLong = false;
    // One large object must not keep its memory for ever.
    if (this.#bytes.length > BYTES_MIN) this.#bytes = Buffer.allocUnsafeSlow(BYTES_MIN);
    return isTooLong ? this.#tooLong(text) : this.#pieceOf(text);
  }

  #grow(length: number): void {
    if (length <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }

  #pieceOf(text: string): JsonPiece {
    const parsed = parseJson(text, this.#limits);
    if (parsed.kind === 'value') return parsed;
    // What a parser says of a text that is no JSON quotes it, and it may be a secret.
    const isBound = tooMuchTexts(this.#limits).some((said) => parsed.message.startsWith(said));
    const message = isBound ? parsed.message : 'it is no JSON';
    return { kind: 'unreadable', message, head: text };
  }

  #tooLong(head: string): JsonPiece {
    const { kubeObjectBytesMax } = this.#limits;
    return {
      kind: 'unreadable',
      message: `it has more bytes than kubeObjectBytesMax allows (${kubeObjectBytesMax})`,
      head,
    };
  }
}
