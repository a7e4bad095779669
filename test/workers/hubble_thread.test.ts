/** The thread that serves clients of Hubble, as the supervisor sees it: what it is sent, and what its end changes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, it, vi } from 'vitest';
import { DEFAULT_LIMITS as limits } from '../../src/model/limits.ts';
import { FlowBatch } from '../../src/observe/flow/wire/flow_batch.ts';
import { createLogger } from '../../src/observe/log/logger.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import { HubbleThread } from '../../src/workers/hubble_thread.ts';
import { flowCases } from '../hubble/flow/flow_cases.ts';
import { until } from '../support/until.ts';

const BASE = (flowCases[0] as (typeof flowCases)[0]).flow;
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function batchOf(count: number): Uint8Array {
  const batch = new FlowBatch(BASE);
  for (let number = 1; number <= count; number++) batch.add({ ...BASE, number });
  return batch.take();
}

async function started() {
  const folder = mkdtempSync(join(tmpdir(), 'hubble-thread-'));
  const posted = vi.spyOn(Worker.prototype, 'postMessage');
  const lines: string[] = [];
  const thread = new HubbleThread({
    data: {
      settings: {
        socket: { path: join(folder, 'hubble.sock'), group: null },
        tcp: null,
        ...{ announced: '', cluster: 'default', node: 'node-1' },
      },
      output: {
        metrics: {
          requests: [],
          address: { ip: '127.0.0.1', port: 0, family: 4 } as never,
          hasOpenMetrics: false,
        },
        export: {
          ...{ path: null, allow: [], deny: [], fieldMask: [], fileBytesMax: 1024 },
          ...{ backupCountMax: 0, isCompressed: false, dynamicPath: null },
        },
      },
      ...{ limits, version: '1.2.3' },
    },
    limits,
    log: createLogger({ level: 'info', write: (line) => lines.push(line) }),
    timers: nodePlatform().timers,
  });
  thread.start();
  cleanups.push(
    () => rmSync(folder, { recursive: true, force: true }),
    () => thread.stop(),
  );
  const servingCount = (): number => lines.filter((line) => line.includes('serving flows')).length;
  await until(() => servingCount() === 1);
  return { thread, posted, lines, servingCount };
}

it('is sent flows alone, not what else came from the worker with them', async () => {
  const { thread, posted } = await started();
  const batch = batchOf(2);
  const read = Buffer.alloc(64 * 1024);
  read.set(batch, 1000);
  const view = read.subarray(1000, 1000 + batch.length);
  thread.push(view);
  const [message, transferred] = posted.mock.calls.at(-1) ?? [];
  const { bytes } = message as { bytes: Uint8Array };
  expect(transferred).toEqual([bytes.buffer]);
  // Others read it, too.
  expect(Buffer.from(view).equals(batch)).toBe(true);
  expect(bytes.buffer).not.toBe(read.buffer);
});

it('that dies is started again, and tells its clients how many flows came meanwhile', async () => {
  const { thread, posted, lines, servingCount } = await started();
  thread.push(batchOf(1));
  const worker = posted.mock.contexts.at(-1) as Worker;
  await worker.terminate();
  thread.push(batchOf(3));
  expect(thread.lostCount).toBe(3);
  await until(() => servingCount() === 2);
  expect(lines.some((line) => line.includes('the thread ended; it starts again'))).toBe(true);
  thread.push(batchOf(1));
  expect(posted.mock.calls.slice(-2).map(([message]) => message)).toEqual([
    { kind: 'lost', count: 3 },
    expect.objectContaining({ kind: 'flows' }),
  ]);
  expect(thread.lostCount).toBe(3);
});
