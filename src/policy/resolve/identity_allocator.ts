/**
 * Numeric identities for label sets and CIDRs. Deterministic: the search starts at a hash of the key, so that worker
 * processes with the same inventory agree without talking.
 *
 *     asked ──keepAsked──► in use ──no set has it──► released ──grace──► forgotten: the number is free
 *       └──forgetAsked──► as if nobody had asked        └──asked again──► in use, under the same number
 *
 * A number must never mean somebody else to who holds it. What holds numbers lets go of them much sooner than the grace
 * is over, which begins when no set in force has the number any more:
 *
 * - Batches are applied in order, whole, and one that takes an identity away comes before any that gives its number
 *   to others; a whole set brings all of who is who with it. Views are kept by labels, not by numbers.
 * - An open connection is judged again after such a batch, and asks its address anew who has it. A record of the kernel
 *   has a hash of the labels beside the number.
 * - A flow that passes in the kernel was allowed by verdicts; it is asked again whenever its address may do less. The
 *   number in a mark is of a connection that the proxy holds, which ends when its address is another's.
 * - Who goes on in the place of another is told what was given and what was forgotten, and begins each grace anew.
 *
 * Beyond that a number comes again only when seven eighths of its scope have been given since.
 */
import {
  ALLOCATED_IDENTITY_MIN,
  type Identity,
  LOCAL_IDENTITY_FLAG,
} from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import { compareText } from '../labels.ts';
import { NamespaceCounts } from './namespace_counts.ts';
import { NumberRange } from './number_range.ts';

/** cluster: labels, 16 bits as in one cluster of a mesh. local: CIDR and FQDN, node-local scope. */
export type IdentityScope = 'cluster' | 'local';

export type ScopeRanges = Readonly<
  Record<IdentityScope, { readonly min: number; readonly max: number }>
>;

const RANGES: ScopeRanges = {
  cluster: { min: ALLOCATED_IDENTITY_MIN, max: 0xffff },
  local: { min: LOCAL_IDENTITY_FLAG + 1, max: LOCAL_IDENTITY_FLAG + 0xff_ffff },
};

/** Of label sets: as many numbers as one cluster of a mesh has. */
export const LABEL_IDENTITY_COUNT_MAX = RANGES.cluster.max - RANGES.cluster.min + 1;

/** Numbers that somebody set by hand. */
export type TakenIdentities = Pick<ReadonlySet<Identity>, 'has'>;

export interface AllocationRequest {
  readonly scope: IdentityScope;
  /** One text for one identity, such as `labelSetKey`. */
  readonly key: string;
}

/** Opaque to others: what one allocator gives to the next. Without a key: it was forgotten. */
export type GivenIdentity = readonly [identity: Identity, key: string | null];

/** What a change of who is who adds and takes away. */
export interface KeptMore {
  readonly gone: readonly AllocationRequest[];
  /** Set by hand, and not any more. */
  readonly goneByHand: readonly Identity[];
  readonly byHand: readonly Identity[];
}

/** Of label sets that are many people's. */
export interface PartlyAllocated {
  readonly identities: ReadonlyMap<string, Identity>;
  /** Keys that no number could be given to. */
  readonly without: ReadonlySet<string>;
}

export type AllocatorLimits = Pick<
  Limits,
  'identityCountMax' | 'identityGraceMs' | 'identityNamespaceCountMax'
>;

export interface AllocatorParts {
  /** By which graces end; absent: they never do. */
  readonly nowMs?: () => number;
  /** Default: Cilium's. */
  readonly ranges?: ScopeRanges;
}

export class IdentityAllocator {
  readonly #limits: AllocatorLimits;
  readonly #nowMs: () => number;
  readonly #ranges: Readonly<Record<IdentityScope, NumberRange>>;
  /** In use, released, or asked for. */
  readonly #identityByKey = new Map<string, Identity>();
  readonly #keyByIdentity = new Map<Identity, string>();
  /** Since when, the longest first. */
  readonly #released = new Map<string, number>();
  /** Numbers without a key that are not given yet, since when, the longest first. */
  readonly #held = new Map<Identity, number>();
  #byHand: Set<Identity> = new Set();
  /** Since the last `keep...` or `forgetAsked`. */
  #asked = new Set<string>();
  #askedByHand: Set<Identity> | null = null;
  /** Keys among the asked that have a new number, with what they had before. */
  readonly #fresh = new Map<string, Before | null>();
  #news: GivenIdentity[] = [];
  /** In use or released. */
  readonly #namespaces = new NamespaceCounts();
  /** No number of label sets was free when one was looked for, and none has become free since. */
  #areLabelsUsedUp = false;

