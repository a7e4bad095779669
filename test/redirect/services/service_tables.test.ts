/**
 * The tables of Services, with a reader that looks between any two writes: it always finds whole tables, each of
 * before or of after. A loader that died at any write leaves what the next one can go on with.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServiceFrontend } from '../../../src/model/service_frontend.ts';
import {
  decodeBackendKey,
  decodeFrontend,
  encodeBackendKey,
  encodeSlotKey,
} from '../../../src/redirect/services/layout.ts';
import { ServiceTables, type TableMaps } from '../../../src/redirect/services/service_tables.ts';
import { runs } from '../../support/property_runs.ts';
import { frontend, ip } from '../../support/service_frontends.ts';
import { FakeMap } from '../fake_node.ts';

const GRACE_MS = 100;

interface Room {
  readonly frontendCountMax?: number;
  readonly slotCountMax?: number;
  readonly backendCountMax?: number;
}

class Kernel {
  /** Called before each write of one entry. */
  onWrite: () => void = () => {};
  readonly maps: Readonly<Record<keyof TableMaps, FakeMap>>;

  constructor({ frontendCountMax, slotCountMax, backendCountMax }: Room = {}) {
    this.maps = {
      ...{ frontends: this.#map(frontendCountMax), slots: this.#map(slotCountMax) },
      ...{ backends: this.#map(backendCountMax), node_addresses: this.#map() },
    };
  }

  /** Address and port of a frontend → those of its backends, by what a program reads. */
  read(): Record<string, string> {
    const { frontends, slots, backends } = this.maps;
    return Object.fromEntries(
      [...frontends.entries()].map(([key, value]) => {
        const { table, count } = decodeFrontend(value);
        const own = Array.from({ length: count }, (_, slot) => {
          const number = slots.lookup(encodeSlotKey(table, slot));
          if (number === null) throw new Error(`no slot ${slot} of table ${table}`);
          const place = backends.lookup(encodeBackendKey(decodeBackendKey(number)));
          if (place === null) throw new Error('no such backend');
          return place.toString('hex');
        });
        return [key.toString('hex'), own.sort().join()];
      }),
    );
  }

  /** What each number of a table or of a backend means: of a table what leads to it and what is in it. */
  numbers(): (readonly [string, string])[] {
    const { frontends, backends } = this.maps;
    const all = this.read();
    return [
      ...[...frontends.entries()].map(
        ([key, value]) =>
          [
            `table ${decodeFrontend(value).table}`,
            `${key.toString('hex')} ${all[key.toString('hex')]}`,
          ] as const,
      ),
      ...[...backends.entries()].map(
        ([key, value]) => [`backend ${decodeBackendKey(key)}`, value.toString('hex')] as const,
      ),
    ];
  }

  #map(countMax = 100_000): FakeMap {
    return new FakeMap(countMax, () => this.onWrite());
  }

  entryCounts(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.maps).map(([name, map]) => [name, map.count()]));
  }
}

class Clock {
  nowMs = 0;
}

function tablesOf(kernel: Kernel, clock = new Clock()): ServiceTables {
  return new ServiceTables(kernel.maps, { nowMs: () => clock.nowMs, graceMs: GRACE_MS });
}

/** What a reader may find, made by tables of their own. */
function readOf(frontends: readonly ServiceFrontend[]): Record<string, string> {
  const kernel = new Kernel();
  tablesOf(kernel).apply({ frontends, nodeAddresses: [] });
  return kernel.read();
}

const anyFrontends = fc
  .uniqueArray(
    fc.record({
      port: fc.integer({ min: 1, max: 6 }),
      backends: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
      address: fc.constantFrom('10.96.0.1', null),
    }),
    { selector: ({ port, address }) => `${address} ${port}`, maxLength: 6 },
  )
  .map((all) => all.map((parts) => frontend(parts)));

