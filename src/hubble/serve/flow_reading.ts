/**
 * One answer to GetFlows: where to begin, what to send, when to end; by the rules of Cilium's observer
 * (pkg/hubble/observer). It says what it waits for and does nothing meanwhile: a client that does not read holds up
 * nobody, and what the store has dropped until then it is told as lost.
 *
 *     store ── batch after batch ──► filter ──► field mask ──► send
 */
import type { FlowTest } from '../filter/flow_test.ts';
import type { Flow as HubbleFlow } from '../generated/flow/flow_pb.ts';
import { LostEventSource } from '../generated/flow/flow_pb.ts';
import type { FlowStore, StoredBatch, StoredFlow } from './flow_store.ts';

export interface FlowsAsked {
  readonly passes: FlowTest;
  /** 0: all of them. */
  readonly number: number;
  readonly isFirst: boolean;
  readonly isFollowing: boolean;
  /** Of milliseconds since the epoch; null: no bound. */
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

export interface FlowOutlet {
  flow(stored: StoredFlow): void;
  lost(source: LostEventSource, count: number, span: LostSpan): void;
}

/** When the first and the last of them were found to be gone. */
export interface LostSpan {
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface ReadingOptions {
  readonly store: FlowStore;
  readonly asked: FlowsAsked;
  readonly outlet: FlowOutlet;
  readonly wallMs: () => number;
  /** Between two messages about lost flows; those between are told together. */
  readonly lostIntervalMs: number;
}

/** `sent`: unless the client takes no more now. `turn`: others are to have theirs. `more`: all that there is was read. */
export type Pause = 'sent' | 'turn' | 'more';

/** Flows that are looked at before others have a turn; fewer, when the client's filters take long. */
const EVENTS_PER_TURN = 256;
const TURN_MS = 10;
/** Workers send theirs at intervals, so that a flow may come after younger ones. */
const LATE_MS = 1000;

export class FlowReading {
  readonly #options: ReadingOptions;
  #sentCount = 0;
  #lookedCount = 0;
  #turnStartedMs = 0;
  /** Flows that had come before the one that is next. */
  #flowsRead = 0;
  #lostCount = 0;
  #lostFirstMs = 0;
  #lostToldMs = 0;

  constructor(options: ReadingOptions) {
    this.#options = options;
  }

  /** Ends when all was sent that was asked for. */
  *read(): Generator<Pause, void> {
    const { store, asked } = this.#options;
    // Of the past there is what is there now: whoever does not follow is not kept by what comes.
    const endId = asked.isFollowing ? Number.POSITIVE_INFINITY : store.endId;
    this.#beginTurn();
    let place = yield* this.#start();
    for (;;) {
      const batch = this.#next(place.id);
      if (batch === null || batch.id >= endId) {
        this.#tellLost();
        if (!asked.isFollowing || this.#isPast()) return;
        yield 'more';
        this.#beginTurn();
        continue;
      }
      if (batch.id !== place.id) place = { id: batch.id, skipped: 0 };
      if (yield* this.#sendBatch(batch, place.skipped)) return;
      place = { id: batch.id + 1, skipped: 0 };
    }
  }

  /** Null: it has not come yet. What was dropped before it could be read is lost. */
  #next(id: number): StoredBatch | null {
    const { store } = this.#options;
    const batch = store.batch(Math.max(id, store.firstId));
    if (batch === null) return null;
    if (batch.id > id) this.#lose(batch.flowsBefore - this.#flowsRead);
    this.#flowsRead = batch.flowsBefore + batch.flowCount;
    return batch;
  }

  /** True: it is the end. */
  *#sendBatch(batch: StoredBatch, skipped: number): Generator<Pause, boolean> {
    const { store, outlet } = this.#options;
    const events = store.eventsOf(batch);
    for (let at = skipped; at < events.length; at++) {
      const event = events[at] as (typeof events)[number];
      if (event.kind === 'lost') {
        const nowMs = this.#options.wallMs();
        const span = { firstMs: nowMs, lastMs: nowMs };
        outlet.lost(LostEventSource.OBSERVER_EVENTS_QUEUE, event.count, span);
      } else if (this.#isWanted(event.flow)) {
        this.#tellLostNowAndThen();
        outlet.flow(event);
        this.#sentCount++;
        if (this.#isEnough()) return true;
        yield 'sent';
      }
      if (this.#isTurnOver()) yield* this.#turn();
    }
    return false;
  }

  #isWanted(flow: HubbleFlow): boolean {
    const { passes, sinceMs, untilMs } = this.#options.asked;
    const ms = timeMs(flow);
    if (sinceMs !== null && ms < sinceMs) return false;
    if (untilMs !== null && ms > untilMs) return false;
    return passes(flow);
  }

  #isEnough(): boolean {
    const { number, isFollowing } = this.#options.asked;
    return !isFollowing && number > 0 && this.#sentCount >= number;
  }

