/**
 * The streams that closed last and how, so that a frame that comes late gets the answer that RFC 9113
 * 5.1 asks for. A ring of integers, made at the first close; older streams are forgotten.
 */

/** Both sides had ended it. */
export const CLOSED_BY_END = 1;
/** We reset it: the peer may not know yet, so what comes is dropped. */
export const CLOSED_BY_US = 2;
/** The peer reset it. */
export const CLOSED_BY_PEER = 3;
/** Not among those remembered. */
export const CLOSED_LONG_AGO = 0;

export type Closure =
  | typeof CLOSED_BY_END
  | typeof CLOSED_BY_US
  | typeof CLOSED_BY_PEER
  | typeof CLOSED_LONG_AGO;

export class ClosedStreams {
  readonly #countMax: number;
  /** Stream identifiers are odd and have 31 bits: id / 2 * 4 + closure fits 32. */
  #ring: Uint32Array | null = null;
  #at = 0;
  #count = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Something was forgotten, so that not finding a stream tells nothing about it. */
  get hasForgotten(): boolean {
    return this.#count > this.#countMax;
  }

  add(streamId: number, closure: Closure): void {
    this.#ring ??= new Uint32Array(this.#countMax);
    this.#ring[this.#at] = (((streamId >>> 1) << 2) | closure) >>> 0;
    this.#at = (this.#at + 1) % this.#countMax;
    this.#count++;
  }

  find(streamId: number): Closure {
    if (this.#ring === null) return CLOSED_LONG_AGO;
    const wanted = ((streamId >>> 1) << 2) >>> 0;
    // Newest first: an identifier is there once, but for a refused one never twice.
    for (let back = 1; back <= this.#countMax; back++) {
      const entry = this.#ring[(this.#at - back + this.#countMax) % this.#countMax] as number;
      if (entry !== 0 && (entry & 0xffff_fffc) >>> 0 === wanted) return (entry & 3) as Closure;
    }
    return CLOSED_LONG_AGO;
  }
}
