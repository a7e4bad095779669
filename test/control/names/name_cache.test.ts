/** What is remembered of names: for how long, for whom, and how much; by rules, and beside a plain model of them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NameCache } from '../../../src/control/names/name_cache.ts';
import { type IpAddress, type IpText, parseIp } from '../../../src/model/address.ts';
import { runs } from '../../support/property_runs.ts';

const BOUNDS = {
  nameAddressCountMax: 4,
  holderAddressCountMax: 6,
  addressCountMax: 20,
  ttlMinMs: 0,
  ttlMaxMs: 10_000_000,
  addressNameCountMax: 100,
  graceMs: 1000,
};
const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const host = (n: number): IpAddress => ip(`192.0.2.${n}`);

function ask(
  cache: NameCache,
  { name = 'a.', holder = 'shop/web', addresses = [1], ttlSeconds = 60, nowMs = 0 } = {},
): void {
  cache.learn({ name, holder, addresses: addresses.map(host), ttlSeconds }, nowMs);
}

function kept(cache: NameCache): readonly string[] {
  return [...cache.entries()].map(({ name, address }) => `${name} ${address.text}`).sort();
}

describe('an address of a name', () => {
  it('stays for its time to live and a while, and not a moment longer', () => {
    const cache = new NameCache(BOUNDS);
    ask(cache, { ttlSeconds: 60 });
    cache.expire(60_999);
    expect(kept(cache)).toEqual(['a. 192.0.2.1']);
    cache.expire(61_000);
    expect(kept(cache)).toEqual([]);
  });

  it('with no time to live stays for the least time, so that the connection it was asked for can be made', () => {
    const cache = new NameCache({ ...BOUNDS, ttlMinMs: 5000 });
    ask(cache, { ttlSeconds: 0 });
    cache.expire(5999);
    expect(kept(cache)).toHaveLength(1);
  });

  it('stays as long as a connection to it lives, and a while', () => {
    const cache = new NameCache(BOUNDS);
    ask(cache, { ttlSeconds: 1 });
    cache.markAlive([host(1).text], 50_000);
    cache.expire(50_999);
    expect(kept(cache)).toHaveLength(1);
    cache.expire(51_000);
    expect(kept(cache)).toHaveLength(0);
  });

  it('keeps the longer of two times', () => {
    const cache = new NameCache(BOUNDS);
    ask(cache, { ttlSeconds: 60 });
    ask(cache, { ttlSeconds: 1 });
    cache.expire(60_999);
    expect(kept(cache)).toHaveLength(1);
  });

  it('is told as changed when it gets a name or loses its last holder, not when it is renewed', () => {
    const cache = new NameCache(BOUNDS);
    ask(cache);
    ask(cache, { name: 'b.' });
    expect([...cache.takeChanged()]).toEqual(['192.0.2.1']);
    expect(cache.namesOf(host(1).text)).toEqual(['a.', 'b.']);
    ask(cache);
    expect(cache.takeChanged().size).toBe(0);
    cache.expire(61_000);
    expect([...cache.takeChanged()]).toEqual(['192.0.2.1']);
  });
});

describe('who asks for much', () => {
  it('makes room from what it asked for longest ago', () => {
    const cache = new NameCache(BOUNDS);
    for (let n = 1; n <= 6; n++) ask(cache, { name: `${n}.`, addresses: [n] });
    ask(cache, { name: '1.', addresses: [1] });
    ask(cache, { name: '7.', addresses: [7] });
    expect(kept(cache).map((text) => text.split(' ')[0])).toEqual([
      '1.',
      '3.',
      '4.',
      '5.',
      '6.',
      '7.',
    ]);
    expect(cache.evictedCount).toBe(1);
  });

  it('takes nothing from others, nor by asking for their names first', () => {
    const cache = new NameCache(BOUNDS);
    ask(cache, { name: 'api.', addresses: [1] });
    ask(cache, { name: 'api.', addresses: [1], holder: 'evil/flood' });
    for (let n = 10; n < 100; n++) {
      ask(cache, { name: `${n}.`, addresses: [n], holder: 'evil/flood' });
    }
    expect(kept(cache)).toContain('api. 192.0.2.1');
  });

  it('takes no address of a name from others, whatever its own server says of that name', () => {
    const cache = new NameCache(BOUNDS);
    ask(cache, { addresses: [1, 2] });
    for (let n = 10; n < 30; n += 2) {
      ask(cache, { addresses: [n, n + 1], holder: 'evil/flood' });
    }
    expect(kept(cache)).toEqual([1, 2, 26, 27, 28, 29].map((n) => `a. 192.0.2.${n}`));
  });

  it('loses first when all is full', () => {
    const cache = new NameCache({ ...BOUNDS, addressCountMax: 8 });
    for (let n = 1; n <= 3; n++) ask(cache, { name: `${n}.`, addresses: [n] });
    for (let n = 10; n < 16; n++)
      ask(cache, { name: `${n}.`, addresses: [n], holder: 'evil/flood' });
    expect(cache.count).toBe(8);
    for (let n = 1; n <= 3; n++) expect(cache.namesOf(host(n).text)).toEqual([`${n}.`]);
  });

  it('has of one name the addresses that were told last, and those with connections', () => {
    const cache = new NameCache(BOUNDS);
    ask(cache, { addresses: [1, 2, 3, 4] });
    cache.markAlive([host(1).text], 10);
    ask(cache, { addresses: [5, 6] });
    expect(kept(cache)).toEqual([1, 4, 5, 6].map((n) => `a. 192.0.2.${n}`));
  });
});

type Step =
  | {
      readonly kind: 'ask';
      readonly name: string;
      readonly holder: string;
      readonly hosts: readonly number[];
      readonly ttlSeconds: number;
    }
  | { readonly kind: 'alive'; readonly hosts: readonly number[] }
  | { readonly kind: 'wait'; readonly ms: number };

const hosts = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('ask' as const),
    name: fc.constantFrom('a.', 'b.', 'c.'),
    holder: fc.constantFrom('x', 'y', 'z'),
    hosts,
    ttlSeconds: fc.integer({ min: 0, max: 5 }),
  }),
  fc.record({ kind: fc.constant('alive' as const), hosts }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 4000 }) }),
);

describe('whatever is asked', () => {
  it('all bounds hold, and both ways of looking agree', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const cache = new NameCache({ ...BOUNDS, addressCountMax: 12 });
        const seen = new Map<IpText, readonly string[]>();
        let nowMs = 0;
        for (const one of steps) {
          nowMs += take(cache, one, nowMs);
          const byName = kept(cache);
          expect(byName).toHaveLength(cache.count);
          expect(cache.count).toBeLessThanOrEqual(12);
          for (const ipChanged of cache.takeChanged())
            seen.set(ipChanged, cache.namesOf(ipChanged));
          // Who looks only at what changed knows all.
          const told = [...seen].flatMap(([text, names]) => names.map((name) => `${name} ${text}`));
          expect(told.sort()).toEqual(byName);
          for (const name of ['a.', 'b.', 'c.']) {
            for (const holder of ['x', 'y', 'z']) {
              const own = [...cache.entries()].filter(
                (entry) => entry.name === name && entry.holders.includes(holder),
              );
              expect(own.length).toBeLessThanOrEqual(BOUNDS.nameAddressCountMax);
            }
          }
        }
      }),
      runs(400),
    );
  });

  it('without bounds it is a plain table of times', () => {
    const many = 1_000_000;
    const free = {
      ...BOUNDS,
      nameAddressCountMax: many,
      holderAddressCountMax: many,
      addressCountMax: many,
    };
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const cache = new NameCache(free);
        const model = new Map<string, number>();
        let nowMs = 0;
        for (const one of steps) {
          const waitedMs = take(cache, one, nowMs);
          remember(model, one, nowMs);
          nowMs += waitedMs;
          for (const [pair, lastMs] of model)
            if (nowMs >= lastMs + free.graceMs) model.delete(pair);
          cache.expire(nowMs);
          expect(kept(cache)).toEqual([...model.keys()].sort());
        }
      }),
      runs(400),
    );
  });
});

/** How much time it takes. */
function take(cache: NameCache, one: Step, nowMs: number): number {
  if (one.kind === 'ask') ask(cache, { ...one, addresses: [...one.hosts], nowMs });
  if (one.kind === 'alive')
    cache.markAlive(
      one.hosts.map((n) => host(n).text),
      nowMs,
    );
  if (one.kind === 'wait') cache.expire(nowMs + one.ms);
  return one.kind === 'wait' ? one.ms : 0;
}

function remember(model: Map<string, number>, one: Step, nowMs: number): void {
  if (one.kind === 'wait') return;
  for (const n of one.hosts) {
    if (one.kind === 'ask') {
      const pair = `${one.name} 192.0.2.${n}`;
      model.set(pair, Math.max(model.get(pair) ?? 0, nowMs + one.ttlSeconds * 1000));
    } else {
      for (const [pair, lastMs] of model) {
        if (pair.endsWith(` 192.0.2.${n}`)) model.set(pair, Math.max(lastMs, nowMs));
      }
    }
  }
}
