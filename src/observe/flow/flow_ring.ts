/** The last flows, as the batches they came in: they are decoded only when somebody asks for them. */
import type { Flow } from '../../model/flow.ts';
import { decodeBatch, flowCountOf } from './wire/decode_batch.ts';

/** What flows take on average at most: who asks for long paths does not take the supervisor's memory. */
const BYTES_PER_FLOW_MAX = 4096;

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

  /** By time, the oldest first. Those of a worker come in their order, but the workers' batches cross. */
  last(count: number): readonly Flow[] {
    const items = this.#batches.flatMap((batch) => decodeBatch(batch));
    const flows = items.filter((item) => typeof item !== 'number');
    flows.sort((a, b) => a.endedAtMs - b.endedAtMs);
    return count === 0 ? [] : flows.slice(-Math.min(count, this.#countMax));
  }

  /** Without the oldest batch there would still be enough; or it takes too much. */
  #isTooLong(): boolean {
    const [oldest] = this.#batches;
    if (oldest === undefined) return false;
    if (this.#bytes > this.#countMax * BYTES_PER_FLOW_MAX && this.#batches.length > 1) return true;
    return this.#count - flowCountOf(oldest) >= this.#countMax;
  }
}
