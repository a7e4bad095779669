/**
 * hot path
 *
 * The short literals that header blocks brought last, by their bytes on the wire: a peer that indexes nothing (an
 * upstream, told to; gRPC and h2load for some fields), or has more fields than fit into its table, sends the same
 * names and values again and again, and need not have each decoded, checked and made into a string again.
 *
 * One for all connections of a worker, two ways a set: what a literal means depends on its bytes alone, clients of one
 * program send the same, and 80 fields of one request would push each other out of a small one. Secrets (never
 * indexed, or credentials by their name) are not kept. For other values, timing could tell a client that another
 * client has sent a value, but only a client that knows the whole value: only whole literals are found.
 */
const SLOT_COUNT = 2048;
const LENGTH_MAX = 48;
const HUFFMAN_FLAG = 0x80;

export const NO_SLOT = -1;

export class LiteralCache {
  readonly texts: string[] = new Array<string>(SLOT_COUNT).fill('');
  /** What `valueFlag` says of the text. */
  readonly valueFlags: number[] = new Array<number>(SLOT_COUNT).fill(0);
  /** What `nameCode` says of the text, or -1 when it was never asked. */
  readonly nameKinds: number[] = new Array<number>(SLOT_COUNT).fill(-1);
  isHit = false;
  /** By set: the slot that was used last; the other one is overwritten next. */
  readonly #recent = Uint16Array.from({ length: SLOT_COUNT / 2 }, (_, set) => 2 * set);
  readonly #bytes = new Uint8Array(SLOT_COUNT * LENGTH_MAX);
  /** Length and coding of what is in the slot; 0xff for nothing. */
  readonly #lengths = new Uint8Array(SLOT_COUNT).fill(0xff);

  /** The slot of these bytes; `isHit` tells whether they are in it. NO_SLOT: too long to keep. */
  find(bytes: Uint8Array, start: number, end: number, isHuffman: boolean): number {
    const length = end - start;
    this.isHit = false;
    if (length > LENGTH_MAX) return NO_SLOT;
    let hash = isHuffman ? 0x55 : 0x811c9dc5;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
    const slot = (hash ^ (hash >>> 13)) & (SLOT_COUNT - 1);
    const coded = isHuffman ? length | HUFFMAN_FLAG : length;
    if (this.#holds(slot, coded, bytes, start)) return this.#hit(slot);
    if (this.#holds(slot ^ 1, coded, bytes, start)) return this.#hit(slot ^ 1);
    return (this.#recent[slot >> 1] as number) ^ 1;
  }

  /** Into the slot that `find` gave for the same bytes. */
  put(
    slot: number,
    literal: {
      readonly bytes: Uint8Array;
      readonly start: number;
      readonly end: number;
      readonly isHuffman: boolean;
      readonly text: string;
      readonly valueFlag: number;
    },
  ): void {
    const { bytes, start, end } = literal;
    this.#recent[slot >> 1] = slot;
    this.#lengths[slot] = literal.isHuffman ? (end - start) | HUFFMAN_FLAG : end - start;
    const base = slot * LENGTH_MAX - start;
    for (let at = start; at < end; at++) this.#bytes[base + at] = bytes[at] as number;
    this.texts[slot] = literal.text;
    this.valueFlags[slot] = literal.valueFlag;
    this.nameKinds[slot] = -1;
  }

  #holds(slot: number, coded: number, bytes: Uint8Array, start: number): boolean {
    if (this.#lengths[slot] !== coded) return false;
    const end = start + (coded & ~HUFFMAN_FLAG);
    const base = slot * LENGTH_MAX - start;
    for (let at = start; at < end; at++) {
      if (this.#bytes[base + at] !== bytes[at]) return false;
    }
    return true;
  }

  #hit(slot: number): number {
    this.#recent[slot >> 1] = slot;
    this.isHit = true;
    return slot;
  }
}