  constructor(limits: AllocatorLimits, { nowMs = () => 0, ranges = RANGES }: AllocatorParts = {}) {
    this.#limits = limits;
    this.#nowMs = nowMs;
    this.#ranges = {
      cluster: new NumberRange(ranges.cluster),
      local: new NumberRange(ranges.local),
    };
  }

  /** What a message says of it. */
  get counts(): { readonly kept: number; readonly heldBack: number } {
    return {
      kept: this.#identityByKey.size - this.#released.size,
      heldBack: this.#released.size + this.#held.size,
    };
  }

  /** All that the next one has to know. */
  given(): readonly GivenIdentity[] {
    return [
      ...Array.from(this.#held.keys(), (identity): GivenIdentity => [identity, heldKey(identity)]),
      ...Array.from(this.#identityByKey, ([key, identity]): GivenIdentity => [identity, key]),
    ];
  }

  /** What was given and forgotten since the last time, in order. */
  takeNews(): readonly GivenIdentity[] {
    const news = this.#news;
    this.#news = [];
    return news;
  }

  /** Goes on where another has ended, before anything is asked of this one: what is kept first is in use, the rest is not. */
  restore(given: Iterable<GivenIdentity>): void {
    for (const [identity, key] of given) {
      const known = key ?? this.#keyByIdentity.get(identity);
      if (known === undefined) continue;
      if (key === null) this.#drop(known);
      else this.#put(known, identity);
      this.#useUp(identity);
    }
  }

  /**
   * An identity for each key that asks. `taken` are never given, and a key that held one before gets another. Null when
   * there are no more.
   */
  allocate(
    requests: Iterable<AllocationRequest>,
    taken: TakenIdentities,
  ): ReadonlyMap<string, Identity> | null {
    this.#expire();
    const result = new Map<string, Identity>();
    // Sorted, so that which of two colliding keys moves on does not depend on document order.
    const sorted = [...requests].sort(byKey);
    for (const request of sorted) {
      const identity = this.#identityOf(request, taken);
      if (identity === null) return null;
      result.set(request.key, identity);
    }
    return result;
  }

  /**
   * As `allocate`, for label sets that are many people's: where numbers are scarce, some keys get none. Those in use
   * keep theirs; others get one up to `countMax` in all, and as long as their namespace may have more.
   */
  allocateSome(
    keys: readonly string[],
    { taken, countMax }: { readonly taken: TakenIdentities; readonly countMax: number },
  ): PartlyAllocated {
    this.#expire();
    const identities = new Map<string, Identity>();
    const without = new Set<string>();
    const sorted = keys.map((key) => ({ scope: 'cluster', key }) as const).sort(byKey);
    const [inUse, others] = partition(sorted, (request) => this.isInUse(request));
    for (const request of inUse) {
      const identity = this.#identityOf(request, taken);
      if (identity === null) without.add(request.key);
      else identities.set(request.key, identity);
    }
    for (const request of others) {
      const isGivable = identities.size < countMax && this.#isGivable(request);
      const identity = isGivable ? this.#identityOf(request, taken) : null;
      if (identity === null) without.add(request.key);
      else identities.set(request.key, identity);
    }
    return { identities, without };
  }

  /** False: a set in force that did without a number for these labels does so still. */
  mayGive(key: string): boolean {
    this.#expire();
    return this.#isGivable({ scope: 'cluster', key });
  }

  /** A set in force has it. */
  isInUse(request: AllocationRequest): boolean {
    const key = keyOf(request);
    return this.#identityByKey.has(key) && !this.#fresh.has(key) && !this.#released.has(key);
  }

  #isGivable(request: AllocationRequest): boolean {
    const key = keyOf(request);
    if (this.#identityByKey.has(key)) return true;
    if (this.#areLabelsUsedUp) return false;
    return this.#namespaces.countOf(key) < this.#limits.identityNamespaceCountMax;
  }

  /** All that are set by hand in what is asked for. */
  askByHand(identities: Iterable<Identity>): void {
    this.#askedByHand = new Set(identities);
  }

  /** What was asked for since is in force, and nothing else. */
  keepAsked(): void {
    const nowMs = this.#nowMs();
    const asked = this.#asked;
    this.#tellFresh();
    for (const key of this.#identityByKey.keys()) {
      if (asked.has(key)) this.#released.delete(key);
      else if (!this.#released.has(key)) this.#released.set(key, nowMs);
    }
    const byHand = this.#askedByHand ?? new Set();
    for (const identity of this.#byHand) if (!byHand.has(identity)) this.#hold(identity, nowMs);
    this.#byHand = byHand;
    for (const identity of byHand) this.#take(identity);
    this.#clearAsked();
    this.#expire();
  }

  /** What was asked for since is in force, too; what went is not. */
  keepMore({ gone, goneByHand, byHand }: KeptMore): void {
    const nowMs = this.#nowMs();
    this.#tellFresh();
    for (const key of this.#asked) this.#released.delete(key);
    for (const request of gone) {
      const key = keyOf(request);
      if (this.#identityByKey.has(key)) this.#released.set(key, nowMs);
    }
    for (const identity of goneByHand) {
      if (this.#byHand.delete(identity)) this.#hold(identity, nowMs);
    }
    for (const identity of byHand) {
      this.#byHand.add(identity);
      this.#take(identity);
    }
    this.#clearAsked();
    this.#expire();
  }

  /** As if nothing had been asked for since: what it was for is not in force, and nobody was told. */
  forgetAsked(): void {
    for (const [key, before] of this.#fresh) {
      this.#drop(key);
      if (before === null) continue;
      this.#put(key, before.identity);
      if (before.sinceMs !== null) this.#released.set(key, before.sinceMs);
    }
    this.#clearAsked();
  }

  /** Forgets what has been nobody's for a grace. */
  #expire(): void {
    const endMs = this.#nowMs() - this.#limits.identityGraceMs;
    for (const [key, sinceMs] of this.#released) {
      // It may be in force soon.
      if (this.#asked.has(key)) continue;
      if (sinceMs > endMs && this.#released.size <= this.#limits.identityCountMax) break;
      const identity = this.#identityByKey.get(key) as Identity;
      this.#drop(key);
      // There are so many that their texts cost too much.
      const isEarly = sinceMs > endMs;
      if (isEarly) this.#held.set(identity, sinceMs);
      this.#news.push([identity, isEarly ? heldKey(identity) : null]);
    }
    for (const [identity, sinceMs] of this.#held) {
      if (sinceMs > endMs) break;
      this.#held.delete(identity);
      this.#areLabelsUsedUp = false;
      this.#news.push([identity, null]);
    }
  }

  #tellFresh(): void {
    for (const key of this.#fresh.keys()) {
      const identity = this.#identityByKey.get(key) as Identity;
      this.#news.push([identity, key]);
      this.#useUp(identity);
    }
  }

  #clearAsked(): void {
    this.#asked = new Set();
    this.#askedByHand = null;
    this.#fresh.clear();
  }

  #identityOf(request: AllocationRequest, taken: TakenIdentities): Identity | null {
    const key = keyOf(request);
    const known = this.#identityByKey.get(key) ?? null;
    if (known === null || taken.has(known)) {
      if (this.#asked.size >= this.#limits.identityCountMax) return null;
      const identity = this.#ranges[request.scope].find(
        hashOf(key),
        (one) => !taken.has(one) && !this.#isHeld(one),
      );
      if (identity === null) {
        if (request.scope === 'cluster') this.#areLabelsUsedUp = true;
        return null;
      }
      const sinceMs = this.#released.get(key) ?? null;
      if (!this.#fresh.has(key)) {
        this.#fresh.set(key, known === null ? null : { identity: known, sinceMs });
      }
      if (known !== null) this.#drop(key);
      this.#put(key, identity);
    }
    this.#asked.add(key);
    return this.#identityByKey.get(key) as Identity;
  }

  #isHeld(identity: Identity): boolean {
    return (
      this.#keyByIdentity.has(identity) || this.#held.has(identity) || this.#byHand.has(identity)
    );
  }

  #put(key: string, identity: Identity): void {
    const before = this.#identityByKey.get(key);
    if (before !== undefined) this.#keyByIdentity.delete(before);
    const other = this.#keyByIdentity.get(identity);
    if (other !== undefined && this.#identityByKey.delete(other)) this.#namespaces.remove(other);
    if (!this.#identityByKey.has(key)) this.#namespaces.add(key);
    this.#identityByKey.set(key, identity);
    this.#keyByIdentity.set(identity, key);
  }

  #drop(key: string): void {
    const identity = this.#identityByKey.get(key);
    this.#identityByKey.delete(key);
    this.#released.delete(key);
    if (identity === undefined) return;
    this.#keyByIdentity.delete(identity);
    this.#namespaces.remove(key);
    this.#areLabelsUsedUp = false;
  }

  /** At the end, behind those that have been held for longer. */
  #hold(identity: Identity, nowMs: number): void {
    this.#held.delete(identity);
    this.#held.set(identity, nowMs);
    this.#news.push([identity, heldKey(identity)]);
  }

  /** By hand: whoever had it before gets another one next time. */
  #take(identity: Identity): void {
    this.#useUp(identity);
    this.#held.delete(identity);
    const key = this.#keyByIdentity.get(identity);
    if (key === undefined) return;
    this.#drop(key);
    this.#news.push([identity, null]);
  }

  #useUp(identity: Identity): void {
    for (const range of Object.values(this.#ranges)) range.use(identity);
  }
}

interface Before {
  readonly identity: Identity;
  /** Null: it was in use. */
  readonly sinceMs: number | null;
}

/** Of a number that is held back without what it was for. */
function heldKey(identity: Identity): string {
  return `held ${identity}`;
}

function keyOf({ scope, key }: AllocationRequest): string {
  return `${scope} ${key}`;
}

function byKey(a: AllocationRequest, b: AllocationRequest): number {
  return compareText(a.key, b.key);
}

function partition<Item>(
  items: readonly Item[],
  isFirst: (item: Item) => boolean,
): readonly [readonly Item[], readonly Item[]] {
  const first: Item[] = [];
  const second: Item[] = [];
  for (const item of items) (isFirst(item) ? first : second).push(item);
  return [first, second];
}

/** FNV-1a, 32 bits, over the UTF-16 code units; only to spread, nobody's safety rests on it. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
