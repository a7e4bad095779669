/**
 * The proxy as a user of its own, with CAP_NET_RAW and the group of the pins and nothing more: what it
 * does then, and what it says when one of the two is missing.
 */
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LAYOUT_VERSION } from '../../../src/redirect/layout.ts';
import { WEB_MAY_GET_OK } from './api_policy.ts';
import { ask, seeingOrigin } from './exchange.ts';
import { Command, RedirectRig } from './rig.ts';

const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const SET_UP_TIMEOUT_MS = 300_000;
const USER = 1337;
const API = ['10.4.0.1', 'fd04::1'] as const;
const WEB = ['10.4.0.2', 'fd04::2'] as const;

let rig: RedirectRig;
const proxies: Command[] = [];
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
    ],
    policies: [WEB_MAY_GET_OK],
    workers: 2,
  });
  for (const ip of API) {
    const server = seeingOrigin('api');
    await rig.pod('shop/api').netns.listen(server, { ip, port: 8080 });
    servers.push(server);
  }
  await rig.follow();
}, SET_UP_TIMEOUT_MS);

afterAll(async () => {
  for (const proxy of proxies) proxy.kill('SIGKILL');
  await Promise.all(proxies.map(({ ended }) => ended));
  for (const server of servers) server.close();
  await rig?.dispose();
}, SET_UP_TIMEOUT_MS);

describe('with CAP_NET_RAW and the group of the pins', () => {
  it('it serves both families, as the client to the server', async () => {
    const proxy = start({ group: USER, capabilities: ['net_raw'] });
    await proxy.until((line) => line['msg'] === 'ready');
    for (const [i, ip] of API.entries()) {
      const from = rig.pod('shop/web').netns;
      const allowed = await ask({ from, to: ip, port: 8080, path: '/ok' });
      if (allowed.kind !== 'answered') throw new Error(`it was ${allowed.kind}`);
      expect(allowed.status).toBe(200);
      expect(allowed.seen?.remote.split(' ')[0]).toBe(WEB[i]);
      expect(allowed.seen?.local).toBe(`${ip} 8080`);
      expect(await ask({ from, to: ip, port: 8080, path: '/no' })).toMatchObject({ status: 403 });
    }
  });

  it('it has no capability but that one', () => {
    const pid = proxies[0]?.pid;
    const status = rig.node.run(['sh', '-c', `cat /proc/${pid}/status`]);
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
    expect(effective).toBe((1 << 13).toString(16).padStart(16, '0'));
    expect(status).toMatch(new RegExp(`^Uid:\\s*${USER}\\s`, 'm'));
  });

  it('a worker that dies is registered again', async () => {
    const [proxy] = proxies;
    const ready = proxy?.lines().find((line) => line['msg'] === 'ready');
    const pids = ready?.['workerPids'] as readonly number[];
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await proxy?.until((line) => line['msg'] === 'worker restarted');
    const from = rig.pod('shop/web').netns;
    expect(await ask({ from, to: API[0], port: 8080, path: '/ok' })).toMatchObject({ status: 200 });
  });

  it('the next one takes over beside it, and the first goes without losing a request', async () => {
    const [first] = proxies;
    const from = rig.pod('shop/web').netns;
    const outcomes: string[] = [];
    let isRunning = true;
    const load = Array.from({ length: 4 }, async () => {
      while (isRunning) {
        const outcome = await ask({ from, to: API[0], port: 8080, path: '/ok' });
        outcomes.push(outcome.kind === 'answered' ? String(outcome.status) : outcome.kind);
      }
    });
    const second = start({ group: USER, capabilities: ['net_raw'] });
    await second.until((line) => line['msg'] === 'ready');
    first?.kill('SIGTERM');
    expect(await first?.ended).toBe(0);
    isRunning = false;
    await Promise.all(load);
    expect(outcomes.filter((outcome) => outcome !== '200')).toEqual([]);
    expect(outcomes.length).toBeGreaterThan(10);
    second.kill('SIGTERM');
    await second.ended;
  });

  it('one that took over and died leaves the node to the one before it', async () => {
    const first = start({ group: USER, capabilities: ['net_raw'] });
    await first.until((line) => line['msg'] === 'ready');
    const second = start({ group: USER, capabilities: ['net_raw'] });
    const ready = await second.until((line) => line['msg'] === 'ready');
    const from = rig.pod('shop/web').netns;
    second.kill('SIGKILL');
    for (const pid of ready['workerPids'] as readonly number[]) kill(pid);
    await second.ended;
    await first.until((line) => String(line['msg']).includes('taken again'));
    for (const ip of API) {
      expect(await ask({ from, to: ip, port: 8080, path: '/ok' })).toMatchObject({ status: 200 });
    }
    first.kill('SIGTERM');
    expect(await first.ended).toBe(0);
  });
});

describe('what it says when it may not', () => {
  it('without the capability', async () => {
    const proxy = start({ group: USER, capabilities: [] });
    expect(await proxy.ended).toBe(1);
    expect(proxy.output).toContain('needs CAP_NET_RAW or CAP_NET_ADMIN');
  });

  it('without the group', async () => {
    const proxy = start({ group: USER + 1, capabilities: ['net_raw'] });
    expect(await proxy.ended).toBe(1);
    expect(proxy.output).toMatch(/EACCES/);
    expect(proxy.output).toContain('redirect.group');
  });

  it('without the right to register', async () => {
    const pin = join(rig.pinRoot, `v${LAYOUT_VERSION}/maps/listeners`);
    const { mode } = statSync(pin);
    chmodSync(pin, 0o440);
    try {
      const proxy = start({ group: USER, capabilities: ['net_raw'] });
      expect(await proxy.ended).toBe(1);
      expect(proxy.output).toContain('redirect.group');
    } finally {
      chmodSync(pin, mode & 0o777);
    }
  });

  it('without the pins', async () => {
    const config = join(rig.dir, 'elsewhere.yaml');
    const root = join(rig.dir, 'bpf/nowhere');
    const text = readFileSync(join(rig.dir, 'config.yaml'), 'utf8');
    writeFileSync(config, text.replace(/^ {2}root: .*$/m, `  root: ${root}`));
    const proxy = start({ group: USER, capabilities: ['net_raw'], config });
    expect(await proxy.ended).toBe(1);
    expect(proxy.output).toContain('run `sallyport redirect up` first');
  });
});

/** It may be gone already: workers end with their supervisor. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone.
  }
}

function start(options: {
  readonly group: number;
  readonly capabilities: readonly string[];
  readonly config?: string;
}): Command {
  const { group, capabilities, config = join(rig.dir, 'config.yaml') } = options;
  const kept = ['-all', ...capabilities.map((name) => `+${name}`)].join(',');
  const proxy = new Command(
    rig.node.command([
      'setpriv',
      ...[`--reuid=${USER}`, `--regid=${group}`, '--clear-groups', '--no-new-privs'],
      ...[`--inh-caps=${kept}`, `--ambient-caps=${kept}`, `--bounding-set=${kept}`],
      ...[join(ROOT, 'bin/sallyport'), 'run', '-c', config],
    ]),
  );
  proxies.push(proxy);
  return proxy;
}
