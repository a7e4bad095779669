/** Updates of the kernel's tables: whole or not at all, wherever the loader dies. */
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../src/model/identity.ts';
import { portPrefixes } from '../../src/policy/kernel/port_prefixes.ts';
import type { MapEntry } from '../../src/redirect/kernel/api.ts';
import { entriesOf, GENERATION_MAPS, planOf, type TablePlan } from '../../src/redirect/plan.ts';
import { entriesInForce, TableUpdater } from '../../src/redirect/table_updater.ts';
import { FakeMap, type FakeMaps, fakeMaps } from './fake_node.ts';

const FIRST = planFrom(80);
const SECOND = planFrom(81);

describe('an update', () => {
  it('puts the whole plan in force under the next generation', () => {
    const maps = fakeMaps();
    const updater = new TableUpdater(maps);
    expect(updater.putInForce(FIRST).generation).toBe(1);
    expect(updater.putInForce(SECOND).generation).toBe(2);
    expectInForce(maps, SECOND);
  });

  it('keeps the tables before until their grace is over, and no others', () => {
    const maps = fakeMaps();
    const updater = new TableUpdater(maps);
    updater.putInForce(FIRST);
    updater.putInForce(SECOND);
    expect(entriesInForce(maps.ports, 'ports', 1).length).toBeGreaterThan(0);
    expect(updater.removeOthers()).toBeGreaterThan(0);
    expect(entriesInForce(maps.ports, 'ports', 1).length).toBe(0);
    expectInForce(maps, SECOND);
    updater.putInForce(FIRST);
    expect(entriesInForce(maps.ports, 'ports', 1).length).toBe(0);
  });

  it('that is killed at any write leaves one of both plans in force, whole', () => {
    const writes = writesOf(SECOND);
    expect(writes).toBeGreaterThan(15);
    for (let dieAt = 0; dieAt < writes; dieAt++) {
      let budget = Number.POSITIVE_INFINITY;
      const maps = fakeMaps(() => {
        if (budget-- <= 0) throw new Error('killed');
      });
      new TableUpdater(maps).putInForce(FIRST);
      budget = dieAt;
      expect(() => new TableUpdater(maps).putInForce(SECOND)).toThrow('killed');
      budget = Number.POSITIVE_INFINITY;
      expectInForce(maps, FIRST);
      // The next loader finds the litter, and begins anew.
      const next = new TableUpdater(maps);
      next.putInForce(SECOND);
      next.removeOthers();
      expectInForce(maps, SECOND);
      expect(sizeOf(maps)).toBe(writes - 1);
    }
  });

  it('that finds no room changes nothing', () => {
    const maps = { ...fakeMaps(), ports: new FakeMap(2) };
    const updater = new TableUpdater(maps);
    expect(() => updater.putInForce(FIRST)).toThrow('map ports');
    expect(updater.generation).toBe(0);
  });

  it('goes on at 1 after the last generation', () => {
    const maps = fakeMaps();
    maps.settings.update(Buffer.alloc(4), Buffer.from('ffffffff00000000', 'hex'));
    expect(new TableUpdater(maps).putInForce(FIRST).generation).toBe(1);
  });
});

function expectInForce(maps: FakeMaps, plan: TablePlan): void {
  const { generation } = new TableUpdater(maps);
  for (const map of GENERATION_MAPS) {
    const texts = (entries: Iterable<MapEntry>) =>
      [...entries].map(([key, value]) => `${key.toString('hex')} ${value.toString('hex')}`).sort();
    const found = entriesInForce(maps[map], map, generation);
    expect(texts(found)).toEqual(texts(entriesOf(plan, map, generation)));
  }
}

/** Entries and the one write of the settings. */
function writesOf(plan: TablePlan): number {
  return GENERATION_MAPS.reduce((sum, map) => sum + [...entriesOf(plan, map, 1)].length, 1);
}

function sizeOf(maps: FakeMaps): number {
  return GENERATION_MAPS.reduce((sum, map) => sum + maps[map].held.size, 0);
}

/** Ranges from `port` on, and who may not use them. */
function planFrom(port: number): TablePlan {
  const remotes = [1001, 1002, 1003, 1000 + port] as Identity[];
  return planOf({
    endpoints: [1, 2, 3].map((endpointId) => ({
      name: `ns/e${endpointId}`,
      endpointId,
      interface: `lxc${endpointId}`,
      ips: [`10.0.0.${endpointId}`],
      identity: (1000 + endpointId) as Identity,
      egressPolicy: 1,
      ingressPolicy: 1,
    })),
    policies: [
      {
        areas: [
          {
            protocol: 'TCP',
            prefixes: portPrefixes(port, port + 9),
            slot: 1,
            verdict: 'allow',
          },
        ],
      },
    ],
    slots: [new Map(remotes.map((identity) => [identity, 'deny' as const]))],
    prefixes: [],
    labelsOf: () => [],
    interfaces: new Map([1, 2, 3].map((index) => [`lxc${index}`, index])),
    ports: new Set(),
    bare: new Set(),
    masters: new Map(),
    bridges: new Set(),
    linkAddresses: new Map(),
    otherBridges: [],
    isGuarded: false,
    claims: [],
    uplinks: [],
    hostAddresses: ['10.0.0.254'],
    isHostJudged: false,
    behind: [],
  });
}
