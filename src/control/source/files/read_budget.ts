/** How much one read of all files may take: a bound that is exceeded is an error, not less. */
import type { Limits } from '../../../model/limits.ts';
import { ReadError } from './read_error.ts';

export type ReadLimits = Pick<Limits, 'policyBytesMax' | 'policyFileCountMax'>;

export class ReadBudget {
  readonly #limits: ReadLimits;
  #bytes = 0;
  #files = 0;

  constructor(limits: ReadLimits) {
    this.#limits = limits;
  }

  check(path: string, bytes: number): void {
    const { policyBytesMax, policyFileCountMax } = this.#limits;
    if (this.#files + 1 > policyFileCountMax) {
      throw new ReadError(
        path,
        `it is one file more than policyFileCountMax allows (${policyFileCountMax})`,
      );
    }
    if (this.#bytes + bytes > policyBytesMax) throw this.tooLarge(path);
  }

  get bytesLeft(): number {
    return this.#limits.policyBytesMax - this.#bytes;
  }

  tooLarge(path: string): ReadError {
    const { policyBytesMax } = this.#limits;
    return new ReadError(
      path,
      `with it there are more bytes than policyBytesMax allows (${policyBytesMax})`,
    );
  }

  take(path: string, bytes: number): void {
    this.check(path, bytes);
    this.#bytes += bytes;
    this.#files += 1;
  }
}
