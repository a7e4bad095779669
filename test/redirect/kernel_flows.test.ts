/** What is new in the kernel's maps since the look before: everything once, and nothing twice. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FlowAddress } from '../../src/model/flow.ts';
import type { Refusal } from '../../src/redirect/kernel/api.ts';
import {
  KernelFlowReader,
  type KernelLook,
  type KernelMaps,
  type KernelRecord,
} from '../../src/redirect/kernel_flows.ts';
import { address } from '../observe/records.ts';
import { runs } from '../support/property_runs.ts';

const TCP = 6;

class FakeMaps implements KernelMaps {
  readonly refused = new Map<number, Refusal>();
  recorded: KernelRecord[] = [];
  openCount = 0;

  /** One more packet of the client with that number. */
  refuse(client: number, atNs: bigint): void {
    const count = (this.refused.get(client)?.count ?? 0n) + 1n;
    this.refused.set(client, refusal(client, { count, timeNs: atNs }));
  }

  refusals(): readonly Refusal[] {
    return [...this.refused.values()];
  }

  records() {
    this.openCount++;
    return {
      entries: this.recorded.values() as Iterator<KernelRecord, undefined>,
      close: () => {
        this.openCount--;
      },
    };
  }
}

function refusal(client: number, changes: Partial<Refusal> = {}): Refusal {
  return {
    source: `10.0.0.${client}`,
    destination: '10.0.1.1',
    destinationPort: 8080,
    protocol: TCP,
    reason: 'denied-ingress',
    timeNs: 1n,
    count: 1n,
    sourceIdentity: 43,
    destinationIdentity: 1001,
    ...changes,
  };
}

function syn(client: number, timeNs: bigint): KernelRecord {
  const side = (text: string): FlowAddress => address(text);
  return {
    timeNs,
    isEgressJudged: false,
    source: side(`10.0.0.1:${40_000 + client}`),
    destination: side('10.0.1.1:80'),
    protocol: TCP,
  };
}

function reading(eventCountMax = 1000) {
  const maps = new FakeMaps();
  let now = 100n;
  const reader = new KernelFlowReader({ maps, eventCountMax }, now);
  return {
    maps,
    reader,
    now: () => now,
    look: (): KernelLook => {
      now += 10n;
      return reader.look(now);
    },
  };
}

const countsOf = ({ events }: KernelLook): readonly (readonly [string, number])[] =>
  events.map(({ source, count }) => [source.ip, count]);

describe('refusals', () => {
  it('that were there before are not told, later packets of them are', () => {
    const { maps, look } = reading();
    maps.refuse(1, 50n);
    expect(look().events).toEqual([]);
    for (let i = 0; i < 3; i++) maps.refuse(1, 120n);
    maps.refuse(2, 125n);
    expect(countsOf(look())).toEqual([
      ['10.0.0.1', 3],
      ['10.0.0.2', 1],
    ]);
    expect(look().events).toEqual([]);
  });

  it('that came before the first look are told by their last packet', () => {
    const { maps, look } = reading();
    for (let i = 0; i < 3; i++) maps.refuse(1, 101n);
    expect(countsOf(look())).toEqual([['10.0.0.1', 1]]);
    expect(look().events).toEqual([]);
  });

  it('of the same on two ways are one', () => {
    const { maps, look } = reading();
    look();
    const same = maps.refusals.bind(maps);
    maps.refuse(1, 111n);
    maps.refusals = () => [...same(), ...same()];
    expect(countsOf(look())).toEqual([['10.0.0.1', 2]]);
    expect(look().events).toEqual([]);
  });

  it('say why, and whose policy it was', () => {
    const { maps, look } = reading();
    look();
    maps.refused.set(1, refusal(1, { reason: 'denied-egress', protocol: 17, timeNs: 115n }));
    maps.refused.set(2, refusal(2, { reason: 'foreign-source' }));
    expect(look().events).toEqual([
      {
        verdict: 'denied',
        dropReason: 'denied-egress',
        direction: 'egress',
        ipProtocol: 17,
        source: { ip: '10.0.0.1', port: 0 },
        destination: { ip: '10.0.1.1', port: 8080 },
        count: 1,
        atNs: 115n,
      },
      expect.objectContaining({ dropReason: 'foreign-source', direction: null }),
    ]);
  });

  it('that the kernel forgot meanwhile are counted from their beginning', () => {
    const { maps, look } = reading();
    for (let i = 0; i < 9; i++) maps.refuse(1, 90n);
    look();
    maps.refused.clear();
    for (let i = 0; i < 2; i++) maps.refuse(1, 111n);
    expect(countsOf(look())).toEqual([['10.0.0.1', 2]]);
  });

  it('are told packet for packet, whenever one looks', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer({ min: 1, max: 5 }), { nil: null })), (steps) => {
        const { maps, look, now } = reading();
        look();
        const told = new Map<string, number>();
        const take = (): void => {
          for (const [ip, count] of countsOf(look())) told.set(ip, (told.get(ip) ?? 0) + count);
        };
        for (const step of steps) {
          if (step === null) take();
          else maps.refuse(step, now() + 1n);
        }
        take();
        const all = maps.refusals().map(({ source, count }) => [source, Number(count)] as const);
        expect([...told].sort()).toEqual([...all].sort());
      }),
      runs(200),
    );
  });
});

describe('records', () => {
  it('are told once each, those that come while one looks, too', () => {
    const { maps, look } = reading();
    maps.recorded = [syn(1, 50n), syn(2, 105n), syn(3, 500n)];
    const ports = (): readonly number[] => look().events.map(({ source }) => source.port);
    expect(ports()).toEqual([40_002]);
    maps.recorded = [syn(1, 50n), syn(2, 105n), syn(4, 111n), syn(4, 111n)];
    expect(ports()).toEqual([40_004]);
    expect(ports()).toEqual([]);
    expect(maps.openCount).toBe(0);
  });

  it('of a table that is too long for one look are told over several', () => {
    const { maps, look } = reading();
    const total = 40_000;
    maps.recorded = Array.from({ length: total }, (_, i) => syn(i % 20_000, 101n));
    const looks = Array.from({ length: 3 }, look);
    const counts = looks.map(({ events, lostCount }) => events.length + lostCount);
    expect(counts[0]).toBeLessThan(20_000);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(20_000);
  });

  it('that are redirected are of who asked, with its port', () => {
    const { maps, look } = reading();
    maps.recorded = [syn(1, 105n)];
    expect(look().events).toMatchObject([
      {
        verdict: 'redirected',
        dropReason: null,
        direction: 'ingress',
        source: { ip: '10.0.0.1', port: 40_001 },
        destination: { ip: '10.0.1.1', port: 80 },
      },
    ]);
  });
});

it('more than one look may tell is counted', () => {
  const { maps, look } = reading(3);
  look();
  for (let client = 1; client <= 10; client++) maps.refuse(client, 111n);
  const { events, lostCount } = look();
  expect([events.length, lostCount]).toEqual([3, 7]);
});

it('a look that fails leaves nothing open, and the next one tells what it did not', () => {
  const { maps, reader, look } = reading();
  look();
  maps.refuse(1, 111n);
  const { records } = maps;
  maps.records = () => {
    throw new Error('the pins are gone');
  };
  expect(() => reader.look(130n)).toThrow('the pins are gone');
  maps.records = records;
  expect(maps.openCount).toBe(0);
  maps.refuse(1, 141n);
  expect(countsOf(look())).toEqual([['10.0.0.1', 2]]);
});
