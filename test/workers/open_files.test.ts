/** File descriptors: a client that takes all it can get takes none that others, or the admin server, need. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { descriptorsFor, limitsWithin } from '../../src/model/descriptors.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { parseOpenFileCountMax } from '../../src/platform/open_files.ts';
import { get, ROOT, type Sallyport, Scratch } from './running.ts';

describe('the bound', () => {
  it('is what the descriptors suffice for, or what is set if that is less', () => {
    for (const countMax of [1, 100, 128, 131, 1024, 20_000, 1_048_576]) {
      const { connectionCountMax } = limitsWithin(DEFAULT_LIMITS, countMax);
      expect(connectionCountMax).toBeGreaterThanOrEqual(1);
      const limits = { ...DEFAULT_LIMITS, connectionCountMax };
      if (connectionCountMax > 1) expect(descriptorsFor(limits)).toBeLessThanOrEqual(countMax);
      const more = { ...limits, connectionCountMax: connectionCountMax + 1 };
      const isAsSet = connectionCountMax === DEFAULT_LIMITS.connectionCountMax;
      if (!isAsSet) expect(descriptorsFor(more)).toBeGreaterThan(countMax);
    }
  });

  it('leaves sockets for DNS questions where they are served', () => {
    for (const countMax of [1, 1024, 20_000, 1_048_576]) {
      const limits = limitsWithin(DEFAULT_LIMITS, countMax, true);
      const { dnsQuestionCountMax, connectionCountMax } = limits;
      expect(dnsQuestionCountMax).toBeLessThanOrEqual(Math.max(1, countMax / 4));
      if (connectionCountMax > 1) {
        expect(descriptorsFor(limits) + dnsQuestionCountMax).toBeLessThanOrEqual(countMax);
      }
    }
    expect(limitsWithin(DEFAULT_LIMITS, 1_048_576, true)).toEqual(DEFAULT_LIMITS);
  });

  it('stays as set where it suffices, and where it is not known', () => {
    const enough = descriptorsFor(DEFAULT_LIMITS);
    expect(limitsWithin(DEFAULT_LIMITS, enough)).toBe(DEFAULT_LIMITS);
    expect(limitsWithin(DEFAULT_LIMITS, enough - 1)).not.toBe(DEFAULT_LIMITS);
    expect(limitsWithin(DEFAULT_LIMITS, null)).toBe(DEFAULT_LIMITS);
  });

  it.each([
    ['Max open files            1024                 1048576              files     \n', 1024],
    ['Max open files            unlimited            unlimited            files     \n', null],
    ['Max processes             7                    7                    processes \n', null],
    ['', null],
  ])('of %j is %j', (text, count) => {
    expect(parseOpenFileCountMax(`Limit  Soft Limit\n${text}`)).toBe(count);
  });
});

const BIN = join(ROOT, 'bin/sallyport');
const OPEN_FILES = 260;
const scratches: Scratch[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(scratches.splice(0).map((scratch) => scratch.dispose()));
});

describe('a proxy with few file descriptors', () => {
  it('says how many connections they suffice for, and shares these', {
    timeout: 60_000,
  }, async () => {
    const { proxy, port, admin } = await start();
    const warning = await proxy.line(({ open_files_max: count }) => count === OPEN_FILES);
    expect(warning).toMatchObject({ connection_count_max: 10_000, allowed: 44 });
    expect(warning['msg']).toMatch(
      /260 open files.*44 connections.*10000.*raise it to 30128.*ulimit -n/,
    );
    await fill(port, 2 * OPEN_FILES, 'GET /ok HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await asked(port, 20)).toEqual(new Array(20).fill(200));
    expect(await live(admin)).toBe(200);
    expect(proxy.lines().filter(({ msg }) => msg === 'internal error')).toEqual([]);
  });

  it('goes on after there was none left at all', { timeout: 60_000 }, async () => {
    const { proxy, port, admin } = await start();
    const worker = workerOf(proxy);
    const used = readdirSync(`/proc/${worker}/fd`).length;
    // The first may connect upstream, those after it are not even accepted.
    setSoftLimit(worker, used + 3);
    await fill(port, 40, 'GET /ok HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await live(admin)).toBe(200);
    for (const socket of sockets.splice(0)) socket.destroy();
    setSoftLimit(worker, OPEN_FILES);
    // Memory could not be told either meanwhile: requests get 503 until it is looked at again.
    await expect.poll(() => asked(port, 1), { timeout: 30_000 }).toEqual([200]);
    expect(await asked(port, 5)).toEqual(new Array(5).fill(200));
    expect(workerOf(proxy)).toBe(worker);
    expect(proxy.lines().filter(({ msg }) => msg === 'worker died')).toEqual([]);
  });
});

async function start(): Promise<{ proxy: Sallyport; port: number; admin: string }> {
  const scratch = new Scratch();
  scratches.push(scratch);
  const more = 'workers: 1\nadmin: 127.0.0.1:0\naccessLog: { to: none }';
  const config = scratch.config({ upstream: await scratch.origin(), more });
  const limited = `ulimit -n ${OPEN_FILES} && exec "$0" "$@"`;
  const proxy = scratch.run(['-c', limited, BIN, 'run', '-c', config], {}, '/bin/sh');
  const ready = await proxy.message('ready');
  return { proxy, port: await proxy.port(), admin: String(ready['admin']) };
}

function workerOf({ child }: Sallyport): number {
  const task = `/proc/${child.pid}/task/${child.pid}/children`;
  return Number(readFileSync(task, 'latin1').trim().split(' ')[0]);
}

function setSoftLimit(pid: number, count: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${count}:`]);
}

/** Connections of one client, each of which has sent `bytes` and been answered, or refused. */
async function fill(port: number, count: number, bytes: string): Promise<void> {
  const settled = Array.from({ length: count }, async () => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.66' });
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write(bytes);
    await new Promise<void>((resolve) => {
      socket.once('data', () => resolve());
      socket.once('close', () => resolve());
    });
  });
  await Promise.all(settled);
}

/** Statuses of requests by another client, each on a connection of its own. */
async function asked(port: number, count: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) {
    statuses.push(
      await new Promise<number>((resolve) => {
        const options = { host: '127.0.0.1', localAddress: '127.0.0.7', port, path: '/ok' };
        const outgoing = request({ ...options, agent: false }, (reply) => {
          reply.resume();
          reply.on('end', () => resolve(reply.statusCode ?? 0));
        });
        outgoing.on('error', () => resolve(0));
        outgoing.end();
      }),
    );
  }
  return statuses;
}

async function live(admin: string): Promise<number> {
  return (await get(Number(admin.split(':').at(-1)), '/healthz/live')).status;
}
