/** The last flows, as the batches they came in: they are decoded only when somebody asks for them. */
import type { Flow } from '../../model/flow.ts';
import { decodeBatch, flowCountOf } from './wire/decode_batch.ts';

/** What flows take on average at most: who asks for long paths does not take the supervisor's memory. */
const BYTES_PER_FLOW_MAX = 4096;

/** Of other workers, that may have come before those of one and be younger: all of them send every few milliseconds. */
const CROSSING_BATCHES = 32;

export class FlowRing {
  readonly #countMax: number;
  readonly #batches: Uint8Array[] = [];
  #count = 0;
  #bytes = 0;

  /** 0: keeps nothing. */
  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  push(batch: Uint8Array): void {
    if (this.#countMax === 0) return;
    this.#batches.push(batch);
    this.#count += flowCountOf(batch);
    this.#bytes += batch.length;
    while (this.#isTooLong()) {
      const oldest = this.#batches.shift() as Uint8Array;
      this.#count -= flowCountOf(oldest);
      this.#bytes -= oldest.length;
    }
  }

  /**
   * By time, the oldest first. Those of a worker come in their order, but the workers' batches cross: some more
   * are looked at than are needed. No older ones are decoded.
   */
  last(count: number): readonly Flow[] {
    const wanted = Math.min(count, this.#countMax);
    const flows: Flow[] = [];
    let crossing = CROSSING_BATCHES;
    for (let at = this.#batches.length - 1; at >= 0 && crossing > 0; at--) {
      for (const item of decodeBatch(this.#batches[at] as Uint8Array)) {
        if (typeof item !== 'number') flows.push(item);
      }
      if (flows.length >= wanted) crossing--;
    }
    flows.sort((a, b) => a.endedAtMs - b.endedAtMs);
    return wanted === 0 ? [] : flows.slice(-wanted);
  }

  /** Without the oldest batch there would still be enough; or it takes too much. */
  #isTooLong(): boolean {
    const [oldest] = this.#batches;
    if (oldest === undefined) return false;
    if (this.#bytes > this.#countMax * BYTES_PER_FLOW_MAX && this.#batches.length > 1) return true;
    return this.#count - flowCountOf(oldest) >= this.#countMax;
  }
}
