/**
 * The last flows of the node, as the batches they came in. They are decoded when somebody asks for them; what was
 * decoded last is kept for a while, as those who follow want the same.
 */
import type { Flow } from '../../model/flow.ts';
import { decodeBatch, flowCountOf } from '../../observe/flow/wire/decode_batch.ts';
import { hubbleFlows, type NodeNaming } from '../flow/hubble_flows.ts';
import type { Flow as HubbleFlow } from '../generated/flow/flow_pb.ts';

export interface FlowStoreOptions {
  /** Of our flows, each of which may be two of Hubble's. */
  readonly countMax: number;
  readonly bytesMax: number;
  readonly naming: NodeNaming;
  /** Bytes that are no batch. */
  readonly onError: (error: unknown) => void;
}

export interface StoredFlow {
  readonly kind: 'flow';
  readonly flow: HubbleFlow;
  readonly of: Flow;
}

/** Flows that a worker left out there. */
export interface LostFlows {
  readonly kind: 'lost';
  readonly count: number;
}

export type StoredEvent = StoredFlow | LostFlows;

export interface StoredBatch {
  /** One higher for each. */
  readonly id: number;
  /** How many flows had come before it. */
  readonly flowsBefore: number;
  readonly flowCount: number;
  readonly bytes: Uint8Array;
}

/** Of batches whose flows are kept decoded. */
const DECODED_COUNT_MAX = 8;

export class FlowStore {
  readonly #options: FlowStoreOptions;
  readonly #batches: StoredBatch[] = [];
  readonly #decoded = new Map<number, readonly StoredEvent[]>();
  #nextId = 0;
  #count = 0;
  #bytes = 0;
  #seenCount = 0;

  constructor(options: FlowStoreOptions) {
    this.#options = options;
  }

  /** Since the start. */
  get seenCount(): number {
    return this.#seenCount;
  }

  /** A batch more may be kept than there is room for. */
  get keptCount(): number {
    return Math.min(this.#count, this.#options.countMax);
  }

  get countMax(): number {
    return this.#options.countMax;
  }

  /** Of the oldest batch; as `endId` when there is none. */
  get firstId(): number {
    return this.#batches[0]?.id ?? this.#nextId;
  }

  /** Of the batch that comes next. */
  get endId(): number {
    return this.#nextId;
  }

  push(bytes: Uint8Array): StoredBatch {
    const flowCount = flowCountOf(bytes);
    const batch = { id: this.#nextId++, flowsBefore: this.#seenCount, flowCount, bytes };
    this.#batches.push(batch);
    this.#seenCount += flowCount;
    this.#count += flowCount;
    this.#bytes += bytes.length;
    while (this.#isTooLong()) this.#dropOldest();
    return batch;
  }

  /** Null: it is gone, or not there yet. */
  batch(id: number): StoredBatch | null {
    return this.#batches[id - this.firstId] ?? null;
  }

  /** In the order in which they came. */
  eventsOf(batch: StoredBatch): readonly StoredEvent[] {
    const known = this.#decoded.get(batch.id);
    if (known !== undefined) return known;
    const events = this.#decode(batch);
    this.#decoded.set(batch.id, events);
    if (this.#decoded.size > DECODED_COUNT_MAX) {
      this.#decoded.delete(this.#decoded.keys().next().value as number);
    }
    return events;
  }

  #decode({ bytes }: StoredBatch): readonly StoredEvent[] {
    const events: StoredEvent[] = [];
    try {
      for (const item of decodeBatch(bytes)) {
        if (typeof item === 'number') {
          events.push({ kind: 'lost', count: item });
          continue;
        }
        for (const flow of hubbleFlows(item, this.#options.naming)) {
          events.push({ kind: 'flow', flow, of: item });
        }
      }
    } catch (error) {
      this.#options.onError(error);
    }
    return events;
  }

  /** Without the oldest batch there would still be enough; or they take too much. */
  #isTooLong(): boolean {
    const [oldest] = this.#batches;
    if (oldest === undefined || this.#batches.length === 1) return false;
    const { countMax, bytesMax } = this.#options;
    return this.#bytes > bytesMax || this.#count - oldest.flowCount >= countMax;
  }

  #dropOldest(): void {
    const oldest = this.#batches.shift() as StoredBatch;
    this.#count -= oldest.flowCount;
    this.#bytes -= oldest.bytes.length;
    this.#decoded.delete(oldest.id);
  }
}
