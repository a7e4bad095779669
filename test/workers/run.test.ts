/** `bin/sallyport run` as its users meet it: start, signals, reload, workers that die. */
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { Agent } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { ENDPOINTS, get, type Line, policyOf, Scratch } from './running.ts';

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  await scratch.dispose();
});

describe('start', () => {
  it('says ready with the ports that were bound, judges, and drains on SIGTERM with exit 0', async () => {
    const config = scratch.config({ upstream: await scratch.origin() });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    expect(await get(port, '/ok')).toEqual({ status: 200, text: '/ok' });
    expect(await get(port, '/no')).toEqual({ status: 403, text: 'Access denied\r\n' });
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    expect(proxy.stderr).toBe('');
    const verdicts = proxy.lines().flatMap((line) => line['verdict'] ?? []);
    expect(verdicts).toEqual(['forwarded', 'denied']);
  });

  it('serves all workers on one port', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 3' });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    const replies = await Promise.all(Array.from({ length: 24 }, () => get(port, '/ok')));
    expect(replies.every(({ status }) => status === 200)).toBe(true);
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    expect(proxy.lines().filter((line) => line['verdict'] === 'forwarded').length).toBe(24);
  });

  it('takes flags over the environment over the file', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 1' });
    const log = scratch.write('access.log', '');
    const proxy = scratch.run(['run', '-c', config, '--workers', '2'], {
      SALLYPORT_WORKERS: '3',
      SALLYPORT_ACCESS_LOG_TO: log,
    });
    const port = await proxy.port();
    expect(await proxy.message('ready')).toMatchObject({ workers: 2 });
    await get(port, '/ok');
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    expect(JSON.parse(readFileSync(log, 'utf8'))).toMatchObject({ verdict: 'forwarded' });
  });
});

describe('a proxy that starts beside the one before', () => {
  it('serves with it, then alone, and takes over the admin address', async () => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const admin = join(scratch.dir, 'admin.sock');
    const config = scratch.config({
      upstream: await scratch.origin(500),
      address: `127.0.0.1:${port}`,
    });
    const text = readFileSync(config, 'utf8').replace(
      /^( *)identity: 43$/m,
      '$1identity: 43\n$1reusePort: true',
    );
    scratch.write('config.yaml', `admin: unix:${admin}\n${text}`);
    scratch.write('policies/api.yaml', policyOf('/ok', '/slow'));
    const first = scratch.run(['run', '-c', config]);
    await first.port();
    const second = scratch.run(['run', '-c', config]);
    expect(await second.message('ready')).toMatchObject({ admin: null });
    const slow = Array.from({ length: 8 }, () => get(port, '/slow'));
    await Promise.all(Array.from({ length: 16 }, () => get(port, '/ok')));
    first.signal('SIGTERM');
    expect(await Promise.all(slow)).toEqual(slow.map(() => ({ status: 200, text: '/slow' })));
    expect(await first.ended).toBe(0);
    expect(await second.message('admin: listening')).toMatchObject({ admin: `unix:${admin}` });
    expect(await get(port, '/ok')).toEqual({ status: 200, text: '/ok' });
    second.signal('SIGTERM');
    expect(await second.ended).toBe(0);
    const served = (proxy: { lines(): readonly Line[] }): number =>
      proxy.lines().filter((line) => line['verdict'] === 'forwarded').length;
    expect(served(first) + served(second)).toBe(25);
    expect(Math.min(served(first), served(second))).toBeGreaterThan(0);
  });

  it('that shares its port with nobody is told that it is in use', async () => {
    const config = scratch.config({ upstream: 1 });
    const first = scratch.run(['run', '-c', config]);
    const port = await first.port();
    const other = scratch.run([
      'run',
      '-c',
      scratch.config({ upstream: 1, address: `127.0.0.1:${port}` }),
    ]);
    expect(await other.ended).toBe(1);
    expect(other.stderr).toContain('the port is in use by another program');
  });
});

describe('a start that fails', () => {
  it('because the port is in use is exit 1 and one line', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const config = scratch.config({ upstream: 1, address: `127.0.0.1:${port}` });
    const proxy = scratch.run(['run', '-c', config]);
    expect(await proxy.ended).toBe(1);
    expect(proxy.stderr).toBe(
      `sallyport: listener api: 127.0.0.1:${port}: the port is in use by another program\n`,
    );
    await new Promise((resolve) => other.close(resolve));
  });

  it('because policies are rejected is exit 1 with every problem, file and line', async () => {
    scratch.write('policies/wrong.yaml', policyOf('/x').replace('endpointSelector', 'endpoint'));
    const proxy = scratch.run(['run', '-c', scratch.config({ upstream: 1 })]);
    expect(await proxy.ended).toBe(1);
    expect(proxy.stderr).toMatch(/policies\/wrong\.yaml:6:/);
    expect(proxy.stdout).not.toContain('"msg":"ready"');
  });

  it('because a policy path does not exist is exit 1', async () => {
    const config = scratch.config({ upstream: 1 });
    const proxy = scratch.run(['run', '-c', config, '-p', 'nowhere']);
    expect(await proxy.ended).toBe(1);
    expect(proxy.stderr).toMatch(/^sallyport: cannot read .*nowhere: .*\n$/);
  });

  it('because the access log cannot be opened is exit 1', async () => {
    const config = scratch.config({ upstream: 1 });
    const proxy = scratch.run(['run', '-c', config, '--access-log', 'nowhere/access.log']);
    expect(await proxy.ended).toBe(1);
    expect(proxy.stderr).toMatch(
      /^sallyport: access log .*access\.log: cannot be opened \(ENOENT\)\n$/,
    );
  });

  it('because the configuration is wrong is exit 2 and one line', async () => {
    const path = scratch.write('config.yaml', 'listeners: []\nworkers: 0\n');
    const proxy = scratch.run(['run', '-c', path]);
    expect(await proxy.ended).toBe(2);
    expect(proxy.stderr).toMatch(
      /^sallyport: .*config\.yaml:1:12: listeners: .* \(and 1 more.*\)\n$/,
    );
    const all = scratch.run(['run', '-c', path, '--check-config']);
    expect(await all.ended).toBe(2);
    expect(all.stderr.trimEnd().split('\n').length).toBe(2);
  });
});

