/**
 * Content that waits in a worker for peers that do not take it, over all its HTTP/2 connections. One connection is
 * bounded by its streams and their windows; many together by this:
 *
 *     below half of h2ContentBytesMax   every stream gets its whole window
 *     above half                        streams of new connections get a quarter of it
 *     above                             who holds most gives up what has stood still for longest
 *
 * So whoever fills it pays first, and moving streams do not wait for those that stand still.
 */
import type { Limits } from '../model/limits.ts';

export interface ContentHolder {
  readonly waitingBytes: number;
  /** Gives up what has stood still for longest, half of it or more. */
  shed(): void;
}

/** Smaller windows would cost more in round trips than they save. */
const STREAM_WINDOW_BYTES_MIN = 16 * 1024;

export class ContentMemory {
  waitingBytes = 0;
  readonly #limits: Limits;
  /** Changes with connections, not with requests. */
  readonly #holders = new Set<ContentHolder>();
  #isShedding = false;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** For the streams of a connection that begins now. */
  get streamWindowBytes(): number {
    const { h2ContentBytesMax, h2StreamWindowBytes } = this.#limits;
    if (this.waitingBytes * 2 < h2ContentBytesMax) return h2StreamWindowBytes;
    const short = Math.max(STREAM_WINDOW_BYTES_MIN, Math.floor(h2StreamWindowBytes / 4));
    return Math.min(h2StreamWindowBytes, short);
  }

  add(holder: ContentHolder): void {
    this.#holders.add(holder);
  }

  delete(holder: ContentHolder): void {
    this.#holders.delete(holder);
  }

  /** One of them holds so many bytes more, or fewer. */
  changed(byteCount: number): void {
    this.waitingBytes += byteCount;
    if (this.waitingBytes > this.#limits.h2ContentBytesMax && !this.#isShedding) this.#shed();
  }

  #shed(): void {
    this.#isShedding = true;
    try {
      while (this.waitingBytes > this.#limits.h2ContentBytesMax) {
        const before = this.waitingBytes;
        this.#largest()?.shed();
        if (this.waitingBytes >= before) return;
      }
    } finally {
      this.#isShedding = false;
    }
  }

  #largest(): ContentHolder | null {
    let largest: ContentHolder | null = null;
    let byteCount = 0;
    for (const holder of this.#holders) {
      if (holder.waitingBytes <= byteCount) continue;
      largest = holder;
      byteCount = holder.waitingBytes;
    }
    return largest;
  }
}
