/**
 * hot path
 *
 * No holder takes what the others need. Until a bound is near there is no limit; at the bound the largest holder makes
 * room, with what it can best do without: what was never allowed anything, then the longest idle, then what has not
 * moved for the longest. Only who is itself the largest, and has nothing that it could do without, is refused.
 *
 *     connections  at accept, one for one                       room
 *     requests     at each sweep, above requestCountMax         sweep
 *     memory       at each sweep, above 7/8 of memoryBytesMax   sweep
 */
import type { EvictionBound, HolderCounts, Recorder } from '../../model/record.ts';
import { type AddressHolder, Holders, type Share } from './holders.ts';

export interface ShareLimits {
  readonly connectionCountMax: number;
  readonly requestCountMax: number;
  readonly memoryBytesMax: number;
  readonly evictionRestMinMs: number;
}

/** Of those that rest equally long, or do not rest at all, so many are compared. */
const COMPARED_COUNT_MAX = 32;
/** From here on who holds most of the memory gives some of it back. */
const CROWDED_SHARE = 7 / 8;
/** Above that not even who holds little is given more. */
const FULL_SHARE = 9 / 8;
const EVICTED_BY_SWEEP_MAX = 512;
/** What holds less is not worth a connection. */
const HELD_BYTES_MIN = 8 * 1024;
const ROUNDS_MAX = 16;
/** A holder within this share of the largest is refused more, too. */
const LARGE_SHARE = 1 / 2;

export class Shares {
  readonly holders = new Holders();
  readonly #limits: ShareLimits;
  readonly #recorder: Recorder;
  readonly #releaseMemory: (() => void) | null;
  readonly #countBound: EvictionBound;
  #isCrowded = false;

  /** `releaseMemory` null: the platform has no way to do it. `countBound`: what is counted here. */
  constructor(
    limits: ShareLimits,
    recorder: Recorder,
    releaseMemory: (() => void) | null,
    countBound: EvictionBound = 'connections',
  ) {
    this.#countBound = countBound;
    this.#limits = limits;
    this.#recorder = recorder;
    this.#releaseMemory = releaseMemory;
  }

  counts(): HolderCounts {
    let addresses = 0;
    let largestAddress = 0;
    for (const identity of this.holders.identities.values()) {
      addresses += identity.addresses.size;
      largestAddress = Math.max(largestAddress, identity.ranking.largest()?.count ?? 0);
    }
    const largestIdentity = this.holders.ranking.largest()?.count ?? 0;
    return { identities: this.holders.identities.size, addresses, largestIdentity, largestAddress };
  }

  get isFull(): boolean {
    return this.holders.count >= this.#limits.connectionCountMax;
  }

  /** At the bound: closes a connection for one that `to` wants to have. False: `to` is who has too many. */
  makeRoom(to: AddressHolder, nowMs: number): boolean {
    const victim = this.#victimFor(to, nowMs);
    if (victim === null) return false;
    this.#evict(victim, this.#countBound);
    return true;
  }

