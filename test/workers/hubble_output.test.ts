/** Hubble's metrics and exports of the real command: two workers, a scraper, files, and what cannot be. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { get, portOf, Scratch } from './running.ts';

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  await scratch.dispose();
});

async function running(hubble: readonly string[]) {
  const more = [
    'workers: 2',
    'admin: 127.0.0.1:0',
    'accessLog: { to: none }',
    'hubble:',
    ...hubble.map((line) => `  ${line}`),
  ].join('\n');
  const config = scratch.config({ upstream: await scratch.origin(), more });
  const proxy = scratch.run(['run', '-c', config, '--set', 'limits.hubbleExportReloadMs=100']);
  const ready = await proxy.message('ready');
  const admin = Number(String(ready['admin']).split(':').at(-1));
  const ended = async (): Promise<void> => {
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    expect(proxy.stderr).toBe('');
  };
  return { proxy, port: portOf(ready), admin, ended };
}

it('requests of all workers are counted, allowed and denied, with what was asked for', async () => {
  const { proxy, port, ended } = await running([
    'metrics:',
    '  address: 127.0.0.1:0',
    '  enabled: ["httpV2:labelsContext=destination_pod", drop, "policy:sourceContext=app"]',
  ]);
  const [address = ''] = (await proxy.message('hubble: serving flows'))['hubble'] as string[];
  const metricsPort = Number(/:(\d+)\/metrics$/.exec(address)?.[1]);
  for (let i = 0; i < 6; i++) expect((await get(port, '/ok')).status).toBe(200);
  expect((await get(port, '/no')).status).toBe(403);
  const text = async (): Promise<string> => (await get(metricsPort, '/metrics')).text;
  const lines = [
    'hubble_http_requests_total{destination_pod="api",method="GET",protocol="HTTP/1.1",status="200",reporter="server"} 6',
    'hubble_drop_total{reason="DROP_REASON_UNKNOWN",protocol="HTTP"} 1',
    'hubble_policy_verdicts_total{source="client",direction="ingress",match="l7/http",action="dropped"} 1',
  ];
  await until(async () => {
    const told = await text();
    return lines.every((line) => told.includes(line));
  });
  expect((await get(metricsPort, '/')).status).toBe(404);
  await ended();
});

it('the port of the metrics is taken over from who has it', async () => {
  const before = createServer();
  const taken = await new Promise<number>((resolve) => {
    before.listen(0, '127.0.0.1', () => resolve((before.address() as AddressInfo).port));
  });
  const { proxy, ended } = await running([
    'metrics:',
    `  address: 127.0.0.1:${taken}`,
    '  enabled: [flow]',
  ]);
  const told = (text: string): boolean =>
    proxy.lines().some(({ problem }) => String(problem).includes(text));
  await until(() => told('it is tried again'));
  await new Promise((resolve) => before.close(resolve));
  await until(() => told(`metrics: now at 127.0.0.1:${taken}`));
  expect((await get(taken, '/metrics')).text).toContain('hubble_lost_events_total');
  await ended();
});

it('flows are written to files, as a file asks for while it runs, and what cannot be is told', async () => {
  const folder = scratch.dir;
  const path = (name: string): string => join(folder, name);
  const dynamic = (fields: string): void =>
    writeFileSync(
      path('flowlogs.yaml'),
      `flowLogs:\n  - { name: denied, filePath: ${path('denied.log')}, ${fields} }\n`,
    );
  dynamic('includeFilters: [{ verdict: [DROPPED] }]');
  const { proxy, port, admin, ended } = await running([
    'export:',
    `  file: ${path('flows.log')}`,
    '  fieldMask: [verdict, Summary, node_name]',
    `  dynamic: ${path('flowlogs.yaml')}`,
  ]);
  await until(() => existsSync(path('denied.log')));
  expect((await get(port, '/ok')).status).toBe(200);
  expect((await get(port, '/no?token=secret')).status).toBe(403);
  await until(() => lines(path('flows.log')).length === 4);
  await until(() => lines(path('denied.log')).length === 1);
  const [first] = lines(path('flows.log'));
  expect(Object.keys((first as { flow: object }).flow).sort()).toEqual([
    ...['Summary', 'node_name', 'verdict'],
  ]);
  expect(lines(path('denied.log'))).toMatchObject([
    { flow: { verdict: 'DROPPED', source: { namespace: 'default' } } },
  ]);
  expect(readFileSync(path('flows.log'), 'utf8')).not.toContain('secret');
  dynamic('fieldMask: [no_such]');
  await until(() => proxy.lines().some(({ problem }) => String(problem).includes('"no_such"')));
  await until(async () => {
    const { text } = await get(admin, '/metrics');
    return (
      text.includes('sallyport_hubble_export_lines_total{result="written"} 5') &&
      text.includes('sallyport_hubble_export_configured 0')
    );
  });
  await ended();
});

function lines(path: string): unknown[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
