/** `GET /flows` over real sockets: what was, what comes, and who is slow or gone. */
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { AdminServer } from '../../src/admin/admin_server.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { plainHead } from '../../src/model/request_head.ts';
import { FlowStream } from '../../src/observe/flow/flow_stream.ts';
import { FlowBatch } from '../../src/observe/flow/wire/flow_batch.ts';
import { ORIGIN } from '../observe/flow/any_flow.ts';
import { flowMaker } from '../observe/observing.ts';
import { address, deny, POLICY, record } from '../observe/records.ts';
import { JsonLinesReader } from '../support/json_lines_reader.ts';
import { until } from '../support/until.ts';
import { fakeBackend } from './fake_backend.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function started(ringCountMax: number, flowQueueCountMax = 4) {
  const demands: boolean[] = [];
  const flows = new FlowStream({
    ringCountMax,
    subscriberCountMax: 2,
    onDemand: (isWanted) => demands.push(isWanted),
    onError: (error) => {
      throw error;
    },
  });
  const server = new AdminServer({
    address: { kind: 'tcp', address: address('127.0.0.1:0') },
    allowRemote: false,
    limits: { ...DEFAULT_LIMITS, adminTimeoutMs: 300 },
    backend: fakeBackend({ flows, flowQueueCountMax }),
  });
  const start = await server.start();
  if (start.kind === 'failed') throw new Error(start.message);
  cleanups.push(() => server.stop());
  cleanups.push(() => flows.end());
  const port = Number(start.address.split(':').at(-1));
  const read = (path: string, method = 'GET'): JsonLinesReader => {
    const reader = new JsonLinesReader({ host: '127.0.0.1', port, path, method });
    cleanups.push(() => reader.close());
    return reader;
  };
  return { flows, demands, server, port, read };
}

function batchOf(...numbers: readonly number[]): Uint8Array {
  const batch = new FlowBatch(ORIGIN);
  const flow = flowMaker();
  flow.policyChanged(POLICY, []);
  for (const bytesIn of numbers) batch.add(flow.take(record({ bytesIn, endedAtMs: bytesIn })));
  return batch.take();
}

const numbers = (lines: readonly Record<string, unknown>[]) =>
  lines.map((line) => (line['kind'] === 'Flow' ? line['bytesIn'] : `${line['count']} lost`));

describe('the last flows', () => {
  it('are those that are kept, so many as are asked for', async () => {
    const { flows, read } = await started(100);
    flows.push(batchOf(...Array.from({ length: 30 }, (_, i) => i)));
    const whole = read('/flows?last=3');
    expect((await whole.response).headers['content-type']).toBe('application/jsonl; charset=utf-8');
    await whole.untilEnded();
    expect(numbers(whole.lines)).toEqual([27, 28, 29]);
    const usual = read('/flows');
    await usual.untilEnded();
    expect(usual.lines).toHaveLength(20);
  });

  it('say who, what and why', async () => {
    const { flows, read } = await started(1);
    const flow = flowMaker();
    flow.policyChanged(POLICY, []);
    const batch = new FlowBatch(ORIGIN);
    batch.add(flow.take(record({ verdict: 'denied', decision: deny(), status: 403 })));
    flows.push(batch.take());
    const reader = read('/flows');
    await reader.untilEnded();
    expect(reader.lines).toEqual([
      {
        apiVersion: 'sallyport.dev/v1',
        kind: 'Flow',
        id: 'instance-1',
        node: 'node-1',
        time: '2023-11-14T22:13:20.127Z',
        origin: 'proxy',
        verdict: 'denied',
        direction: 'ingress',
        source: {
          ip: '10.0.1.9',
          port: 40100,
          identity: 43,
          labels: ['k8s:app=client', 'k8s:io.kubernetes.pod.namespace=default'],
          namespace: 'default',
        },
        destination: {
          ip: '10.0.0.7',
          port: 8080,
          identity: 1001,
          labels: ['k8s:app=orders'],
          namespace: 'default',
          pod: 'orders',
        },
        transport: 'TCP',
        http: {
          version: 'HTTP/1.1',
          method: 'GET',
          scheme: 'http',
          host: 'orders:8080',
          path: '/orders/7',
          status: 403,
        },
        reason: 'no-http-rule-matched',
        layer: 'http',
        endpoint: 'default/orders',
        listener: 'api',
        proxyId: 0,
        connectionId: 12,
        identitySource: 'endpoints',
        responseSource: 'upstream',
        bytesIn: 120,
        bytesOut: 340,
        durationMs: 4.568,
        overheadMs: 0.052,
        revision: 3,
      },
    ]);
  });

  it.each([
    ['/flows', 0, /flowRingCountMax/],
    ['/flows?last=5&follow=true', 0, /flowRingCountMax/],
    ['/flows?last=many', 9, /last must be/],
    ['/flows?follow=maybe', 9, /follow must be/],
  ])('GET %s with %i kept is refused', async (path, ringCountMax, why) => {
    const { read } = await started(ringCountMax);
    const reader = read(path);
    expect((await reader.response).statusCode).toBe(400);
    await reader.untilEnded();
    expect(reader.text).toMatch(why);
  });
});

