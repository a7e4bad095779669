/**
 * hot path
 *
 * Memory for what is written: slabs that many connections fill one after the other. A connection
 * takes a slab when it has something to write and gives the rest of it back when it hands its bytes
 * to the socket, so an idle connection holds none. Bytes that were handed out are never written
 * again: a socket may keep them as long as it likes.
 */

export interface Slab {
  readonly buffer: Buffer;
  used: number;
}

export const SLAB_BYTES = 32 * 1024;

/** Slabs kept for the next writer; more than this are never in use at once but in bursts. */
const KEPT_COUNT_MAX = 8;
/** A slab with less room than this is left to the garbage collector. */
const ROOM_BYTES_MIN = 512;

export class SlabPool {
  readonly #kept: Slab[] = [];

  /** A slab with room for `byteCount`. */
  take(byteCount: number): Slab {
    for (let i = this.#kept.length - 1; i >= 0; i--) {
      const slab = this.#kept[i] as Slab;
      if (slab.buffer.length - slab.used < byteCount) continue;
      this.#kept[i] = this.#kept[this.#kept.length - 1] as Slab;
      this.#kept.pop();
      return slab;
    }
    return { buffer: Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, byteCount)), used: 0 };
  }

  giveBack(slab: Slab): void {
    const room = slab.buffer.length - slab.used;
    if (room >= ROOM_BYTES_MIN && this.#kept.length < KEPT_COUNT_MAX) this.#kept.push(slab);
  }
}