describe('a change of policy', () => {
  it('of the files applies to all workers without a signal', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    expect((await get(port, '/new')).status).toBe(403);
    scratch.write('policies/api.yaml', policyOf('/new'));
    await proxy.line((line) => line['msg'] === 'policy in force' && line['revision'] === 2);
    const statuses = await Promise.all(
      Array.from({ length: 8 }, async () => [
        (await get(port, '/new')).status,
        (await get(port, '/ok')).status,
      ]),
    );
    expect(statuses).toEqual(Array.from({ length: 8 }, () => [200, 403]));
  });

  it('that is wrong leaves the last good set in force and is told with every problem', async () => {
    const config = scratch.config({ upstream: await scratch.origin() });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    scratch.write('policies/api.yaml', policyOf('/new', '"["'));
    const rejected = await proxy.message('policy rejected; the last good set stays in force');
    expect(JSON.stringify(rejected['problems'])).toMatch(/api\.yaml:\d+/);
    expect((await get(port, '/ok')).status).toBe(200);
    scratch.write('policies/api.yaml', policyOf('/new'));
    await proxy.line((line) => line['msg'] === 'policy in force' && line['revision'] === 2);
    expect((await get(port, '/new')).status).toBe(200);
  });

  it('again and again loses no request and lets none through that no set allows', async () => {
    const more = 'workers: 2\naccessLog: { to: none }';
    const config = scratch.config({ upstream: await scratch.origin(), more });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    const statuses = new Map<string, Set<number>>();
    const inForceCount = (): number =>
      proxy.lines().filter((line) => line['msg'] === 'policy in force').length;
    // How many requests go by while one set is read is the machine's affair.
    for (let flip = 0; flip < 12 || (inForceCount() < 3 && flip < 300); flip++) {
      scratch.write('policies/api.yaml', policyOf('/ok', flip % 2 === 0 ? '/a' : '/b'));
      proxy.signal('SIGHUP');
      const paths = Array.from({ length: 8 }, () => ['/ok', '/no']).flat();
      const replies = await Promise.all(
        paths.map(async (path) => [path, (await get(port, path, agent)).status] as const),
      );
      for (const [path, status] of replies) {
        statuses.set(path, (statuses.get(path) ?? new Set()).add(status));
      }
    }
    agent.destroy();
    expect(Object.fromEntries([...statuses].map(([path, found]) => [path, [...found]]))).toEqual({
      '/ok': [200],
      '/no': [403],
    });
    expect(inForceCount()).toBeGreaterThan(2);
  });

  it('SIGHUP reads again, and names what needs a restart', async () => {
    const upstream = await scratch.origin();
    const more = 'workers: 1\nlogLevel: info';
    const config = scratch.config({ upstream, more });
    const proxy = scratch.run(['run', '-c', config]);
    await proxy.port();
    scratch.config({ upstream, more: 'workers: 2\nlogLevel: debug' });
    proxy.signal('SIGHUP');
    const line = await proxy.message('configuration changed; restart to apply');
    expect(line['fields']).toEqual(['workers']);
    await proxy.message('log level changed');
    await proxy.message('sources read; nothing changed');
  });
});

describe('a worker that is killed', () => {
  it('is started again with the set in force, the other one goes on', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    scratch.write('policies/api.yaml', policyOf('/new'));
    await proxy.line((line) => line['msg'] === 'policy in force' && line['revision'] === 2);
    const ready = await proxy.message('ready');
    const [pid] = ready['workerPids'] as readonly number[];
    process.kill(Number(pid), 'SIGKILL');
    expect(await proxy.message('worker died')).toMatchObject({ worker: 0, how: 'signal SIGKILL' });
    await proxy.message('worker restarted');
    const replies = await Promise.all(Array.from({ length: 16 }, () => get(port, '/new')));
    expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 200));
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
  });
});

