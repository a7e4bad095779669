/** From a worker to whoever follows: nothing while nobody does, bounded on every side, losses told. */
import { describe, expect, it } from 'vitest';
import type { Flow, ProxyFlow } from '../../../src/model/flow.ts';
import { FlowSender } from '../../../src/observe/flow/flow_sender.ts';
import { FlowStream, type FlowStreamOptions } from '../../../src/observe/flow/flow_stream.ts';
import { decodeBatch } from '../../../src/observe/flow/wire/decode_batch.ts';
import { FlowBatch } from '../../../src/observe/flow/wire/flow_batch.ts';
import { flowMaker } from '../observing.ts';
import { denied, ManualPlatform, POLICY, record } from '../records.ts';
import { ORIGIN } from './any_flow.ts';

const ALL = (): boolean => true;

interface Way {
  readonly sender: FlowSender;
  readonly sent: Uint8Array[];
  /** The other side takes what is on its way. */
  take(): void;
  send(bytesIn: number): void;
  readonly platform: ManualPlatform;
}

function way(flowBufferBytesMax = 1 << 20): Way {
  const platform = new ManualPlatform();
  const sent: Uint8Array[] = [];
  const waiting: (() => void)[] = [];
  const sender = new FlowSender({
    ...ORIGIN,
    limits: { flowBufferBytesMax, flowDelayMs: 10 },
    timers: platform.timers,
    send: (batch, onTaken) => {
      sent.push(batch);
      waiting.push(onTaken);
    },
  });
  const flow = flowMaker();
  flow.policyChanged(POLICY, []);
  return {
    sender,
    sent,
    platform,
    take: () => {
      for (const taken of waiting.splice(0)) taken();
    },
    send: (bytesIn) => sender.flow(flow.take(record({ bytesIn }))),
  };
}

function numbersOf(batches: readonly Uint8Array[]): readonly (number | string)[] {
  return batches
    .flatMap((batch) => decodeBatch(batch))
    .map((item) => (typeof item === 'number' ? `${item} lost` : (item as ProxyFlow).bytesIn));
}

