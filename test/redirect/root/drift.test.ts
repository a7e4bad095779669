/**
 * What somebody else takes away from a node that is up: `redirect status` tells, nothing passes the proxy
 * by, and the loader that follows puts it back.
 */
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LAYOUT_VERSION } from '../../../src/redirect/layout.ts';
import { until } from '../../support/until.ts';
import { WEB_MAY_GET_OK } from './api_policy.ts';
import { ask, ONE_LOOK, type Outcome, seeingOrigin } from './exchange.ts';
import { type Command, RedirectRig } from './rig.ts';

const SET_UP_TIMEOUT_MS = 300_000;
const REPAIR_MS = 3000;
const API = ['10.6.0.1', 'fd06::1'] as const;

let rig: RedirectRig;
let loader: Command;
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: ['10.6.0.2', 'fd06::2'], labels: { app: 'web' } },
      { name: 'shop/job', ips: ['10.6.0.3', 'fd06::3'], labels: { app: 'job' } },
    ],
    policies: [WEB_MAY_GET_OK],
  });
  const path = join(rig.dir, 'config.yaml');
  const config = readFileSync(path, 'utf8');
  const limits = `limits: { redirectRepairIntervalMs: ${REPAIR_MS}, `;
  writeFileSync(path, config.replace('limits: { ', limits));
  for (const ip of API) {
    const server = seeingOrigin('api');
    await rig.pod('shop/api').netns.listen(server, { ip, port: 8080 });
    servers.push(server);
  }
  loader = await rig.follow();
  await rig.proxy();
}, SET_UP_TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, SET_UP_TIMEOUT_MS);

interface Report {
  readonly isHealthy: boolean;
  readonly problems: readonly string[];
  readonly redirected: readonly Readonly<Record<string, unknown>>[];
  readonly refusals: readonly Readonly<Record<string, unknown>>[];
}

async function status(): Promise<Report> {
  const { code, output } = await rig.redirect('status', '-o', 'json');
  const report = JSON.parse(output) as Report;
  expect(code).toBe(report.isHealthy ? 0 : 1);
  return report;
}

function get(path: string, ip: string = API[0], from = 'shop/web'): Promise<Outcome> {
  return ask({ ...toApi(from, ip), path });
}

function toApi(from: string, to: string) {
  return { from: rig.pod(from).netns, to, port: 8080 };
}

const links = (): string => join(rig.pinRoot, `v${LAYOUT_VERSION}/links`);

describe('status of a node that is up', () => {
  it('finds nothing wrong, and tells what is redirected', async () => {
    expect(await get('/ok')).toMatchObject({ kind: 'answered', status: 200 });
    const { problems, redirected } = await status();
    expect(problems).toEqual([]);
    expect(redirected).toEqual([
      {
        endpoint: 'shop/api',
        direction: 'ingress',
        protocol: 'TCP',
        ports: '8080',
        remotes: ['app=web in shop'],
      },
    ]);
  });

  it('names who was refused', async () => {
    expect(await get('/ok', API[0], 'shop/job')).toEqual({ kind: 'reset' });
    const { refusals } = await status();
    expect(refusals).toContainEqual(
      expect.objectContaining({
        from: 'shop/job 10.6.0.3',
        to: 'shop/api 10.6.0.1',
        port: 8080,
        reason: 'denied-ingress',
      }),
    );
  });
});

describe('what somebody takes away', () => {
  it.each([
    ['the rule for marked packets', ['rule', 'del', 'priority', '90']],
    ['the route behind it', ['route', 'flush', 'table', '2005']],
  ])('%s: nothing passes the proxy by, and it comes back', async (_about, words) => {
    for (const [index, family] of ['-4', '-6'].entries()) {
      rig.node.run(['ip', family, ...words]);
      // Whatever becomes of it, the origin must not see what the proxy would refuse.
      const to = API[index] as string;
      const outcome = await ask({ ...toApi('shop/web', to), path: '/secret', ...ONE_LOOK });
      expect(outcome).not.toMatchObject({ status: 200 });
    }
    await until(async () => {
      const { problems } = await status();
      return problems.length === 0;
    });
    for (const ip of API) expect(await get('/ok', ip)).toMatchObject({ status: 200 });
  });

  it.each(['tcx_ingress_', 'tcx_egress_', 'lookup_'])(
    'a program (%s): told, and attached again',
    async (prefix) => {
      const name = readdirSync(links()).find((one) => one.startsWith(prefix)) as string;
      // It would put it back before anybody looks.
      loader.kill('SIGSTOP');
      unlinkSync(join(links(), name));
      const { problems } = await status();
      loader.kill('SIGCONT');
      expect(problems).toEqual([
        expect.stringMatching(/does not have our programs|is not attached/),
      ]);
      await until(async () => (await status()).problems.length === 0);
      expect(readdirSync(links())).toContain(name);
    },
  );

  it('every pin at once: judged again as soon as the loader looks', async () => {
    rmPins();
    await until(async () => (await status()).problems.length === 0);
    for (const ip of API) {
      expect(await get('/ok', ip)).toMatchObject({ status: 200 });
      expect(await get('/secret', ip)).toMatchObject({ status: 403 });
    }
  });

  it('by who takes it away for good: not while a loader follows', async () => {
    expect((await rig.redirect('up')).code).toBe(1);
    expect((await rig.redirect('down')).code).toBe(1);
    loader.kill('SIGTERM');
    expect(await loader.ended).toBe(0);
    expect((await rig.redirect('up')).code).toBe(0);
    expect((await status()).problems).toEqual([]);
    loader = await rig.follow();
  });

  it('an interface, made anew under its name and number: attached again', async () => {
    const { interface: name, netns, ips } = rig.pod('shop/job');
    const [{ ifindex }] = JSON.parse(rig.node.run(['ip', '-j', 'link', 'show', name])) as [
      { ifindex: number },
    ];
    rig.node.ip(
      `link del ${name}`,
      `link add ${name} index ${ifindex} type veth peer name eth0 netns ${netns.name}`,
      `link set ${name} up`,
    );
    await until(async () => (await status()).problems.length === 0);
    const attached = readdirSync(links()).filter((one) => one.endsWith(`_${ifindex}`));
    expect(attached.sort()).toEqual([`tcx_egress_${ifindex}`, `tcx_ingress_${ifindex}`]);
    expect(ips).toHaveLength(2);
  });
});

function rmPins(): void {
  for (const folder of ['links', 'maps', 'progs']) {
    const path = join(rig.pinRoot, `v${LAYOUT_VERSION}`, folder);
    for (const name of readdirSync(path)) unlinkSync(join(path, name));
  }
}
