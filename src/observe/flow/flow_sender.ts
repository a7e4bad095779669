/**
 * hot path
 *
 * A worker's flows on their way to the supervisor. While nobody listens a flow costs one look at a field. While
 * somebody does, flows are written into a batch that goes every few milliseconds; what the other side has not taken
 * is bounded, and what comes above is left out and counted.
 *
 *     flow ──► FlowBatch (bytes) ──► send, at most so many bytes on their way ──► supervisor
 */
import type { ProxyFlow } from '../../model/flow.ts';
import type { Limits } from '../../model/limits.ts';
import type { Timers } from '../../platform/platform.ts';
import type { FlowSink } from './flow_sink.ts';
import { type BatchOrigin, FlowBatch } from './wire/flow_batch.ts';

export interface FlowSenderOptions extends BatchOrigin {
  readonly limits: Pick<Limits, 'flowBufferBytesMax' | 'flowDelayMs'>;
  readonly timers: Timers;
  /** `onTaken` is called once the batch has left this process. */
  readonly send: (batch: Uint8Array, onTaken: () => void) => void;
}

/** A batch of so many bytes waits for no more. */
const WITHOUT_WAITING_BYTES = 64 * 1024;

export class FlowSender implements FlowSink {
  readonly #options: FlowSenderOptions;
  readonly #batch: FlowBatch;
  #isWanted = false;
  #onTheWayBytes = 0;
  #stopTimer: (() => void) | null = null;
  #droppedCount = 0;
  /** Of them, those that the other side was not told of. */
  #untoldCount = 0;

  constructor(options: FlowSenderOptions) {
    this.#options = options;
    this.#batch = new FlowBatch(options);
  }

  /** Flows left out as the supervisor did not keep up. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** Somebody listens, or nobody does any more. */
  setWanted(isWanted: boolean): void {
    if (!isWanted) this.#flush();
    this.#isWanted = isWanted;
  }

  flow(flow: ProxyFlow): void {
    if (!this.#isWanted) return;
    const batch = this.#batch;
    if (this.#onTheWayBytes + batch.byteLength > this.#options.limits.flowBufferBytesMax) {
      this.#droppedCount++;
      this.#untoldCount++;
      return;
    }
    if (this.#untoldCount > 0) {
      batch.addLost(this.#untoldCount);
      this.#untoldCount = 0;
    }
    batch.add(flow);
    if (batch.byteLength >= WITHOUT_WAITING_BYTES) this.#flush();
    else this.#stopTimer ??= this.#flushLater();
  }

  async close(): Promise<void> {
    this.setWanted(false);
  }

  #flushLater(): () => void {
    const { limits, timers } = this.#options;
    return timers.after(limits.flowDelayMs, () => this.#flush());
  }

  #flush(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    if (this.#batch.isEmpty) return;
    const bytes = this.#batch.take();
    this.#onTheWayBytes += bytes.length;
    this.#options.send(bytes, () => {
      this.#onTheWayBytes -= bytes.length;
    });
  }
}