  #victimFor(to: AddressHolder, nowMs: number): Share | null {
    const largest = this.holders.ranking.largest();
    if (largest === null) return null;
    const restedMs = nowMs - this.#limits.evictionRestMinMs;
    const isOther = largest !== to.identity && largest.count > to.identity.count;
    const identity = isOther ? largest : to.identity;
    const from = identity.ranking.largest();
    if (from === null) return null;
    const excess = isOther ? largest.count - to.identity.count : from.count - to.count;
    // Who has more by two makes room at once; else it would be taken from one of them by turns.
    const isMore = from !== to && excess >= 2;
    return (
      restingOf(from, isMore ? nowMs : restedMs) ??
      restingOf(to, restedMs) ??
      (isMore ? longestUnmoved(from) : null)
    );
  }

  /** `memoryBytes` null: it cannot be told, so nothing is given. */
  sweep(memoryBytes: number | null): void {
    const { requestCountMax, memoryBytesMax } = this.#limits;
    const { holders } = this;
    const isHeapFull = memoryBytes === null || memoryBytes >= memoryBytesMax;
    const excessBytes = (memoryBytes ?? 0) - memoryBytesMax * CROWDED_SHARE;
    const excessRequests = holders.requestCount - requestCountMax;
    if (this.#isCrowded) for (const holder of holders.addresses()) holder.isRefused = false;
    this.#isCrowded = excessBytes > 0 || excessRequests > 0 || memoryBytes === null;
    if (!this.#isCrowded) {
      holders.isOverloaded = false;
      return;
    }
    if (excessRequests > 0) this.#shed('requests', excessRequests, requestsOf);
    const freedBytes = excessBytes > 0 ? this.#shed('memory', excessBytes, heldBytesOf) : 0;
    if (freedBytes > 0) this.#releaseMemory?.();
    const isNobodysFault = isHeapFull && freedBytes === 0;
    const isFull =
      memoryBytes === null ||
      memoryBytes >= memoryBytesMax * FULL_SHARE ||
      holders.requestCount >= requestCountMax * FULL_SHARE;
    holders.isOverloaded = isNobodysFault || isFull;
  }

  /** The largest give back about `excess`, and are given no more. Returns what was given back. */
  #shed(bound: EvictionBound, excess: number, measure: (share: Share) => number): number {
    let freed = 0;
    let evictedCount = 0;
    this.#measure(measure);
    this.#refuseLarge();
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const from = this.#largestMeasured();
      if (from === null) return freed;
      const next = Math.max(from.measure * LARGE_SHARE, 1);
      while (freed < excess && from.measure > next) {
        const share = longestUnmoved(from);
        if (share === null || evictedCount >= EVICTED_BY_SWEEP_MAX) return freed;
        const amount = measure(share);
        // What is left holds too little to matter.
        if (amount === 0) break;
        from.measure -= amount;
        from.identity.measure -= amount;
        freed += amount;
        evictedCount++;
        this.#evict(share, bound);
      }
      if (freed >= excess) return freed;
      from.identity.measure -= from.measure;
      from.measure = 0;
    }
    return freed;
  }

  #measure(measure: (share: Share) => number): void {
    for (const identity of this.holders.identities.values()) {
      identity.measure = 0;
      for (const holder of identity.addresses.values()) {
        holder.measure = 0;
        for (const list of [holder.spare, holder.idle, holder.busy]) {
          for (let share = list.first as Share | null; share !== null; ) {
            holder.measure += measure(share);
            share = share.next as Share | null;
          }
        }
        identity.measure += holder.measure;
      }
    }
  }

  #refuseLarge(): void {
    const largest = this.#largestMeasured();
    for (const holder of this.holders.addresses()) {
      holder.isRefused ||=
        largest !== null &&
        holder.measure > 0 &&
        holder.identity.measure >= largest.identity.measure * LARGE_SHARE &&
        holder.measure >= largest.measure * LARGE_SHARE;
    }
  }

  #largestMeasured(): AddressHolder | null {
    let identityMeasure = 0;
    let found: AddressHolder | null = null;
    for (const identity of this.holders.identities.values()) {
      if (identity.measure <= identityMeasure) continue;
      identityMeasure = identity.measure;
      found = null;
      for (const holder of identity.addresses.values()) {
        if (holder.measure > (found?.measure ?? 0)) found = holder;
      }
    }
    return found;
  }

  #evict(share: Share, bound: EvictionBound): void {
    this.#recorder.events.evicted(bound, share.state);
    share.connection.evict();
  }
}

/** What rests since `beforeMs` or longer: never allowed anything, then the longest idle. */
function restingOf(holder: AddressHolder, beforeMs: number): Share | null {
  const spare = holder.spare.first as Share | null;
  if (spare !== null && spare.restingSinceMs <= beforeMs) return spare;
  const idle = holder.idle.first as Share | null;
  if (idle === null || idle.restingSinceMs > beforeMs) return null;
  // Its last response may still be read: one of which nothing is kept loses nothing.
  let share: Share | null = idle;
  for (let i = 0; i < COMPARED_COUNT_MAX && share !== null; i++) {
    if (share.restingSinceMs > beforeMs) break;
    if (share.connection.heldBytes() === 0) return share;
    share = share.next as Share | null;
  }
  return idle;
}

/** Of those that have been busy for the longest. */
function longestUnmoved(holder: AddressHolder): Share | null {
  let found = holder.busy.first as Share | null;
  let share = found;
  for (let i = 1; i < COMPARED_COUNT_MAX && share !== null; i++) {
    share = share.next as Share | null;
    if (share !== null && found !== null) {
      if (share.connection.lastMoveMs() < found.connection.lastMoveMs()) found = share;
    }
  }
  return found ?? (holder.spare.first as Share | null) ?? (holder.idle.first as Share | null);
}

function heldBytesOf(share: Share): number {
  const bytes = share.connection.heldBytes();
  return bytes < HELD_BYTES_MIN ? 0 : bytes;
}

function requestsOf(share: Share): number {
  return share.openCount;
}
