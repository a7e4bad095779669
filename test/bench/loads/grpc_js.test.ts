/** Real gRPC clients take what the origin of the benchmarks answers, and count what is not as expected. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GrpcOptions, grpcLoad } from '../../../bench/loads/grpc_js.ts';
import { CONTENT, startOrigin } from '../../../bench/subjects/origin.ts';
import type { Subject } from '../../../bench/subjects/subject.ts';

const SECONDS = 0.3;
const OK = 0;
const PERMISSION_DENIED = 7;

let directory = '';
let origin: Subject;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  origin = await startOrigin({ directory, version: 'h2', place: 'other' });
});

afterAll(async () => {
  await origin.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('a load by grpc-js', () => {
  const load: Omit<GrpcOptions, 'method' | 'kind'> = {
    connections: 2,
    calls: 3,
    expectedStatus: OK,
  };

  it.each([
    ['unary', '/bench.Echo/Unary', 1],
    ['server-stream', '/bench.Echo/Stream', 100],
  ] as const)('%s: every call has its status and its messages', async (kind, method, count) => {
    const result = await grpcLoad({ ...load, method, kind }).run(origin.url, SECONDS);
    expect(result.requests).toBeGreaterThanOrEqual(6);
    expect(result.failures).toBe(0);
    expect(result.contentBytes).toBe(result.requests * count * CONTENT.length);
    expect(result.latency?.p50Ms).toBeGreaterThan(0);
  });

  it('counts a call that ends with another status as failed', async () => {
    const options = { ...load, method: '/bench.Echo/Unary', kind: 'unary' } as const;
    const run = grpcLoad({ ...options, expectedStatus: PERMISSION_DENIED });
    const result = await run.run(origin.url, SECONDS);
    expect(result.failures).toBe(result.requests);
  });
});
