/** The numbers of one scope, and which of them have been somebody's: those come last again. */
import type { Identity } from '../../model/identity.ts';

/** Of all, after which those that are nobody's now are as good as those that never were anybody's. */
const ROUND_PART = 7 / 8;
const PAGE_BITS = 15;

export class NumberRange {
  readonly #min: number;
  readonly #size: number;
  /** A bit for each number; pages without any are not there. */
  readonly #pages = new Map<number, Uint8Array>();
  #usedCount = 0;

  constructor({ min, max }: { readonly min: number; readonly max: number }) {
    this.#min = min;
    this.#size = max - min + 1;
  }

  use(identity: Identity): void {
    const at = identity - this.#min;
    if (at < 0 || at >= this.#size || this.#isUsed(at)) return;
    const number = at >> PAGE_BITS;
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(1 << (PAGE_BITS - 3));
      this.#pages.set(number, page);
    }
    const byte = (at & ((1 << PAGE_BITS) - 1)) >> 3;
    page[byte] = (page[byte] as number) | (1 << (at & 7));
    this.#usedCount += 1;
  }

  /** One that is free, from a place on that the hash says; null: there is none. */
  find(hash: number, isFree: (identity: Identity) => boolean): Identity | null {
    if (this.#usedCount > this.#size * ROUND_PART) {
      this.#pages.clear();
      this.#usedCount = 0;
    }
    const isNew = (at: number): boolean => !this.#isUsed(at);
    return (
      this.#first(hash, (at, one) => isNew(at) && isFree(one)) ??
      this.#first(hash, (_, one) => isFree(one))
    );
  }

  /** Goes on by a step of the hash's own, so that it is short also where nearly all are used. */
  #first(hash: number, suits: (at: number, identity: Identity) => boolean): Identity | null {
    const stride = strideOf(hash, this.#size);
    let at = hash % this.#size;
    for (let count = 0; count < this.#size; count++) {
      const identity = (this.#min + at) as Identity;
      if (suits(at, identity)) return identity;
      at = (at + stride) % this.#size;
    }
    return null;
  }

  #isUsed(at: number): boolean {
    const page = this.#pages.get(at >> PAGE_BITS);
    if (page === undefined) return false;
    return ((page[(at & ((1 << PAGE_BITS) - 1)) >> 3] as number) & (1 << (at & 7))) !== 0;
  }
}

/** One by which every place is come to. */
function strideOf(hash: number, size: number): number {
  let stride = 1 + ((Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0) % size);
  while (divisorOf(stride, size) !== 1) stride += 1;
  return stride;
}

/** The greatest that both have. */
function divisorOf(a: number, b: number): number {
  return b === 0 ? a : divisorOf(b, a % b);
}
