/** Flows of the real command: two workers, one who follows, one who asks for what was. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { JsonLinesReader } from '../support/json_lines_reader.ts';
import { until } from '../support/until.ts';
import { get, type Line, portOf, type Sallyport, Scratch } from './running.ts';

let scratch: Scratch;
const readers: JsonLinesReader[] = [];

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  for (const reader of readers.splice(0)) reader.close();
  await scratch.dispose();
});

async function running(ringCount: number) {
  const more = [
    'workers: 2',
    'admin: 127.0.0.1:0',
    'accessLog: { to: none }',
    'logLevel: info',
  ].join('\n');
  const config = scratch.config({ upstream: await scratch.origin(), more });
  const proxy = scratch.run(['run', '-c', config, '--set', `limits.flowRingCountMax=${ringCount}`]);
  const ready = await proxy.message('ready');
  return { proxy, port: portOf(ready), admin: Number(String(ready['admin']).split(':').at(-1)) };
}

function reading(port: number, path: string): JsonLinesReader {
  const reader = new JsonLinesReader({ host: '127.0.0.1', port, path });
  readers.push(reader);
  return reader;
}

const pathOf = (flow: Line): unknown => (flow['http'] as Line | undefined)?.['path'];
const workersOf = (flows: readonly Line[]): number =>
  new Set(flows.map(({ id }) => String(id).replace(/-\d+$/, ''))).size;

/** Over connections of their own, until both workers had one. */
async function askUntilBoth(port: number, reader: JsonLinesReader): Promise<void> {
  for (let count = 0; workersOf(reader.lines) < 2; ) {
    const replies = await Promise.all(Array.from({ length: 8 }, () => get(port, '/ok')));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    count += 8;
    await reader.until(count);
  }
}

async function metricOf(admin: number, name: string): Promise<string | undefined> {
  const { text } = await get(admin, '/metrics');
  return text.split('\n').find((line) => line.startsWith(name));
}

async function ends(proxy: Sallyport): Promise<void> {
  proxy.signal('SIGTERM');
  expect(await proxy.ended).toBe(0);
  expect(proxy.stderr).toBe('');
}

it('who follows gets one flow for each request, of both workers, with names, and the end', async () => {
  const { proxy, port, admin } = await running(0);
  expect((await get(port, '/ok')).status).toBe(200);
  const reader = reading(admin, '/flows?follow=true');
  await reader.response;
  await askUntilBoth(port, reader);
  const askedCount = reader.lines.length;
  expect((await get(port, '/no')).status).toBe(403);
  await reader.until(askedCount + 1);
  const [last] = reader.lines.filter((flow) => pathOf(flow) === '/no');
  expect(last).toMatchObject({
    kind: 'Flow',
    origin: 'proxy',
    verdict: 'denied',
    reason: 'no-http-rule-matched',
    direction: 'ingress',
    source: {
      identity: 43,
      namespace: 'default',
      labels: expect.arrayContaining(['k8s:app=client']),
    },
    destination: { ip: '10.0.0.7', port: 8080, namespace: 'default', pod: 'api' },
    http: { method: 'GET', path: '/no', status: 403 },
  });
  expect(new Set(reader.lines.map(({ id }) => id)).size).toBe(askedCount + 1);
  expect(await metricOf(admin, 'sallyport_flows_dropped_total{at="worker"}')).toMatch(/ 0$/);
  await ends(proxy);
  await reader.untilEnded();
});

it('a worker that takes the place of a dead one sends flows, too', async () => {
  const { proxy, port, admin } = await running(0);
  const reader = reading(admin, '/flows?follow=true');
  await reader.response;
  const { worker_pids } = await proxy.message('ready');
  for (const pid of worker_pids as readonly number[]) process.kill(pid, 'SIGKILL');
  await until(() => proxy.lines().filter(({ msg }) => msg === 'worker restarted').length === 2);
  await askUntilBoth(port, reader);
  await ends(proxy);
});

it('what is kept can be asked for afterwards, and only then', async () => {
  const { proxy, port, admin } = await running(50);
  for (let i = 0; i < 5; i++) await get(port, i === 3 ? '/no' : '/ok');
  const last = async (): Promise<readonly Line[]> => {
    const reader = reading(admin, '/flows?last=5');
    await reader.untilEnded();
    return reader.lines;
  };
  await until(async () => (await last()).length === 5);
  expect((await last()).map(pathOf)).toEqual(['/ok', '/ok', '/ok', '/no', '/ok']);
  await ends(proxy);
});

it('what is not kept is not there', async () => {
  const { proxy, port, admin } = await running(0);
  await get(port, '/ok');
  expect(await get(admin, '/flows')).toMatchObject({
    status: 400,
    text: expect.stringContaining('flowRingCountMax'),
  });
  await ends(proxy);
});
