/** Numbers come back, and never mean somebody else to who may still hold them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import {
  type AllocationRequest,
  type GivenIdentity,
  IdentityAllocator,
} from '../../../src/policy/resolve/identity_allocator.ts';
import { allocatorOf } from '../../support/allocator.ts';
import { runs } from '../../support/property_runs.ts';

const GRACE_MS = 100;
const LIMITS = { ...DEFAULT_LIMITS, identityCountMax: 12, identityGraceMs: GRACE_MS };
/** So few that they come again soon. */
const RANGES = { cluster: { min: 256, max: 275 }, local: { min: 300, max: 303 } };
const NUMBERS = Array.from({ length: 20 }, (_, index) => (256 + index) as Identity);

const keys = fc.subarray(
  Array.from({ length: 16 }, (_, index) => `key-${index}`),
  { maxLength: 10 },
);
const step = fc.record({
  kind: fc.constantFrom('whole', 'whole', 'more', 'more', 'check', 'restart'),
  keys,
  byHand: fc.subarray(NUMBERS, { maxLength: 2 }),
  passesMs: fc.constantFrom(0, 1, 10, 60, 150),
});

describe('a number', () => {
  it('is given to others only when the grace of whom it was last is over', () => {
    const seen = { changed: 0, refused: 0, restarts: 0 };
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
        const world = new World();
        for (const one of steps) {
          world.nowMs += one.passesMs;
          if (one.kind === 'restart') world.restart();
          else if (!world.ask(one.kind, one.keys, one.byHand)) seen.refused += 1;
          if (one.kind === 'restart') seen.restarts += 1;
        }
        seen.changed += world.changedCount;
      }),
      runs(500),
    );
    expect(Math.min(seen.changed, seen.refused, seen.restarts)).toBeGreaterThan(50);
  });

  it('of a set that was only checked, or refused, is as if it had never been asked for', () => {
    const allocator = allocatorOf(1_000_000);
    for (let version = 0; version < 20; version++) {
      expect(allocator.allocate(labelsOf(version, 10_000), new Set())).not.toBeNull();
      allocator.forgetAsked();
    }
    expect(allocator.counts).toEqual({ kept: 0, heldBack: 0 });
    expect(allocator.given()).toEqual([]);
    expect(allocator.takeNews()).toEqual([]);
  });

  it('comes back: a tenant who writes one version after the other uses none up', () => {
    let nowMs = 0;
    const allocator = allocatorOf(100_000, () => nowMs);
    for (let version = 0; version < 12; version++) {
      expect(allocator.allocate(labelsOf(version, 20_000), new Set())).not.toBeNull();
      allocator.keepAsked();
      nowMs += DEFAULT_LIMITS.identityGraceMs + 1;
      expect(allocator.counts.kept).toBe(20_000);
      expect(allocator.counts.heldBack).toBeLessThanOrEqual(20_000);
    }
  });

  it('is not there for a while where more label sets than there are numbers were in force', () => {
    let nowMs = 0;
    const allocator = allocatorOf(100_000, () => nowMs);
    for (let version = 0; version < 3; version++) {
      expect(allocator.allocate(labelsOf(version, 20_000), new Set())).not.toBeNull();
      allocator.keepAsked();
    }
    expect(allocator.allocate(labelsOf(3, 20_000), new Set())).toBeNull();
    allocator.forgetAsked();
    nowMs += DEFAULT_LIMITS.identityGraceMs;
    expect(allocator.allocate(labelsOf(3, 20_000), new Set())).not.toBeNull();
  });
});

/** Who means what by the numbers, and since when nobody in force does. */
class World {
  nowMs = 0;
  changedCount = 0;
  readonly #parts = { nowMs: () => this.nowMs, ranges: RANGES };
  #allocator = new IdentityAllocator(LIMITS, this.#parts);
  /** What the supervisor keeps. */
  #given: GivenIdentity[] = [];
  #inForce = new Map<string, Identity>();
  #byHand: ReadonlySet<Identity> = new Set();
  readonly #lastMeant = new Map<Identity, { readonly what: string; readonly atMs: number }>();

  /** False: it is refused. */
  ask(kind: string, wanted: readonly string[], byHand: readonly Identity[]): boolean {
    const isMore = kind === 'more';
    // What is in force keeps its number while nobody sets that by hand.
    const taken = isMore ? this.#byHand : new Set(byHand);
    const asked = isMore ? wanted.filter((key) => !this.#inForce.has(key)) : wanted;
    if (!isMore) this.#allocator.askByHand(taken);
    const half = Math.ceil(asked.length / 2);
    const given = this.#allocate([asked.slice(0, half), asked.slice(half)], taken);
    if (given === null || kind === 'check') {
      this.#allocator.forgetAsked();
      return given !== null;
    }
    const before = this.#inForce;
    const next = new Map(isMore ? before : []);
    for (const [key, identity] of given) next.set(key, identity);
    if (isMore) {
      const gone = [...before.keys()].slice(0, wanted.length);
      for (const key of gone) next.delete(key);
      const keptMore = { gone: gone.map(requestOf), goneByHand: [], byHand: [] };
      this.#allocator.keepMore(keptMore);
    } else this.#allocator.keepAsked();
    this.#check(next, taken);
    this.#given.push(...this.#allocator.takeNews());
    return true;
  }

  /** One part after the other, as label sets and CIDRs are; time goes on between. */
  #allocate(
    parts: readonly (readonly string[])[],
    taken: ReadonlySet<Identity>,
  ): ReadonlyMap<string, Identity> | null {
    const all = new Map<string, Identity>();
    for (const part of parts) {
      const given = this.#allocator.allocate(part.map(requestOf), taken);
      if (given === null) return null;
      for (const [key, identity] of given) all.set(key, identity);
      this.nowMs += 3;
    }
    return all;
  }

  restart(): void {
    const other = new IdentityAllocator(LIMITS, this.#parts);
    other.restore(this.#given);
    this.#allocator = other;
    // As the store does that puts in force again what was.
    this.#allocator.askByHand(this.#byHand);
    const given = other.allocate([...this.#inForce.keys()].map(requestOf), this.#byHand);
    expect(given).toEqual(this.#inForce);
    other.keepAsked();
    this.#given = [...other.given()];
    other.takeNews();
  }

  #check(next: Map<string, Identity>, byHand: ReadonlySet<Identity>): void {
    expect(new Set(next.values()).size).toBe(next.size);
    for (const [key, identity] of next) {
      expect(byHand.has(identity)).toBe(false);
      const before = this.#inForce.get(key);
      if (before !== undefined && !byHand.has(before)) expect(identity).toBe(before);
      const last = this.#lastMeant.get(identity);
      if (last === undefined || last.what === key) continue;
      this.changedCount += 1;
      expect(this.nowMs - last.atMs).toBeGreaterThanOrEqual(GRACE_MS);
    }
    const atMs = this.nowMs;
    // What was in force until now.
    for (const [key, identity] of this.#inForce) this.#lastMeant.set(identity, { what: key, atMs });
    for (const identity of this.#byHand) this.#lastMeant.set(identity, { what: 'by hand', atMs });
    this.#inForce = next;
    this.#byHand = byHand;
  }
}

function requestOf(key: string): AllocationRequest {
  return { scope: 'cluster', key };
}

function labelsOf(version: number, count: number): readonly AllocationRequest[] {
  return Array.from({ length: count }, (_, index) => requestOf(`v${version} ${index}`));
}