describe('a worker that hangs', () => {
  it('is killed and started again; until then nobody says that the proxy lives', async () => {
    const limits =
      'limits: { reloadDelayMs: 10, workerHeartbeatIntervalMs: 100, workerSilenceTimeoutMs: 3s }';
    const config = scratch.config({ upstream: await scratch.origin() });
    const text = readFileSync(config, 'utf8').replace(/^limits: .*$/m, limits);
    scratch.write('config.yaml', `admin: 127.0.0.1:0\n${text}`);
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    const { admin, workerPids } = await proxy.message('ready');
    const adminPort = Number(String(admin).split(':').at(-1));
    expect((await get(adminPort, '/healthz/live')).status).toBe(200);
    process.kill(Number((workerPids as readonly number[])[0]), 'SIGSTOP');
    await expect
      .poll(() => get(adminPort, '/healthz/live'), { timeout: 20_000 })
      .toEqual({ status: 503, text: 'no worker answers\n' });
    await proxy.message('worker hangs; it is killed');
    expect(await proxy.message('worker died')).toMatchObject({
      how: 'no sign of life for 3000 ms',
    });
    await proxy.message('worker restarted');
    expect((await get(port, '/ok')).status).toBe(200);
    await expect
      .poll(async () => (await get(adminPort, '/healthz/live')).status, { timeout: 20_000 })
      .toBe(200);
    const metrics = (await get(adminPort, '/metrics')).text;
    expect(metrics).toMatch(/^sallyport_worker_hangs_total 1$/m);
  });
});

describe('the end', () => {
  it('a drain lets a request finish', async () => {
    const config = scratch.config({ upstream: await scratch.origin(300) });
    scratch.write('policies/api.yaml', policyOf('/slow', '/ok'));
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    const slow = get(port, '/slow');
    await get(port, '/ok');
    proxy.signal('SIGTERM');
    expect(await slow).toEqual({ status: 200, text: '/slow' });
    expect(await proxy.ended).toBe(0);
  });

  it('a second signal ends at once', async () => {
    const config = scratch.config({ upstream: await scratch.origin(60_000) });
    scratch.write('policies/api.yaml', policyOf('/slow', '/ok'));
    const proxy = scratch.run(['run', '-c', config, '--set', 'limits.drainTimeoutMs=1h']);
    const port = await proxy.port();
    const slow = get(port, '/slow');
    await get(port, '/ok');
    proxy.signal('SIGTERM');
    await proxy.message('draining');
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    expect((await slow).status).toBe(0);
  });

  it('of the supervisor is the end of its workers', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    const pids = (await proxy.message('ready'))['workerPids'] as readonly number[];
    await proxy.kill();
    await until(() => !pids.some(isAlive));
    expect((await get(port, '/ok')).status).toBe(0);
  });
});

describe('the access log on stdout', () => {
  it('has whole lines from all workers, one a request', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
    const long = `/${'x'.repeat(8000)}`;
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    await Promise.all(Array.from({ length: 60 }, () => get(port, long)));
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    const records = proxy.lines().filter((line: Line) => line['verdict'] === 'denied');
    expect(records.length).toBe(60);
  });

  it('that nobody reads stops nothing, and what is read later is whole lines', async () => {
    const config = scratch.config({ upstream: await scratch.origin() });
    const small = 'limits.accessLogBufferBytesMax=64KiB';
    const proxy = scratch.run(['run', '-c', config, '--set', small]);
    const port = await proxy.port();
    proxy.child.stdout?.pause();
    const long = `/${'x'.repeat(8000)}`;
    for (let round = 0; round < 10; round++) {
      const replies = await Promise.all(Array.from({ length: 20 }, () => get(port, long)));
      expect(replies.every(({ status }) => status === 403)).toBe(true);
    }
    proxy.child.stdout?.resume();
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    const records = proxy.lines().filter((line) => line['verdict'] === 'denied');
    expect(records.length).toBeGreaterThan(0);
    expect(records.length).toBeLessThan(200);
  });

  it('to a file goes on in a new file after SIGUSR1', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
    const log = join(scratch.dir, 'access.log');
    const proxy = scratch.run(['run', '-c', config, '--access-log', log, '--log-level', 'warn']);
    const port = await proxy.port();
    await get(port, '/first');
    await until(() => recordsOf(log).length === 1);
    renameSync(log, `${log}.1`);
    proxy.signal('SIGUSR1');
    await until(() => existsSync(log));
    // One worker opens it a moment after the other: ask until a record is in the new file.
    await until(async () => {
      await get(port, '/second');
      return recordsOf(log).length > 0;
    });
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    expect(recordsOf(`${log}.1`)[0]).toMatchObject({ http: { path: '/first' } });
    expect(recordsOf(log)[0]).toMatchObject({ http: { path: '/second' } });
    expect(proxy.stderr).toBe('');
  });

  it('endpoints are read again too', async () => {
    const config = scratch.config({ upstream: await scratch.origin() });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    scratch.write('endpoints.yaml', ENDPOINTS.replace('app: client', 'app: stranger'));
    await proxy.line((line) => line['msg'] === 'policy in force' && line['revision'] === 2);
    expect((await get(port, '/ok')).status).not.toBe(200);
  });
});

function recordsOf(path: string): readonly Line[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line) as Line);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