describe('at each write', () => {
  it('a reader finds of each frontend the backends of before or those of after, whole', () => {
    fc.assert(
      fc.property(fc.array(anyFrontends, { minLength: 2, maxLength: 5 }), (history) => {
        const kernel = new Kernel();
        const clock = new Clock();
        const tables = tablesOf(kernel, clock);
        let before: Record<string, string> = {};
        for (const frontends of history) {
          const after = readOf(frontends);
          kernel.onWrite = () => {
            for (const [key, backends] of Object.entries(kernel.read()))
              expect([before[key], after[key]]).toContain(backends);
          };
          tables.apply({ frontends, nodeAddresses: [] });
          expect(kernel.read()).toEqual(after);
          before = after;
          clock.nowMs += 60;
          tables.sweep();
        }
      }),
      runs(60),
    );
  });

  it('a loader may die: the next one ends where it would have, and leaves nothing behind', () => {
    fc.assert(
      fc.property(anyFrontends, anyFrontends, fc.nat(60), (first, second, writesMax) => {
        const kernel = new Kernel();
        tablesOf(kernel).apply({ frontends: first, nodeAddresses: [] });
        let writes = 0;
        kernel.onWrite = () => {
          writes += 1;
          if (writes > writesMax) throw new Error('died');
        };
        const dying = tablesOf(kernel);
        try {
          dying.apply({ frontends: second, nodeAddresses: [] });
        } catch (error) {
          expect((error as Error).message).toBe('died');
        }
        kernel.onWrite = () => {};
        const clock = new Clock();
        const next = tablesOf(kernel, clock);
        next.apply({ frontends: second, nodeAddresses: [] });
        expect(kernel.read()).toEqual(readOf(second));
        clock.nowMs += GRACE_MS;
        next.sweep();
        const fresh = new Kernel();
        tablesOf(fresh).apply({ frontends: second, nodeAddresses: [] });
        expect(kernel.entryCounts()).toEqual(fresh.entryCounts());
      }),
      runs(60),
    );
  });
});

describe('what did not change', () => {
  const web = frontend({ address: '10.96.0.1', port: 80, backends: [1, 2] });
  const dns = frontend({ address: '10.96.0.2', port: 53, backends: [3] });

  it('is not written again, nor by the next loader', () => {
    const kernel = new Kernel();
    const tables = tablesOf(kernel);
    expect(tables.apply({ frontends: [web, dns], nodeAddresses: [] }).written).toBe(2);
    const other = frontend({ address: '10.96.0.2', port: 53, backends: [4] });
    expect(tables.apply({ frontends: [web, other], nodeAddresses: [] }).written).toBe(1);
    const again = [{ ...web }, { ...other }];
    const update = tablesOf(kernel).apply({ frontends: again, nodeAddresses: [] });
    expect(update).toMatchObject({ written: 0, removed: 0, frontendCount: 2, left: [] });
  });

  it('is written after a write that failed, as nobody knows what that left', () => {
    const kernel = new Kernel();
    const tables = tablesOf(kernel);
    let isFull = true;
    kernel.onWrite = () => {
      if (isFull) throw new Error('no room');
    };
    const wanted = { frontends: [web, dns], nodeAddresses: [ip('10.8.0.1')] };
    expect(() => tables.apply(wanted)).toThrow('no room');
    isFull = false;
    tables.apply(wanted);
    expect(kernel.read()).toEqual(readOf([web, dns]));
    expect(kernel.maps.node_addresses.count()).toBe(1);
  });
});

describe('frontends that cannot be', () => {
  it('are told: a protocol without a hook, an address that another one has', () => {
    const web = frontend({ address: '10.96.0.1', port: 80, backends: [1] });
    const second = frontend({ address: '10.96.0.1', port: 80, backends: [2], service: 'b/b' });
    const sctp = frontend({ address: '10.96.0.1', port: 80, protocol: 'SCTP', backends: [1] });
    const kernel = new Kernel();
    const update = tablesOf(kernel).apply({ frontends: [web, second, sctp], nodeAddresses: [] });
    expect(update.left).toEqual([second, sctp]);
    expect(kernel.read()).toEqual(readOf([web]));
  });
});

describe('a write that fails, as a map is full', () => {
  it('leaves what was in force in force, however late the next try is', () => {
    const kernel = new Kernel();
    const clock = new Clock();
    const tables = tablesOf(kernel, clock);
    const web = (backends: readonly number[]) =>
      frontend({ address: '10.96.0.1', port: 80, backends });
    tables.apply({ frontends: [web([1, 2])], nodeAddresses: [] });
    kernel.onWrite = () => {
      throw new Error('no room');
    };
    expect(() => tables.apply({ frontends: [web([3])], nodeAddresses: [] })).toThrow('no room');
    kernel.onWrite = () => {};
    clock.nowMs += GRACE_MS;
    tables.sweep();
    expect(kernel.read()).toEqual(readOf([web([1, 2])]));
  });
});

