/** The composition root with its workers in this process. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { askAdmin, get, policyOf, Scratch } from './running.ts';

let scratch: Scratch;
let app: App | null = null;
let lines: string[] = [];

beforeEach(() => {
  scratch = new Scratch();
  lines = [];
});

afterEach(async () => {
  await app?.stop();
  await scratch.dispose();
});

describe('app', () => {
  it('starts, judges, answers the admin server, and drains', async () => {
    const { port, ask } = await started();
    expect((await get(port, '/ok')).status).toBe(200);
    expect((await get(port, '/no')).status).toBe(403);
    expect(await ask('/healthz/live')).toMatchObject({ status: 200 });
    expect(await ask('/healthz/ready')).toMatchObject({ status: 200, text: 'ready\n' });
    const metrics = await ask('/metrics');
    expect(metrics.text).toMatch(/^sallyport_http_requests_total\{.*status="403".*\} 1$/m);
    expect(metrics.text).toMatch(/^sallyport_access_log_dropped_total 7$/m);
    expect(metrics.text).toMatch(/^sallyport_workers\{state="listening"\} 1$/m);
    expect(JSON.parse((await ask('/status')).text)).toMatchObject({ ready: true, revision: 1 });
    expect(JSON.parse((await ask('/policies')).text)).toMatchObject({ policies: ['default/api'] });
    await app?.drain();
    expect((await get(port, '/ok')).status).toBe(0);
  });

  it('explains with the set in force', async () => {
    const { ask } = await started();
    const question = JSON.stringify({
      endpoint: 'default/api',
      remote: 'default/client',
      direction: 'ingress',
      port: 8080,
      http: { method: 'GET', path: '/new', authority: 'a.test', headers: [] },
    });
    const path = `/explain?request=${encodeURIComponent(question)}`;
    expect(JSON.parse((await ask(path)).text)).toMatchObject({ decision: { verdict: 'deny' } });
    scratch.write('policies/api.yaml', policyOf('/new'));
    await app?.reload();
    expect(JSON.parse((await ask(path)).text)).toMatchObject({ decision: { verdict: 'allow' } });
  });

  it('a set that is rejected is counted, told, and changes nothing', async () => {
    const { port, ask } = await started();
    scratch.write('policies/api.yaml', policyOf('/new').replace('toPorts', 'toPort'));
    await app?.reload();
    expect(lines.join('')).toMatch(/policy rejected; the last good set stays in force/);
    expect((await get(port, '/ok')).status).toBe(200);
    // Seen by the watch first, it is told again to who asks for a reload.
    expect((await ask('/metrics')).text).toMatch(
      /policy_updates_total\{result="rejected"\} [12]\n/,
    );
    scratch.write('policies/api.yaml', policyOf('/new'));
    await app?.reload();
    // The workers take a set up in turns with traffic.
    await expect.poll(async () => (await get(port, '/ok')).status).toBe(403);
  });

  it('a file that is empty, as while it is being written, changes nothing', async () => {
    const { port } = await started();
    expect((await get(port, '/no')).status).toBe(403);
    for (const name of ['policies/api.yaml', 'endpoints.yaml']) {
      scratch.write(name, '\n');
      await app?.reload();
      expect((await get(port, '/no')).status).toBe(403);
      expect((await get(port, '/ok')).status).toBe(200);
    }
    expect(lines.join('')).toMatch(/api\.yaml: is empty/);
  });

  it('that is told to end while it starts has ended when start returns', async () => {
    const made = make(await scratch.origin());
    const start = made.start();
    const drained = made.drain();
    expect(await start).toEqual({ kind: 'ended' });
    await drained;
    await made.ended;
  });

  it('an admin address in use is a start that fails', async () => {
    const { admin } = await started();
    const text = admin.replace('unix:', '');
    const other = make(await scratch.origin(), `admin: unix:${text}`);
    expect(await other.start()).toMatchObject({
      kind: 'failed',
      problems: [expect.stringContaining('in use by another program')],
    });
  });
});

async function started(): Promise<{
  port: number;
  admin: string;
  ask: (path: string) => Promise<{ status: number; text: string }>;
}> {
  const socketPath = join(scratch.dir, 'admin.sock');
  app = make(await scratch.origin(), `admin: unix:${socketPath}`);
  const result = await app.start();
  if (result.kind !== 'started') throw new Error(JSON.stringify(result));
  const port = result.listeners[0]?.address.port ?? 0;
  return { port, admin: result.admin ?? '', ask: (path) => askAdmin(socketPath, path) };
}

function make(upstream: number, more = 'workers: 1'): App {
  const path = scratch.config({ upstream, more: `${more}\naccessLog: { to: none }` });
  const flags = [{ flag: '--workers', field: 'workers', value: '1' }];
  const load = () => loadConfig({ path, env: {}, cwd: scratch.dir, flags });
  const loaded = load();
  if (loaded.kind === 'rejected') throw new Error(loaded.problems.join('\n'));
  return createApp(loaded.config, {
    load,
    version: '0.0.0',
    isInProcess: true,
    writeLines: (text) => lines.push(String(text)),
    droppedLineCount: () => 7,
  });
}
