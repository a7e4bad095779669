/**
 * hot path
 *
 * The streams that are open, by number: open addressing, the place of a number that is taken is the next free one.
 *
 *     hash(number) mod capacity ──► │ 33 │  – │ 35 │ 163 │  – │ …        163 belongs where 35 is
 *
 * The peer chooses the numbers, and may skip as many as it likes: without a seed of our own it could have them all
 * belong to one place.
 *
 * Not a Map: when one is rehashed, which happens every few streams, its old table points to the new one. Once the
 * collector has moved a table to the old generation, each that follows is moved there with all that its
 * streams refer to, though all of it is dead: a quarter of the CPU of an HTTP/2 worker, from some moment
 * on and for good (docs/performance.md).
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../../model/contract.ts';

export class StreamTable<Stream extends { readonly id: number }> {
  size = 0;
  #slots: (Stream | null)[] = emptySlots(SLOT_COUNT_MIN);

  get(id: number): Stream | null {
    return this.#slots[this.#slotOf(id)] as Stream | null;
  }

  /** Only for a number that is not there. */
  add(stream: Stream): void {
    if (2 * this.size >= this.#slots.length) this.#grow();
    const slot = this.#slotOf(stream.id);
    assert(this.#slots[slot] === null, 'a stream is added once');
    this.#slots[slot] = stream;
    this.size++;
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let free = this.#slotOf(id);
    if (slots[free] === null) return;
    this.size--;
    // Who stands behind it and belongs before the gap moves into it.
    for (let at = (free + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at] as Stream | null;
      if (stream === null) break;
      const home = hashOf(stream.id) & mask;
      if (((at - home) & mask) < ((at - free) & mask)) continue;
      slots[free] = stream;
      free = at;
    }
    slots[free] = null;
  }

  /** As they are now, in the order in which they were opened: numbers only rise. */
  all(): Stream[] {
    const streams = this.#slots.filter((stream) => stream !== null);
    return streams.sort((a, b) => a.id - b.id);
  }

  /** Where it is, or where it would be. */
  #slotOf(id: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = hashOf(id) & mask;
    for (;;) {
      const stream = slots[at] as Stream | null;
      if (stream === null || stream.id === id) return at;
      at = (at + 1) & mask;
    }
  }

  #grow(): void {
    const streams = this.all();
    this.#slots = emptySlots(2 * this.#slots.length);
    for (const stream of streams) this.#slots[this.#slotOf(stream.id)] = stream;
  }
}

const SLOT_COUNT_MIN = 16;
const SEED = randomBytes(4).readUInt32LE();

/** The finalizer of MurmurHash3: each bit of the number changes each bit of the outcome with even odds. */
function hashOf(id: number): number {
  let hash = id ^ SEED;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function emptySlots(count: number): null[] {
  return new Array<null>(count).fill(null);
}