describe('a worker', () => {
  it('sends nothing, and asks nothing of a flow, while nobody listens', () => {
    const { sender, sent, platform } = way();
    const untouchable = new Proxy({} as ProxyFlow, {
      get: (_, name) => {
        throw new Error(`asked for ${String(name)}`);
      },
    });
    sender.flow(untouchable);
    platform.fire();
    expect(sent).toEqual([]);
  });

  it('sends flows together, after a moment', () => {
    const { sender, sent, send, platform } = way();
    sender.setWanted(true);
    for (const bytesIn of [1, 2, 3]) send(bytesIn);
    expect(sent).toEqual([]);
    platform.fire();
    expect(sent).toHaveLength(1);
    expect(numbersOf(sent)).toEqual([1, 2, 3]);
  });

  it('sends what it has when nobody listens any more, and then nothing', () => {
    const { sender, sent, send, platform } = way();
    sender.setWanted(true);
    send(1);
    sender.setWanted(false);
    send(2);
    platform.fire();
    expect(numbersOf(sent)).toEqual([1]);
  });

  it('leaves out what the supervisor does not take in time, counts it, and says where', () => {
    const { sender, sent, send, take, platform } = way(4096);
    sender.setWanted(true);
    for (let i = 0; i < 500; i++) {
      send(i);
      platform.fire();
    }
    const before = sent.length;
    expect(sender.droppedCount).toBe(500 - before);
    expect(sent.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(2 * 4096);
    take();
    send(1000);
    platform.fire();
    expect(numbersOf(sent.slice(before))).toEqual([`${500 - before} lost`, 1000]);
  });
});

function streaming(options: Partial<FlowStreamOptions> = {}) {
  const demands: boolean[] = [];
  const errors: unknown[] = [];
  const stream = new FlowStream({
    ringCountMax: 0,
    subscriberCountMax: 2,
    onDemand: (isWanted) => demands.push(isWanted),
    onError: (error) => errors.push(error),
    ...options,
  });
  return { stream, demands, errors };
}

function batchOf(...numbers: readonly number[]): Uint8Array {
  const batch = new FlowBatch(ORIGIN);
  const flow = flowMaker();
  flow.policyChanged(POLICY, []);
  for (const number of numbers) {
    const make = number % 2 === 0 ? denied : record;
    batch.add(flow.take(make({ bytesIn: number, endedAtMs: number })));
  }
  return batch.take();
}

function bytesIn(flows: readonly Flow[]): readonly number[] {
  return flows.map((flow) => (flow as ProxyFlow).bytesIn);
}

describe('the supervisor', () => {
  it('wants flows from the first who subscribes to the last who leaves', () => {
    const { stream, demands } = streaming();
    const options = { filter: ALL, queueCountMax: 4, onReady: () => {} };
    const first = stream.subscribe(options);
    const second = stream.subscribe(options);
    expect(stream.subscribe(options)).toBeNull();
    first?.close();
    expect(demands).toEqual([true]);
    second?.close();
    second?.close();
    expect(demands).toEqual([true, false]);
  });

  it('gives each what its filter takes, and tells once that there is something', () => {
    const { stream } = streaming();
    let told = 0;
    const all = stream.subscribe({ filter: ALL, queueCountMax: 9, onReady: () => told++ });
    const some = stream.subscribe({
      filter: ({ verdict }) => verdict === 'denied',
      queueCountMax: 9,
      onReady: () => {},
    });
    stream.push(batchOf(1, 2));
    stream.push(batchOf(3, 4));
    expect(told).toBe(1);
    expect(bytesIn(all?.take().flows ?? [])).toEqual([1, 2, 3, 4]);
    expect(bytesIn(some?.take().flows ?? [])).toEqual([2, 4]);
    stream.push(batchOf(5));
    expect(told).toBe(2);
  });

  it('costs who is slow his own flows only, and tells him how many', () => {
    const { stream } = streaming();
    const slow = stream.subscribe({ filter: ALL, queueCountMax: 2, onReady: () => {} });
    const fast = stream.subscribe({ filter: ALL, queueCountMax: 100, onReady: () => {} });
    for (let i = 0; i < 5; i++) stream.push(batchOf(i));
    expect(bytesIn(fast?.take().flows ?? [])).toEqual([0, 1, 2, 3, 4]);
    const taken = slow?.take();
    expect(bytesIn(taken?.flows ?? [])).toEqual([0, 1]);
    expect(taken?.lostCount).toBe(3);
    expect(stream.lostCount).toBe(3);
    stream.push(batchOf(9));
    expect(slow?.take()).toMatchObject({ lostCount: 0, flows: [{ bytesIn: 9 }] });
  });

  it('gives what waits in parts, and tells of no more before all is taken', () => {
    const { stream } = streaming();
    let told = 0;
    const one = stream.subscribe({ filter: ALL, queueCountMax: 4, onReady: () => told++ });
    stream.push(batchOf(1, 2, 3, 4, 5));
    expect(one?.take(2)).toMatchObject({ flows: [{ bytesIn: 1 }, { bytesIn: 2 }], lostCount: 0 });
    stream.push(batchOf(6));
    expect(told).toBe(1);
    expect(one?.take(2)).toMatchObject({ flows: [{ bytesIn: 3 }, { bytesIn: 4 }], lostCount: 0 });
    expect(one?.take(2)).toMatchObject({ flows: [{ bytesIn: 6 }], lostCount: 1 });
    stream.push(batchOf(7));
    expect(told).toBe(2);
  });

  it('tells of flows that a worker left out', () => {
    const { stream } = streaming();
    const one = stream.subscribe({ filter: ALL, queueCountMax: 2, onReady: () => {} });
    const batch = new FlowBatch(ORIGIN);
    batch.addLost(7);
    stream.push(batch.take());
    expect(one?.take()).toEqual({ flows: [], lostCount: 7 });
    expect(stream.lostCount).toBe(0);
  });

  it('keeps the last ones, in order of time, only when it is told to', () => {
    const { stream } = streaming({ ringCountMax: 4 });
    expect(stream.isWanted).toBe(true);
    for (const batch of [batchOf(1, 2), batchOf(5), batchOf(3, 4), batchOf(6)]) stream.push(batch);
    expect(bytesIn(stream.last(3))).toEqual([4, 5, 6]);
    expect(bytesIn(stream.last(100))).toEqual([3, 4, 5, 6]);
    expect(stream.last(0)).toEqual([]);
    const { stream: forgetful } = streaming();
    forgetful.push(batchOf(1));
    expect(forgetful.last(10)).toEqual([]);
  });

  it('decodes no more of them than are asked for, and some that may cross', () => {
    const { stream, errors } = streaming({ ringCountMax: 1000 });
    const damaged = Buffer.from(batchOf(1));
    damaged[damaged.length - 1] = 0xff;
    stream.push(damaged.subarray(0, -1));
    for (let i = 2; i < 100; i++) stream.push(batchOf(i));
    expect(bytesIn(stream.last(2))).toEqual([98, 99]);
    expect(errors).toEqual([]);
    expect(stream.last(1000)).toEqual([]);
    expect(errors).toHaveLength(1);
  });

  it('goes on after bytes that are no batch', () => {
    const { stream, errors } = streaming();
    const one = stream.subscribe({ filter: ALL, queueCountMax: 9, onReady: () => {} });
    stream.push(new Uint8Array([9, 9, 9, 9, 9, 9]));
    stream.push(batchOf(1));
    expect(errors).toHaveLength(1);
    expect(bytesIn(one?.take().flows ?? [])).toEqual([1]);
  });

  it('tells who follows that it has ended, once', () => {
    const { stream } = streaming();
    let told = 0;
    const one = stream.subscribe({ filter: ALL, queueCountMax: 9, onReady: () => told++ });
    stream.push(batchOf(1));
    stream.end();
    expect([told, one?.isEnded]).toEqual([2, true]);
    expect(bytesIn(one?.take().flows ?? [])).toEqual([1]);
    stream.push(batchOf(2));
    expect(one?.take().flows).toEqual([]);
    expect(stream.subscribe({ filter: ALL, queueCountMax: 1, onReady: () => {} })).toBeNull();
  });
});
