/** The kernel's part of the flows: only while it is wanted, with names, and what goes wrong told once. */
import { describe, expect, it } from 'vitest';
import type { FlowAddress, FlowSide } from '../../src/model/flow.ts';
import { sideOf } from '../../src/observe/flow/sides.ts';
import { decodeBatch } from '../../src/observe/flow/wire/decode_batch.ts';
import {
  type KernelEvent,
  KernelFlowReader,
  type KernelMaps,
} from '../../src/redirect/kernel_flows.ts';
import { KernelFlows, type KernelFlowsOptions } from '../../src/workers/kernel_flows.ts';
import { ORIGIN } from '../observe/flow/any_flow.ts';
import { address, ManualPlatform, POLICY } from '../observe/records.ts';
import { until } from '../support/until.ts';

const EVENT: KernelEvent = {
  verdict: 'denied',
  dropReason: 'denied-ingress',
  direction: 'ingress',
  ipProtocol: 6,
  source: address('10.0.1.9:0'),
  destination: address('10.0.0.7:8080'),
  count: 3,
  atNs: 1_000_000_000n,
};

const NO_MAPS: KernelMaps = {
  refusals: () => [],
  records: () => ({ entries: [].values(), close: () => {} }),
};

/** Gives what it is told to. */
class FakeReader extends KernelFlowReader {
  next: readonly KernelEvent[] | Error = [];
  lookCount = 0;

  constructor() {
    super({ maps: NO_MAPS, eventCountMax: 10 }, 0n);
  }

  override look() {
    this.lookCount++;
    const events = this.next;
    if (events instanceof Error) throw events;
    this.next = [];
    return { events, lostCount: events.length > 1 ? 5 : 0 };
  }
}

async function named(sides: readonly FlowAddress[]): Promise<readonly FlowSide[]> {
  return sides.map((side) => sideOf(side, POLICY.ipcache.lookup(side.ip), POLICY));
}

function looking(options: Partial<KernelFlowsOptions> = {}) {
  const platform = new ManualPlatform();
  const reader = new FakeReader();
  const batches: Uint8Array[] = [];
  const problems: string[] = [];
  const flows = new KernelFlows({
    ...ORIGIN,
    openReader: async () => reader,
    nameSides: named,
    push: (batch) => batches.push(batch),
    onProblem: (problem) => problems.push(problem),
    intervalMs: 1000,
    timers: platform.timers,
    clock: platform.clock,
    nowNs: () => 3_000_000_000n,
    ...options,
  });
  /** One more look, which sees `events`. */
  const lookAt = async (events: FakeReader['next']): Promise<void> => {
    const { lookCount } = reader;
    reader.next = events;
    await until(() => {
      platform.fire();
      return reader.lookCount > lookCount;
    });
  };
  return { flows, reader, batches, problems, lookAt, platform };
}

describe('flows of the kernel', () => {
  it('are what was refused, of whom, when and why', async () => {
    const { flows, batches, lookAt, platform } = looking();
    flows.setWanted(true);
    await lookAt([EVENT]);
    await until(() => batches.length === 1);
    expect(batches.flatMap((batch) => decodeBatch(batch))).toEqual([
      {
        origin: 'kernel',
        ...ORIGIN,
        number: 1,
        endedAtMs: platform.clock.wallMs() - 2000,
        direction: 'ingress',
        isReply: null,
        ipProtocol: 6,
        source: expect.objectContaining({ ip: '10.0.1.9', port: 0, identity: null, pod: '' }),
        destination: expect.objectContaining({
          ip: '10.0.0.7',
          port: 8080,
          identity: 1001,
          namespace: 'default',
          pod: 'orders',
          labels: ['k8s:app=orders'],
        }),
        verdict: 'denied',
        dropReason: 'denied-ingress',
        count: 3,
      },
    ]);
  });

  it('are not looked for while nobody wants them', async () => {
    const { flows, reader, platform, lookAt } = looking();
    platform.fire();
    flows.setWanted(true);
    await lookAt([]);
    flows.setWanted(false);
    const { lookCount } = reader;
    for (let i = 0; i < 5; i++) platform.fire();
    await Promise.resolve();
    expect(reader.lookCount).toBe(lookCount);
  });

  it('that were too many are counted, and told in their place', async () => {
    const { flows, batches, lookAt } = looking();
    flows.setWanted(true);
    await lookAt([EVENT, EVENT]);
    await until(() => batches.length === 1);
    const items = batches.flatMap((batch) => decodeBatch(batch));
    expect(items.map((item) => (typeof item === 'number' ? item : item.origin))).toEqual([
      'kernel',
      'kernel',
      5,
    ]);
    expect(flows.lostCount).toBe(5);
  });

  it('are told without names while the policy thread cannot answer', async () => {
    const { flows, batches, problems, lookAt } = looking({
      nameSides: () => Promise.reject(new Error('a set is being checked')),
    });
    flows.setWanted(true);
    await lookAt([EVENT]);
    await until(() => batches.length === 1);
    const [flow] = decodeBatch(batches[0] as Uint8Array);
    expect(flow).toMatchObject({ destination: { ip: '10.0.0.7', identity: null, pod: '' } });
    expect(problems).toEqual(['a set is being checked']);
  });

  it('cannot be told without the pins: that is told once, and they come when the pins do', async () => {
    const { flows, batches, problems, lookAt } = looking();
    flows.setWanted(true);
    for (let i = 0; i < 3; i++) await lookAt(new Error('ENOENT'));
    await lookAt([EVENT]);
    await until(() => batches.length === 1);
    expect(problems).toEqual(['ENOENT']);
  });
});
