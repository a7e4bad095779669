/**
 * hot path
 *
 * Scanners between two heads. A scanner is needed from the first byte of a head to its last, which mostly come
 * at once: connections that wait for their next request share a few, instead of 1.6 kB each.
 */
import { HeadScanner, type ScannerOptions } from './head_scanner.ts';

/** More than this many heads are rarely unfinished at once; further ones are made when they are. */
const IDLE_COUNT_MAX = 16;

export class ScannerPool {
  readonly #options: ScannerOptions;
  readonly #idle: HeadScanner[] = [];

  constructor(options: ScannerOptions) {
    this.#options = options;
  }

  /** Ready for a head, and the taker's alone until it is given back. */
  take(): HeadScanner {
    return this.#idle.pop() ?? new HeadScanner(this.#options);
  }

  giveBack(scanner: HeadScanner): void {
    if (this.#idle.length === IDLE_COUNT_MAX) return;
    scanner.reset();
    this.#idle.push(scanner);
  }
}

/** One pool for all parsers that were given the same options. */
export class PoolsByOptions<Options extends object> {
  readonly #pools = new WeakMap<Options, ScannerPool>();
  readonly #scannerOptionsOf: (options: Options) => ScannerOptions;

  constructor(scannerOptionsOf: (options: Options) => ScannerOptions) {
    this.#scannerOptionsOf = scannerOptionsOf;
  }

  of(options: Options): ScannerPool {
    let pool = this.#pools.get(options);
    if (pool === undefined) {
      pool = new ScannerPool(this.#scannerOptionsOf(options));
      this.#pools.set(options, pool);
    }
    return pool;
  }
}
