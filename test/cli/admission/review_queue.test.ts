/** Who comes first of those that wait: by the time that clients and tenants have used, within bounds for each. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type QueueBounds,
  type Queued,
  ReviewQueue,
} from '../../../src/cli/admission/review_queue.ts';
import { runs } from '../../support/property_runs.ts';

const WIDE: QueueBounds = {
  countMax: 1000,
  tenantCountMax: 1000,
  tenantBytesMax: 1_000_000,
  tenantRunningMax: 1,
};

interface Item extends Queued {
  readonly name: string;
}

function item(tenant: string | null, name = '', { client = 'api', bytes = 1 } = {}): Item {
  return { name: `${tenant}${name}`, sender: { client, tenant }, bytes };
}

function queueOf(items: readonly Item[], bounds: Partial<QueueBounds> = {}): ReviewQueue<Item> {
  const queue = new ReviewQueue<Item>({ ...WIDE, ...bounds });
  for (const one of items) expect(queue.put(one)).toBe('queued');
  return queue;
}

/** One thread that takes all, and how long each takes; the names in their order. */
function orderOf(queue: ReviewQueue<Item>, takesMs: (item: Item) => number): readonly string[] {
  const names: string[] = [];
  let nowMs = 0;
  for (let one = queue.take(nowMs); one !== null; one = queue.take(nowMs)) {
    names.push(one.name);
    const ranMs = takesMs(one);
    nowMs += ranMs;
    queue.ran(one, ranMs, nowMs);
  }
  return names;
}

describe('reviews that wait', () => {
  it('of one tenant are judged in their order', () => {
    const queue = queueOf([item('a', '1'), item('a', '2'), item('a', '3')]);
    expect(orderOf(queue, () => 5)).toEqual(['a1', 'a2', 'a3']);
  });

  it('of several take turns, who had many before or not', () => {
    const queue = queueOf([item('a', '1'), item('a', '2'), item('a', '3'), item('b'), item('c')]);
    expect(orderOf(queue, () => 5)).toEqual(['a1', 'b', 'c', 'a2', 'a3']);
  });

  it('of a tenant whose reviews take long come when others have used as much time', () => {
    const slow = Array.from({ length: 3 }, (_, n) => item('slow', String(n)));
    const fast = Array.from({ length: 20 }, (_, n) => item('fast', String(n)));
    const names = orderOf(queueOf([...slow, ...fast]), ({ sender }) =>
      sender.tenant === 'slow' ? 3000 : 5,
    );
    expect(names.slice(0, 21)).toEqual(['slow0', ...fast.map(({ name }) => name)]);
  });

  it('of a client that speaks for many tenants come behind those of another client', () => {
    const forged = Array.from({ length: 50 }, (_, n) => item(`t${n}`, '', { client: 'other' }));
    const names = orderOf(queueOf([...forged, item('a', '1'), item('a', '2')]), () => 100);
    expect(names.indexOf('a1')).toBeLessThanOrEqual(1);
    expect(names.indexOf('a2')).toBeLessThanOrEqual(3);
  });

  it('of a tenant get no more threads at once than bounds allow, and others get the rest', () => {
    const queue = queueOf([item('a', '1'), item('a', '2'), item('a', '3'), item('b')], {
      tenantRunningMax: 2,
    });
    const running = [queue.take(0), queue.take(0), queue.take(0), queue.take(0)];
    expect(running.map((one) => one?.name)).toEqual(['a1', 'b', 'a2', undefined]);
    const [first] = running;
    if (first) queue.ran(first, 1, 1);
    expect(queue.take(1)?.name).toBe('a3');
  });

  it('are refused beyond the bounds of all, and of each tenant', () => {
    const queue = queueOf([item('a', '1'), item('a', '2')], {
      countMax: 4,
      tenantCountMax: 2,
      tenantBytesMax: 10,
    });
    expect(queue.put(item('a', '3'))).toBe('tenant-full');
    expect(queue.put(item('b', '1', { bytes: 50 }))).toBe('queued');
    expect(queue.put(item('b', '2'))).toBe('tenant-full');
    expect(queue.put(item(null))).toBe('queued');
    expect(queue.put(item('c'))).toBe('full');
  });

  it.each([
    ['the client who has most', ['x/a', 'x/b', 'y/a'], 'z/b', 'x/a'],
    ['the tenant of that client who has most', ['x/a', 'x/b', 'x/a', 'y/a'], 'y/a', 'x/a'],
    ['the tenant who has most, of the client who has most himself', ['x/a', 'x/a'], 'x/b', 'x/a'],
    ['nobody, where all have as many', ['x/a', 'y/a', 'z/a'], 'w/a', null],
    ['nobody, of one client as well', ['x/a', 'x/b', 'x/c'], 'x/d', null],
    ['nobody, where the sender has most', ['x/a', 'x/a', 'y/a'], 'x/a', null],
  ])('give their place to a newcomer: %s', (_about, waiting, newcomer, expected) => {
    const itemOf = (text: string, name = ''): Item => {
      const [client = '', tenant = ''] = text.split('/');
      return item(tenant, name, { client });
    };
    const items = waiting.map((text, n) => itemOf(text, String(n)));
    const crowder = queueOf(items).crowder(itemOf(newcomer).sender);
    const newest = items.findLast((_, n) => waiting[n] === expected);
    expect(crowder).toEqual(newest ?? null);
  });

  it('and those that end leave nothing behind: bounds are as before', () => {
    const tenant = fc.constantFrom('a', 'b', null);
    const step = fc.record({ act: fc.constantFrom('put', 'take', 'ran', 'remove'), tenant });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const bounds = { countMax: 6, tenantCountMax: 3, tenantBytesMax: 5, tenantRunningMax: 2 };
        const queue = new ReviewQueue<Item>(bounds);
        const waiting = new Set<Item>();
        const running = new Set<Item>();
        for (const { act, tenant } of steps) {
          const [oldest] = act === 'ran' ? running : waiting;
          if (act === 'put') {
            const one = item(tenant);
            if (queue.put(one) === 'queued') waiting.add(one);
            expect(waiting.size).toBeLessThanOrEqual(bounds.countMax);
          } else if (act === 'take') {
            const one = queue.take(0);
            if (one === null) continue;
            expect(waiting.delete(one)).toBe(true);
            running.add(one);
          } else if (oldest !== undefined) {
            if (act === 'ran') queue.ran(oldest, 1, 0);
            else queue.remove(oldest);
            running.delete(oldest);
            waiting.delete(oldest);
          }
        }
        for (const one of running) queue.ran(one, 1, 0);
        expect(new Set(queue.clear())).toEqual(waiting);
        expect(queue.take(0)).toBeNull();
        for (let n = 0; n < bounds.tenantCountMax; n++) {
          expect([queue.put(item('a')), queue.put(item('b'))]).toEqual(['queued', 'queued']);
        }
      }),
      runs(500),
    );
  });
});
