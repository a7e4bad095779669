/**
 * Reviews that wait for a thread. Who has used the least of the threads' time comes first, so a tenant whose policies
 * take long to judge delays his own. Pure: time comes in.
 *
 * Anybody who reaches the port may say that he is an API server that speaks for a tenant. So time is counted for
 * clients first, and for the tenants of a client then.
 */
import type { ReviewSender } from './review_sender.ts';

export interface QueueBounds {
  /** All that wait. */
  readonly countMax: number;
  /** Of one tenant. */
  readonly tenantCountMax: number;
  /** Of one tenant; one review has room whatever its size. */
  readonly tenantBytesMax: number;
  /** Threads that one tenant may have at once. */
  readonly tenantRunningMax: number;
}

export interface Queued {
  readonly sender: ReviewSender;
  readonly bytes: number;
}

export type PutResult = 'queued' | 'full' | 'tenant-full';

interface Tenant<Item> {
  readonly sender: ReviewSender;
  readonly waiting: Item[];
  bytes: number;
  runningCount: number;
}

export class ReviewQueue<Item extends Queued> {
  readonly #bounds: QueueBounds;
  /** Those of whom something waits or runs. */
  readonly #tenants = new Map<string, Tenant<Item>>();
  readonly #used = new UsedTimes();
  #count = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  put(item: Item): PutResult {
    const { countMax, tenantCountMax, tenantBytesMax } = this.#bounds;
    if (this.#count >= countMax) return 'full';
    const tenant = this.#tenantOf(item.sender);
    const { waiting, bytes } = tenant;
    const isFull =
      waiting.length >= tenantCountMax || (bytes > 0 && bytes + item.bytes > tenantBytesMax);
    if (isFull) return 'tenant-full';
    this.#tenants.set(tenantKey(item.sender), tenant);
    waiting.push(item);
    tenant.bytes += item.bytes;
    this.#count += 1;
    return 'queued';
  }

  /**
   * Whose place this sender gets when all are taken: the newest one of whoever has most of them; null: nobody has more
   * than the sender would have.
   */
  crowder({ client, tenant }: ReviewSender): Item | null {
    const counts = new Map<string, number>();
    let crowding = client;
    for (const { sender, waiting } of this.#tenants.values()) {
      const count = (counts.get(sender.client) ?? 0) + waiting.length;
      counts.set(sender.client, count);
    }
    const countOf = (of: string): number => counts.get(of) ?? 0;
    for (const of of counts.keys()) if (countOf(of) > countOf(crowding)) crowding = of;
    const isOther = countOf(crowding) > countOf(client) + 1;
    const tenants = [...this.#tenants.values()].filter(
      ({ sender }) => sender.client === (isOther ? crowding : client),
    );
    const ownCount = tenants.find(({ sender }) => sender.tenant === tenant)?.waiting.length ?? 0;
    const [most] = tenants.sort((a, b) => b.waiting.length - a.waiting.length);
    const newest = most?.waiting.at(-1) ?? null;
    return isOther || (most?.waiting.length ?? 0) > ownCount + 1 ? newest : null;
  }

  /** Runs from now on; null: nobody who waits may. */
  take(nowMs: number): Item | null {
    const next = this.#first(nowMs);
    const item = next?.waiting.shift();
    if (next === null || item === undefined) return null;
    next.bytes -= item.bytes;
    next.runningCount += 1;
    this.#count -= 1;
    return item;
  }

  /** It has run for so long. */
  ran({ sender }: Item, ranMs: number, nowMs: number): void {
    const key = tenantKey(sender);
    this.#used.add(clientKey(sender), ranMs, nowMs);
    this.#used.add(key, ranMs, nowMs);
    const tenant = this.#tenants.get(key);
    if (tenant === undefined) return;
    tenant.runningCount -= 1;
    this.#forgetIdle(key, tenant);
  }

  /** It does not wait any more, if it did. */
  remove(item: Item): void {
    const key = tenantKey(item.sender);
    const tenant = this.#tenants.get(key);
    const index = tenant?.waiting.indexOf(item) ?? -1;
    if (tenant === undefined || index === -1) return;
    tenant.waiting.splice(index, 1);
    tenant.bytes -= item.bytes;
    this.#count -= 1;
    this.#forgetIdle(key, tenant);
  }

  /** All that wait. */
  clear(): readonly Item[] {
    const items = [...this.#tenants.values()].flatMap(({ waiting }) => waiting);
    for (const item of items) this.remove(item);
    return items;
  }

  /** Of those who have used as much, who has waited longest as a tenant. */
  #first(nowMs: number): Tenant<Item> | null {
    let first: { readonly tenant: Tenant<Item>; readonly used: Used } | null = null;
    for (const [key, tenant] of this.#tenants) {
      const { sender, waiting, runningCount } = tenant;
      if (waiting.length === 0 || runningCount >= this.#bounds.tenantRunningMax) continue;
      const used: Used = [
        this.#used.of(clientKey(sender), nowMs),
        this.#used.of(key, nowMs),
        runningCount,
      ];
      if (first === null || isLess(used, first.used)) first = { tenant, used };
    }
    return first?.tenant ?? null;
  }

  #tenantOf(sender: ReviewSender): Tenant<Item> {
    const known = this.#tenants.get(tenantKey(sender));
    return known ?? { sender, waiting: [], bytes: 0, runningCount: 0 };
  }

  #forgetIdle(key: string, { waiting, runningCount }: Tenant<Item>): void {
    if (waiting.length === 0 && runningCount === 0) this.#tenants.delete(key);
  }
}

/** Of the client, of the tenant, and threads that the tenant has now. */
type Used = readonly [number, number, number];

function isLess(some: Used, other: Used): boolean {
  const at = some.findIndex((value, index) => value !== other[index]);
  return at !== -1 && (some[at] as number) < (other[at] as number);
}

/** Halves in this time: what was long ago counts for nothing. */
const HALF_LIFE_MS = 10_000;
/** Who is not remembered has used nothing. */
const REMEMBERED_MAX = 4096;

class UsedTimes {
  readonly #times = new Map<string, { readonly usedMs: number; readonly atMs: number }>();

  of(key: string, nowMs: number): number {
    const time = this.#times.get(key);
    return time === undefined ? 0 : time.usedMs * 0.5 ** ((nowMs - time.atMs) / HALF_LIFE_MS);
  }

  add(key: string, ms: number, nowMs: number): void {
    const usedMs = this.of(key, nowMs) + ms;
    this.#times.delete(key);
    this.#times.set(key, { usedMs, atMs: nowMs });
    const [oldest] = this.#times.keys();
    if (this.#times.size > REMEMBERED_MAX && oldest !== undefined) this.#times.delete(oldest);
  }
}

function clientKey({ client }: ReviewSender): string {
  return `client ${client}`;
}

function tenantKey({ client, tenant }: ReviewSender): string {
  return `tenant ${client} ${tenant ?? ''}`;
}
