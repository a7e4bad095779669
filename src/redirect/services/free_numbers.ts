/**
 * Numbers of 32 bits that nobody has, from 1. One that was freed comes again after all others: what a socket
 * remembers may be as old as the socket.
 */
export class FreeNumbers {
  readonly #taken = new Set<number>();
  #last: number;

  /** `last`: what the loader before gave last. */
  constructor(last = 0) {
    this.#last = last;
  }

  /** That was given last. */
  get last(): number {
    return this.#last;
  }

  /** One that somebody has already. */
  take(number: number): void {
    this.#taken.add(number);
  }

  next(): number {
    do this.#last = this.#last === NUMBER_MAX ? 1 : this.#last + 1;
    while (this.#taken.has(this.#last));
    this.#taken.add(this.#last);
    return this.#last;
  }

  free(number: number): void {
    this.#taken.delete(number);
  }
}

const NUMBER_MAX = 0xffff_ffff;