describe('where one set fits twice and no more', () => {
  const ROOM = { frontendCountMax: 12, slotCountMax: 26, backendCountMax: 12 };

  /** What is in force at last, whatever was there before. */
  const endOf = (frontends: readonly ServiceFrontend[]): Record<string, string> => {
    const kernel = new Kernel(ROOM);
    tablesOf(kernel).apply({ frontends, nodeAddresses: [] });
    return kernel.read();
  };

  it('changes that come faster than the grace are written', () => {
    fc.assert(
      fc.property(fc.array(anyFrontends, { minLength: 2, maxLength: 8 }), (history) => {
        const kernel = new Kernel(ROOM);
        const tables = tablesOf(kernel);
        for (const frontends of history) {
          tables.apply({ frontends, nodeAddresses: [] });
          expect(kernel.read()).toEqual(endOf(frontends));
        }
      }),
      runs(100),
    );
  });

  it('loaders that die amid changes never leave what the next one cannot go on with', () => {
    const deaths = fc.array(fc.tuple(anyFrontends, fc.nat(60)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(deaths, anyFrontends, (history, last) => {
        const kernel = new Kernel(ROOM);
        for (const [frontends, writesMax] of history) {
          let writes = 0;
          kernel.onWrite = () => {
            writes += 1;
            if (writes > writesMax) throw new Error('died');
          };
          try {
            tablesOf(kernel).apply({ frontends, nodeAddresses: [] });
          } catch (error) {
            expect((error as Error).message).toBe('died');
          }
          kernel.onWrite = () => {};
          // What is in force is whole at each death.
          kernel.read();
        }
        tablesOf(kernel).apply({ frontends: last, nodeAddresses: [] });
        expect(kernel.read()).toEqual(endOf(last));
      }),
      runs(200),
    );
  });
});

describe('numbers', () => {
  it('are never given again, by the next loader neither: a socket may remember who had them', () => {
    fc.assert(
      fc.property(fc.array(anyFrontends, { minLength: 2, maxLength: 8 }), (history) => {
        const kernel = new Kernel();
        const clock = new Clock();
        /** "table 3 slot 0", "backend 7" → what a program read there. */
        const meant = new Map<string, string>();
        for (const frontends of history) {
          const tables = tablesOf(kernel, clock);
          tables.apply({ frontends, nodeAddresses: [] });
          for (const [what, value] of kernel.numbers()) {
            expect([what, meant.get(what) ?? value]).toEqual([what, value]);
            meant.set(what, value);
          }
          clock.nowMs += GRACE_MS;
          tables.sweep();
        }
      }),
      runs(60),
    );
  });
});

describe('more than the maps hold', () => {
  const of = (service: string, port: number, backends: readonly number[]): ServiceFrontend =>
    frontend({ service, address: '10.96.0.1', port, backends });

  it('keeps nobody else out: those of the namespace that has most are left', () => {
    const kernel = new Kernel({ slotCountMax: 28 });
    const web = of('shop/web', 80, [1, 2]);
    const dns = of('kube-system/dns', 53, [3]);
    const many = [1, 2, 3, 4, 5].map((port) => of('greedy/all', port, [1, 2, 3, 4]));
    const clock = new Clock();
    const tables = tablesOf(kernel, clock);
    const { left } = tables.apply({ frontends: [...many, web, dns], nodeAddresses: [] });
    expect(left).toEqual(many.slice(2));
    expect(kernel.read()).toEqual(readOf([many[0], many[1], web, dns] as ServiceFrontend[]));
    clock.nowMs += GRACE_MS;
    tables.sweep();
    const other = [of('shop/web', 80, [4]), of('kube-system/dns', 53, [2])];
    tables.apply({ frontends: [...many, ...other], nodeAddresses: [] });
    expect(kernel.read()).toMatchObject(readOf(other));
  });

  it('counts addresses and backends, and what a hashed Service takes', () => {
    const ofOne = ['shop/a', 'shop/b', 'shop/c'].map((name, index) => of(name, index + 1, [1]));
    const frontends = tablesOf(new Kernel({ frontendCountMax: 4 }));
    expect(frontends.apply({ frontends: ofOne, nodeAddresses: [] }).left).toEqual(ofOne.slice(2));
    const backends = tablesOf(new Kernel({ backendCountMax: 6 }));
    const ofThree = [of('a/a', 1, [1, 2]), of('b/b', 2, [2, 3]), of('c/c', 3, [3, 4])];
    expect(backends.apply({ frontends: ofThree, nodeAddresses: [] }).left).toEqual(
      ofThree.slice(2),
    );
    const hashed = { ...of('z/hashed', 4, [1]), isConsistentlyHashed: true };
    const slots = tablesOf(new Kernel({ slotCountMax: 2008 }));
    expect(slots.apply({ frontends: [hashed, ...ofOne], nodeAddresses: [] }).left).toEqual([
      hashed,
    ]);
  });
});
