/**
 * Numeric identities for label sets and CIDRs. Sticky: what was given once stays for the life of
 * the allocator, as live connections and logs hold the number. Deterministic: the search starts at
 * a hash of the key, so that worker processes with the same inventory agree without talking.
 * Numbers are never given back: one that came to mean other labels would judge open connections
 * as somebody else.
 */
import {
  ALLOCATED_IDENTITY_MIN,
  type Identity,
  LOCAL_IDENTITY_FLAG,
} from '../../model/identity.ts';
import { compareText } from '../labels.ts';

/** cluster: labels, 16 bits as in one cluster of a mesh. local: CIDR and FQDN, node-local scope. */
export type IdentityScope = 'cluster' | 'local';

const RANGES: Readonly<Record<IdentityScope, { readonly min: number; readonly max: number }>> = {
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

/** Opaque to others: what one allocator gives to the next. */
export type GivenIdentity = readonly [identity: Identity, key: string];

export class IdentityAllocator {
  readonly #identityByKey = new Map<string, Identity>();
  readonly #keyByIdentity = new Map<Identity, string>();
  readonly #countMax: number;

  /** `countMax`: identities given over the whole life (`Limits.identityCountMax`). */
  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** How many it has given so far. */
  get givenCount(): number {
    return this.#keyByIdentity.size;
  }

  /** What it has given, in order, without the first `from`: for one that goes on in its place. */
  givenFrom(from: number): readonly GivenIdentity[] {
    const given: GivenIdentity[] = [];
    let index = 0;
    for (const [identity, key] of this.#keyByIdentity) {
      if (index >= from) given.push([identity, key]);
      index += 1;
    }
    return given;
  }

  /** Goes on where another has ended, before anything is asked of this one. */
  restore(given: Iterable<GivenIdentity>): void {
    for (const [identity, key] of given) {
      this.#identityByKey.set(key, identity);
      this.#keyByIdentity.set(identity, key);
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
    const result = new Map<string, Identity>();
    // Sorted, so that which of two colliding keys moves on does not depend on document order.
    const sorted = [...requests].sort((a, b) => compareText(a.key, b.key));
    for (const request of sorted) {
      const identity = this.#identityOf(request, taken);
      if (identity === null) return null;
      result.set(request.key, identity);
    }
    return result;
  }

  #identityOf(request: AllocationRequest, taken: TakenIdentities): Identity | null {
    const key = `${request.scope} ${request.key}`;
    const known = this.#identityByKey.get(key);
    if (known !== undefined && !taken.has(known)) return known;
    if (this.#keyByIdentity.size >= this.#countMax) return null;
    const identity = this.#freeIdentity(request.scope, key, taken);
    if (identity === null) return null;
    this.#identityByKey.set(key, identity);
    this.#keyByIdentity.set(identity, key);
    return identity;
  }

  #freeIdentity(scope: IdentityScope, key: string, taken: TakenIdentities): Identity | null {
    const { min, max } = RANGES[scope];
    const size = max - min + 1;
    const start = hashOf(key) % size;
    for (let step = 0; step < size; step++) {
      const identity = (min + ((start + step) % size)) as Identity;
      if (!taken.has(identity) && !this.#keyByIdentity.has(identity)) return identity;
    }
    return null;
  }
}

/** FNV-1a, 32 bits, over the UTF-16 code units; only to spread, nobody's safety rests on it. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
