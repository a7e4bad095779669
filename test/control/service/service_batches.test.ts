/** What differs between inventories, as batches for workers. */
import { describe, expect, it } from 'vitest';
import { ServiceBatches } from '../../../src/control/service/service_batches.ts';
import { ServiceTable } from '../../../src/policy/identity/service_table.ts';
import { inventoryOf } from '../../support/inventory.ts';

describe('batches of Services', () => {
  it('have what differs, and end where the inventory does', () => {
    const batches = new ServiceBatches();
    const first = inventoryWith(3);
    expect(batches.next(first).map(({ come }) => come.length)).toEqual([6]);
    expect(batches.next({ ...first })).toEqual([]);
    const fewer = { ...first, services: first.services.slice(1) };
    const [batch, ...more] = batches.next(fewer);
    expect(more).toEqual([]);
    expect(batch).toMatchObject({ sequence: 2, isWhole: false, come: [] });
    expect(batch?.gone.map(({ port }) => port)).toEqual([80, 30_000]);
    expect(batches.table.size).toBe(4);
  });

  it('are small where there is much, and none cuts a Service in two', () => {
    const batches = new ServiceBatches();
    const made = batches.next(inventoryWith(1500));
    expect(made.length).toBeGreaterThan(2);
    const seen = new Set<string>();
    let table = ServiceTable.EMPTY;
    for (const batch of made) {
      const own = new Set(batch.come.map(({ service }) => service));
      expect([...own].filter((one) => seen.has(one))).toEqual([]);
      for (const one of own) seen.add(one);
      table = table.after(batch);
    }
    expect(new Set(table.frontends())).toEqual(new Set(batches.whole().come));
    expect(table.size).toBe(3000);
  });
});

/** Each with an address and a NodePort, before one backend. */
function inventoryWith(count: number) {
  const services = Array.from({ length: count }, (_, at) => ({
    name: `default/s${at}`,
    ips: ['10.0.0.1'],
    clusterIPs: [`10.96.${at >> 8}.${at & 255}`],
    ports: [{ port: 80, nodePort: 30_000 + at }],
  }));
  return inventoryOf(JSON.stringify({ services }));
}
