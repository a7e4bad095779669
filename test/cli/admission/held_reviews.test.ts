/** Memory for bodies: never more than its bounds, and it is never one with less who goes for one with more. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HeldReview, HeldReviews } from '../../../src/cli/admission/held_reviews.ts';
import { runs } from '../../support/property_runs.ts';

const BOUNDS = { bytesMax: 100, clientBytesMax: 60 };

class World {
  readonly held = new HeldReviews(BOUNDS);
  readonly reviews = new Set<HeldReview>();
  readonly dropped: { readonly client: string; readonly tenant: unknown }[] = [];

  /** Null: there is no room for it. */
  add(client: string, tenant: string | null, bytes: number): HeldReview | null {
    const drop = (): void => {
      this.reviews.delete(review);
      this.dropped.push({ client, tenant });
    };
    const review: HeldReview = { client, tenant: undefined, bytes: 0, drop };
    const hasRoom = this.held.grow(review, bytes);
    if (!hasRoom) this.held.release(review);
    review.tenant = tenant;
    if (hasRoom) this.reviews.add(review);
    return hasRoom ? review : null;
  }

  bytesOf(client: string | null): number {
    let sum = 0;
    for (const one of this.reviews) if (client === null || one.client === client) sum += one.bytes;
    return sum;
  }
}

describe('bodies of reviews', () => {
  it('of a client with most of the memory go for those of others', () => {
    const world = new World();
    for (const client of ['x', 'y']) world.add(client, 'a', 45);
    expect(world.add('z', 'a', 20)).not.toBeNull();
    expect(world.dropped).toEqual([{ client: 'x', tenant: 'a' }]);
  });

  it('of a tenant with most of his client’s memory go for those of other tenants', () => {
    const world = new World();
    for (let n = 0; n < 3; n++) world.add('x', 'a', 15);
    world.add('x', 'b', 15);
    expect(world.add('x', 'c', 10)).not.toBeNull();
    expect(world.dropped).toEqual([{ client: 'x', tenant: 'a' }]);
  });

  it('that are the largest themselves find no room', () => {
    const world = new World();
    for (const tenant of ['a', 'b', 'c']) world.add('x', tenant, 15);
    expect(world.add('x', 'd', 20)).toBeNull();
    expect(world.dropped).toEqual([]);
  });

  it('keep to the bounds, and leave nothing behind', () => {
    const step = fc.record({
      client: fc.constantFrom('x', 'y', 'z'),
      tenant: fc.constantFrom('a', 'b', null),
      bytes: fc.integer({ min: 1, max: 50 }),
      isEnd: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const world = new World();
        const end = (review: HeldReview | undefined): void => {
          if (review === undefined) return;
          world.held.release(review);
          world.reviews.delete(review);
        };
        for (const { client, tenant, bytes, isEnd } of steps) {
          world.add(client, tenant, bytes);
          expect(world.bytesOf(null)).toBeLessThanOrEqual(BOUNDS.bytesMax);
          expect(world.bytesOf(client)).toBeLessThanOrEqual(BOUNDS.clientBytesMax);
          if (isEnd) end([...world.reviews][0]);
        }
        for (const review of [...world.reviews]) end(review);
        const droppedBefore = world.dropped.length;
        expect([world.add('x', 'a', 50), world.add('y', 'a', 50)]).not.toContain(null);
        expect(world.dropped.length).toBe(droppedBefore);
      }),
      runs(500),
    );
  });
});
