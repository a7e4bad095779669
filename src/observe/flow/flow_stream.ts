/**
 * The supervisor's side: flows of all workers and of the kernel, for whoever subscribes. A subscriber takes what waits
 * for it when it can; one that is too slow loses its own flows only, and is told how many.
 *
 *     worker, kernel ──batch──► FlowStream ─┬─► FlowRing (the last ones, as bytes)
 *                                           └─► FlowSubscription: filter, then a bounded queue
 */
import type { Flow } from '../../model/flow.ts';
import { FlowRing } from './flow_ring.ts';
import { type BatchItem, decodeBatch } from './wire/decode_batch.ts';

export interface FlowStreamOptions {
  /** Flows that are kept all the time, for `last`; 0: none. */
  readonly ringCountMax: number;
  readonly subscriberCountMax: number;
  /** Told whenever the first one begins to listen, or the last one stops. */
  readonly onDemand: (isWanted: boolean) => void;
  /** Bytes that are no batch, or a filter that throws. */
  readonly onError: (error: unknown) => void;
}

export interface SubscriptionOptions {
  readonly filter: (flow: Flow) => boolean;
  /** Flows that may wait to be taken. */
  readonly queueCountMax: number;
  /** Something waits, or the stream has ended. Not told again before `take` has given all of it. */
  readonly onReady: () => void;
}

export class FlowStream {
  readonly #options: FlowStreamOptions;
  readonly #ring: FlowRing;
  readonly #subscriptions = new Set<FlowSubscription>();
  #lostCount = 0;
  #isEnded = false;

  constructor(options: FlowStreamOptions) {
    this.#options = options;
    this.#ring = new FlowRing(options.ringCountMax);
  }

  /** Whether workers are to send flows at all. */
  get isWanted(): boolean {
    return !this.#isEnded && (this.isKept || this.#subscriptions.size > 0);
  }

  /** `last` has something to tell. */
  get isKept(): boolean {
    return this.#options.ringCountMax > 0;
  }

  /** Flows that slow subscribers lost, over all of them. */
  get lostCount(): number {
    return this.#lostCount;
  }

  push(batch: Uint8Array): void {
    if (!this.isWanted) return;
    try {
      this.#ring.push(batch);
      if (this.#subscriptions.size === 0) return;
      const items = decodeBatch(batch);
      for (const subscription of this.#subscriptions) this.#lostCount += subscription.offer(items);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  last(count: number): readonly Flow[] {
    try {
      return this.#ring.last(count);
    } catch (error) {
      this.#options.onError(error);
      return [];
    }
  }

  /** Null: too many subscribe already. */
  subscribe(options: SubscriptionOptions): FlowSubscription | null {
    if (this.#isEnded || this.#subscriptions.size >= this.#options.subscriberCountMax) return null;
    const wasWanted = this.isWanted;
    const subscription = new FlowSubscription(options, (one) => this.#leave(one));
    this.#subscriptions.add(subscription);
    if (!wasWanted) this.#options.onDemand(true);
    return subscription;
  }

  /** Subscribers may take what waits for them; nothing more comes. */
  end(): void {
    this.#isEnded = true;
    for (const subscription of this.#subscriptions) subscription.end();
  }

  #leave(subscription: FlowSubscription): void {
    const wasWanted = this.isWanted;
    this.#subscriptions.delete(subscription);
    if (wasWanted && !this.isWanted) this.#options.onDemand(false);
  }
}

/** `lostCount`: flows that were to come with these, or after them, and did not. */
export interface Taken {
  readonly flows: readonly Flow[];
  readonly lostCount: number;
}

export class FlowSubscription {
  readonly #options: SubscriptionOptions;
  readonly #onClose: (subscription: FlowSubscription) => void;
  #flows: Flow[] = [];
  #lostCount = 0;
  #isTold = false;
  #isEnded = false;

  constructor(options: SubscriptionOptions, onClose: (subscription: FlowSubscription) => void) {
    this.#options = options;
    this.#onClose = onClose;
  }

  /** Nothing comes after what waits now. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** How many of these are lost to it. */
  offer(items: readonly BatchItem[]): number {
    const { filter, queueCountMax } = this.#options;
    let lostCount = 0;
    for (const item of items) {
      if (typeof item === 'number') this.#lostCount += item;
      else if (!filter(item)) continue;
      else if (this.#flows.length < queueCountMax) this.#flows.push(item);
      else lostCount++;
    }
    this.#lostCount += lostCount;
    this.#tell();
    return lostCount;
  }

  /** The first that wait. Whoever leaves some takes on until none is left: only then it is told again. */
  take(countMax = Number.POSITIVE_INFINITY): Taken {
    if (this.#flows.length > countMax) {
      return { flows: this.#flows.splice(0, countMax), lostCount: 0 };
    }
    const taken = { flows: this.#flows, lostCount: this.#lostCount };
    this.#flows = [];
    this.#lostCount = 0;
    this.#isTold = false;
    return taken;
  }

  end(): void {
    this.#isEnded = true;
    this.#isTold = false;
    this.#options.onReady();
  }

  close(): void {
    this.#onClose(this);
  }

  #tell(): void {
    if (this.#isTold || (this.#flows.length === 0 && this.#lostCount === 0)) return;
    this.#isTold = true;
    this.#options.onReady();
  }
}
