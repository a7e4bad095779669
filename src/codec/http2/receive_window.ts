/**
 * hot path
 *
 * The flow-control window that we gave a peer, for a connection or a stream (RFC 9113 6.9): what it
 * may still send, and what has been used up but not announced as free again. Credit is announced
 * once it is as much as the peer has left: in halves of the window when nothing is held, so that small
 * messages cost no WINDOW_UPDATE frame at all, and early enough when much of it is held.
 */
export class ReceiveWindow {
  /** May be below zero after our SETTINGS made it smaller (6.9.2). */
  #available: number;
  #freed = 0;
  #size: number;

  constructor(size: number) {
    this.#available = size;
    this.#size = size;
  }

  get available(): number {
    return this.#available;
  }

  /** The peer has sent `byteCount`; false when it had no right to. */
  charge(byteCount: number): boolean {
    if (byteCount > this.#available) return false;
    this.#available -= byteCount;
    return true;
  }

  /**
   * `byteCount` have left; gives the increment to announce now, or 0. To be asked after each charge, too:
   * what is held may be held for long, and then what was freed before is all that there is.
   */
  free(byteCount: number): number {
    this.#freed += byteCount;
    if (this.#freed === 0 || this.#freed < this.#available) return 0;
    const increment = this.#freed;
    this.#available += increment;
    this.#freed = 0;
    return increment;
  }

  /** Another size is in force: by SETTINGS for streams, by WINDOW_UPDATE for the connection. */
  resize(size: number): void {
    this.#available += size - this.#size;
    this.#size = size;
  }
}
