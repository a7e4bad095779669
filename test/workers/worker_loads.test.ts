/** What each worker has to do shows, whichever of them the kernel gives a connection to. */
import { Agent, request } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkerLoadSummary } from '../../src/observe/metrics/summary.ts';
import { get, Scratch } from './running.ts';

let scratch: Scratch;
let socketPath = '';

beforeEach(() => {
  scratch = new Scratch();
  socketPath = join(scratch.dir, 'admin.sock');
});

afterEach(async () => {
  await scratch.dispose();
});

describe('of two workers', () => {
  it('the one with the only long connection has all of its streams', async () => {
    const port = await startTwo();
    const session = connect(`http://127.0.0.1:${port}`);
    const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOf(session)));
    expect(statuses).toEqual(Array.from({ length: 20 }, () => 403));
    const loads = Object.values(await workerLoads()).sort((a, b) => b.requests - a.requests);
    expect(loads).toMatchObject([
      { connectionsOpen: 1, streamsOpen: 0, requests: 20 },
      { connectionsOpen: 0, streamsOpen: 0, requests: 0 },
    ]);
    expect(loads.every(({ busySeconds }) => busySeconds > 0)).toBe(true);
    const metrics = await askAdmin('/metrics');
    const open = metrics.match(/^sallyport_worker_connections_open\{worker="[01]"\} [01]$/gm);
    expect(open?.map((line) => line.at(-1)).sort()).toEqual(['0', '1']);
    session.destroy();
  });

  it('each has its part of many connections, and both parts are the whole', async () => {
    const port = await startTwo();
    const agents = Array.from({ length: 32 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    for (const agent of agents) await get(port, '/no', agent);
    const { 0: first, 1: second, ...others } = await workerLoads();
    expect(others).toEqual({});
    // That a fair hash gives all to one happens once in two thousand million times.
    expect(first?.requests).toBeGreaterThan(0);
    expect(second?.requests).toBeGreaterThan(0);
    expect((first?.requests ?? 0) + (second?.requests ?? 0)).toBe(32);
    for (const agent of agents) agent.destroy();
  });
});

async function startTwo(): Promise<number> {
  const config = scratch.config({
    upstream: await scratch.origin(),
    more: `workers: 2\nadmin: unix:${socketPath}`,
  });
  return await scratch.run(['run', '-c', config]).port();
}

async function workerLoads(): Promise<Readonly<Record<string, WorkerLoadSummary>>> {
  return JSON.parse(await askAdmin('/status')).workerLoads;
}

function statusOf(session: ClientHttp2Session): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/no' });
    stream.on('response', (head) => {
      stream.resume();
      stream.on('end', () => resolve(head[':status'] ?? 0));
    });
    stream.on('error', reject);
  });
}

function askAdmin(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(text));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}