describe('flows that take too much for one reply', () => {
  it('are left out, the oldest first, and counted', async () => {
    const { flows, read } = await started(4000);
    const flow = flowMaker();
    flow.policyChanged(POLICY, []);
    const head = plainHead({ method: 'GET', authority: 'a.test', path: `/${'é'.repeat(1700)}` });
    for (let from = 0; from < 4000; from += 100) {
      const batch = new FlowBatch(ORIGIN);
      for (let i = from; i < from + 100; i++) {
        batch.add(flow.take(record({ head, bytesIn: i, endedAtMs: i })));
      }
      flows.push(batch.take());
    }
    const reader = read('/flows?last=4000');
    await reader.untilEnded();
    const [lost, ...told] = reader.lines;
    expect(lost?.['kind']).toBe('LostFlows');
    expect(Number(lost?.['count']) + told.length).toBe(4000);
    expect(told.length).toBeGreaterThan(2000);
    expect(told.map((line) => line['bytesIn'])).toEqual(
      Array.from({ length: told.length }, (_, i) => 4000 - told.length + i),
    );
    expect(reader.text.length).toBeLessThan(33 * 1024 * 1024);
  });
});

describe('who follows', () => {
  it('gets each of hundreds that come at once', async () => {
    const { flows, read } = await started(0, 1000);
    const reader = read('/flows?follow=true');
    await reader.response;
    flows.push(batchOf(...Array.from({ length: 700 }, (_, i) => i)));
    await reader.until(700);
    flows.end();
    await reader.untilEnded();
    expect(numbers(reader.lines)).toEqual(Array.from({ length: 700 }, (_, i) => i));
  });

  it('gets the last ones, then each that comes, none twice, and the end', async () => {
    const { flows, read } = await started(10);
    flows.push(batchOf(1, 2, 3));
    const reader = read('/flows?follow=true&last=2');
    await reader.until(2);
    flows.push(batchOf(4));
    flows.push(batchOf(5, 6));
    await reader.until(5);
    flows.end();
    await reader.untilEnded();
    expect(numbers(reader.lines)).toEqual([2, 3, 4, 5, 6]);
  });

  it('may hear nothing for longer than a request may take', async () => {
    const { flows, read } = await started(0);
    const reader = read('/flows?follow=true');
    await reader.response;
    const startedMs = performance.now();
    await until(() => performance.now() - startedMs > 3 * 300);
    flows.push(batchOf(1));
    expect(numbers(await reader.until(1))).toEqual([1]);
  });

  it('switches flows on, and off when it goes', async () => {
    const { demands, read } = await started(0);
    const reader = read('/flows?follow=true');
    await reader.response;
    expect(demands).toEqual([true]);
    reader.close();
    await until(() => demands.length === 2);
    expect(demands).toEqual([true, false]);
  });

  it('by HEAD gets the head, and switches nothing on for long', async () => {
    const { demands, read } = await started(0);
    const reader = read('/flows?follow=true', 'HEAD');
    expect((await reader.response).statusCode).toBe(200);
    await reader.untilEnded();
    expect(demands).toEqual([true, false]);
  });

  it('is one of so many', async () => {
    const { read } = await started(0);
    await Promise.all([read('/flows?follow').response, read('/flows?follow').response]);
    expect((await read('/flows?follow').response).statusCode).toBe(503);
  });

  it('that reads nothing loses flows, and is let go', async () => {
    const { flows, demands, port } = await started(0);
    const socket = connect({ host: '127.0.0.1', port });
    cleanups.push(() => {
      socket.destroy();
    });
    socket.write('GET /flows?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => demands.length === 1);
    const batch = batchOf(1, 2, 3, 4, 5, 6);
    await until(() => {
      for (let i = 0; i < 100; i++) flows.push(batch);
      return demands.length === 2;
    });
    expect(flows.lostCount).toBeGreaterThan(0);
    expect(demands).toEqual([true, false]);
  });

  it('that reads late is told how many it lost', async () => {
    const { flows, read } = await started(0);
    const reader = read('/flows?follow=true');
    await reader.response;
    flows.push(batchOf(1, 2, 3, 4, 5, 6));
    expect(numbers(await reader.until(5))).toEqual([1, 2, 3, 4, '2 lost']);
  });
});
