/** Of any history: what is counted is what is there, and who makes room is who should. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { SocketAddress } from '../../../src/model/address.ts';
import type { Identity } from '../../../src/model/identity.ts';
import { Holders, Share } from '../../../src/proxy/plane/holders.ts';
import { Shares } from '../../../src/proxy/plane/shares.ts';
import { CountingRecorder } from '../../support/counting_recorder.ts';
import { address } from '../../support/plane_rig.ts';

const LIMITS = {
  connectionCountMax: 12,
  requestCountMax: 1000,
  memoryBytesMax: 1e9,
  evictionRestMinMs: 10,
};

interface Step {
  readonly what: 'open' | 'close' | 'begin' | 'end' | 'deny';
  readonly identity: number;
  readonly host: number;
  readonly pick: number;
}

const steps = fc.array(
  fc.record<Step>({
    what: fc.constantFrom('open', 'open', 'open', 'close', 'begin', 'end', 'deny'),
    identity: fc.integer({ min: 1, max: 4 }),
    host: fc.integer({ min: 1, max: 3 }),
    pick: fc.nat(),
  }),
  { maxLength: 200 },
);

it('a newcomer never costs a holder that has no more than its own', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const world = new World();
      for (const step of history) world.take(step);
    }),
    { numRuns: 300 },
  );
});

it('IPv6 hosts of the world are held as their /64, those of pods one by one', () => {
  const holders = new Holders();
  const of = (identity: number, text: string): string =>
    holders.of(identity as Identity, client(text)).address;
  expect(of(2, '[2001:db8::1]:1')).toBe(of(2, '[2001:db8::ffff:1]:1'));
  expect(of(2, '[2001:db8::1]:1')).not.toBe(of(2, '[2001:db8:0:1::1]:1'));
  expect(of((1 << 24) + 5, '[2001:db8::1]:1')).toBe(of((1 << 24) + 5, '[2001:db8::2]:1'));
  expect(of(4000, '[2001:db8::1]:1')).not.toBe(of(4000, '[2001:db8::2]:1'));
});

class World {
  readonly #shares = new Shares(LIMITS, new CountingRecorder(), null);
  readonly #open = new Map<Share, string>();
  #nowMs = 0;
  #evicted: Share | null = null;

  take({ what, identity, host, pick }: Step): void {
    this.#nowMs += 1;
    if (what === 'open') {
      this.#admit(identity, client(`10.0.${identity}.${host}:1`));
    } else {
      const share = [...this.#open.keys()][pick % Math.max(1, this.#open.size)];
      if (share === undefined) return;
      if (what === 'close') this.#close(share);
      else if (what === 'begin') share.requestOpened();
      else if (share.openCount > 0) share.requestClosed(what === 'end', this.#nowMs);
    }
    this.#check();
  }

  #admit(identity: number, from: SocketAddress): void {
    const { holders } = this.#shares;
    const holder = holders.of(identity as Identity, from);
    const before = new Map([...holders.identities.values()].map((one) => [one, one.count]));
    this.#evicted = null;
    const victims = [...holders.identities.values()].flatMap((one) => [...one.addresses.values()]);
    const counts = new Map(victims.map((one) => [one, one.count]));
    if (this.#shares.isFull && !this.#shares.makeRoom(holder, this.#nowMs)) {
      // Only who has the most of all, or as many but for one, is refused.
      const most = Math.max(...before.values());
      expect(before.get(holder.identity) ?? 0).toBeGreaterThanOrEqual(most - 1);
      return;
    }
    const evicted = this.#evicted as Share | null;
    if (evicted !== null) {
      const [from0] = victims.filter((one) => counts.get(one) !== one.count);
      const own = before.get(holder.identity) ?? 0;
      if (from0 !== undefined && from0 !== holder) {
        if (from0.identity === holder.identity) {
          expect(counts.get(from0)).toBeGreaterThan(holder.count);
        } else {
          expect(before.get(from0.identity)).toBeGreaterThan(own);
        }
      }
    }
    const share: Share = new Share(
      {
        lastMoveMs: () => 0,
        heldBytes: () => 0,
        evict: () => {
          this.#evicted = share;
          this.#close(share);
        },
      },
      this.#nowMs,
    );
    share.moveTo(holder);
    this.#open.set(share, `${identity}/${from.ip}`);
  }

  #close(share: Share): void {
    share.moveTo(null);
    this.#open.delete(share);
  }

  /** What is counted, against what is there. */
  #check(): void {
    const { holders } = this.#shares;
    const byHolder = new Map<string, number>();
    for (const key of this.#open.values()) byHolder.set(key, (byHolder.get(key) ?? 0) + 1);
    const seen = [...holders.identities.values()].flatMap(({ identity, addresses }) =>
      [...addresses.values()].map((one) => [`${identity}/${one.address}`, one.count] as const),
    );
    expect(new Map(seen)).toEqual(byHolder);
    expect(holders.count).toBe(this.#open.size);
    expect(holders.count).toBeLessThanOrEqual(LIMITS.connectionCountMax);
    const requests = [...this.#open.keys()].reduce((sum, { openCount }) => sum + openCount, 0);
    expect(holders.requestCount).toBe(requests);
    const most = Math.max(0, ...[...holders.identities.values()].map(({ count }) => count));
    expect(this.#shares.counts().largestIdentity).toBe(most);
    for (const holder of holders.addresses()) {
      const listed = [holder.spare, holder.idle, holder.busy].flatMap((list) => {
        const found = [];
        for (let item = list.first; item !== null; item = item.next) found.push(item);
        return found;
      });
      expect(listed).toHaveLength(holder.count);
    }
  }
}

function client(text: string): SocketAddress {
  return address(text);
}
