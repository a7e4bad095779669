/**
 * hot path
 *
 * Reads one head or trailer section out of chunks. A section within one chunk is not copied; one
 * that is spread over several is gathered, up to its bound and not a byte further.
 */
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import {
  type HeadScanner,
  SCAN_DONE,
  SCAN_FAULT,
  SCAN_MORE,
  type ScanOutcome,
} from './head_scanner.ts';
import { HeldBytes } from './held_bytes.ts';
import type { ScannerPool } from './scanner_pool.ts';

const NOTHING = Buffer.alloc(0);

export class SectionReader {
  /** After SCAN_DONE: exactly the section. */
  raw: Buffer = NOTHING;
  /** After any outcome but a fault: where to go on in the chunk. */
  offset = 0;
  /** After SCAN_FAULT. */
  cause: Cause = causeOf('head-bytes');
  readonly #pool: ScannerPool;
  /** From the first byte of a section until `reset`. */
  #scanner: HeadScanner | null = null;
  readonly #held = new HeldBytes();
  readonly #bytesMax: number;

  constructor(pool: ScannerPool, bytesMax: number) {
    this.#pool = pool;
    this.#bytesMax = bytesMax;
  }

  /** Of the section that is being read or was read last; only until `reset`. */
  get scanner(): HeadScanner {
    this.#scanner ??= this.#pool.take();
    return this.#scanner;
  }

  /** Ready for the next section; lets go of what was held. */
  reset(): void {
    this.raw = NOTHING;
    if (this.#scanner !== null) this.#pool.giveBack(this.#scanner);
    this.#scanner = null;
    if (this.#held.length > 0) this.#held.release();
  }

  /** After a fault: what is here of the section, from its first byte on, when `chunk` was read last. */
  bytesSoFar(chunk: Buffer, from: number): Buffer {
    const held = this.#held;
    return held.length > 0 ? held.buffer.subarray(0, held.length) : chunk.subarray(from);
  }

  /** Of a section that is not whole: what was kept of it. */
  get heldBytes(): number {
    return this.#held.length;
  }

  read(chunk: Buffer, from: number): ScanOutcome {
    const before = this.#held.length;
    return before === 0 ? this.#readChunk(chunk, from) : this.#readHeld(chunk, from, before);
  }

  #readChunk(chunk: Buffer, from: number): ScanOutcome {
    const bound = from + this.#bytesMax;
    const outcome = this.#scan(chunk, from, Math.min(bound, chunk.length));
    if (outcome === SCAN_DONE) {
      const end = from + this.scanner.byteLength;
      this.raw = from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end);
      this.offset = end;
    } else if (outcome === SCAN_MORE) {
      if (bound <= chunk.length) return this.#failAsTooLarge();
      this.#held.append(chunk, from, chunk.length);
      this.offset = chunk.length;
    }
    return outcome;
  }

  #readHeld(chunk: Buffer, from: number, before: number): ScanOutcome {
    const held = this.#held;
    held.append(chunk, from, Math.min(chunk.length, from + this.#bytesMax - before));
    const outcome = this.#scan(held.buffer, 0, held.length);
    if (outcome === SCAN_DONE) {
      this.raw = held.buffer.subarray(0, this.scanner.byteLength);
      this.offset = from + this.scanner.byteLength - before;
    } else if (outcome === SCAN_MORE) {
      if (held.length === this.#bytesMax) return this.#failAsTooLarge();
      this.offset = chunk.length;
    }
    return outcome;
  }

  #scan(bytes: Buffer, start: number, end: number): ScanOutcome {
    const outcome = this.scanner.scan(bytes, start, end);
    if (outcome === SCAN_FAULT) this.cause = this.scanner.cause ?? this.cause;
    return outcome;
  }

  #failAsTooLarge(): ScanOutcome {
    this.cause = causeOf('head-bytes');
    return SCAN_FAULT;
  }
}