  #isTurnOver(): boolean {
    const isLong = this.#options.wallMs() - this.#turnStartedMs >= TURN_MS;
    return ++this.#lookedCount >= EVENTS_PER_TURN || isLong;
  }

  *#turn(): Generator<Pause, void> {
    yield 'turn';
    this.#beginTurn();
  }

  #beginTurn(): void {
    this.#lookedCount = 0;
    this.#turnStartedMs = this.#options.wallMs();
  }

  /** Nothing can come any more that is early enough. */
  #isPast(): boolean {
    const { asked, wallMs } = this.#options;
    return asked.untilMs !== null && wallMs() > asked.untilMs + LATE_MS;
  }

  *#start(): Generator<Pause, { readonly id: number; readonly skipped: number }> {
    const { store, asked } = this.#options;
    const { isFirst, isFollowing, number, sinceMs } = asked;
    const isFromNow = isFollowing && number === 0 && sinceMs === null;
    this.#flowsRead = store.batch(store.firstId)?.flowsBefore ?? store.seenCount;
    if (isFromNow) {
      this.#flowsRead = store.seenCount;
      return { id: store.endId, skipped: 0 };
    }
    if (isFirst || number === 0 || sinceMs !== null) return { id: store.firstId, skipped: 0 };
    return yield* this.#startOfLast(number);
  }

  /** Before so many flows that are wanted; those that are not do not count. */
  *#startOfLast(
    number: number,
  ): Generator<Pause, { readonly id: number; readonly skipped: number }> {
    const { store } = this.#options;
    let count = 0;
    for (let id = store.endId - 1; id >= store.firstId; id--) {
      const batch = store.batch(id);
      if (batch === null) break;
      const events = store.eventsOf(batch);
      for (let at = events.length - 1; at >= 0; at--) {
        const event = events[at] as (typeof events)[number];
        if (event.kind === 'flow' && this.#isWanted(event.flow) && ++count === number) {
          this.#flowsRead = batch.flowsBefore;
          return { id, skipped: at };
        }
        if (this.#isTurnOver()) yield* this.#turn();
      }
    }
    this.#flowsRead = store.batch(store.firstId)?.flowsBefore ?? store.seenCount;
    return { id: store.firstId, skipped: 0 };
  }

  #lose(count: number): void {
    if (count <= 0) return;
    if (this.#lostCount === 0) this.#lostFirstMs = this.#options.wallMs();
    this.#lostCount += count;
  }

  #tellLostNowAndThen(): void {
    const { wallMs, lostIntervalMs } = this.#options;
    if (this.#lostCount > 0 && wallMs() - this.#lostToldMs >= lostIntervalMs) this.#tellLost();
  }

  #tellLost(): void {
    if (this.#lostCount === 0) return;
    const nowMs = this.#options.wallMs();
    const span = { firstMs: this.#lostFirstMs, lastMs: nowMs };
    this.#options.outlet.lost(LostEventSource.HUBBLE_RING_BUFFER, this.#lostCount, span);
    this.#lostCount = 0;
    this.#lostToldMs = nowMs;
  }
}

function timeMs({ time }: HubbleFlow): number {
  return time === undefined ? 0 : Number(time.seconds) * 1000 + time.nanos / 1e6;
}
