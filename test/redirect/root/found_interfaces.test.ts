/**
 * Interfaces of pods that no file names, made by the real CNI plugins: closed until it is known whose they are, found
 * by the routes, by what the runtime keeps of the plugin's result, or by the pod's processes; then judged as any.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { CniNetwork, type CniPod } from './cni.ts';
import { echoOrigin, greet } from './exchange.ts';
import type { Netns } from './netns.ts';
import { type Command, RedirectRig } from './rig.ts';

const TIMEOUT_MS = 150_000;
const OUTSIDE = ['203.0.113.10', '2001:db8::10'] as const;
const PORT = 7070;
const SUBNETS = ['10.22.0.0/24', 'fd22::/64'] as const;
const PATIENCE_MS = 700;

/** web may reach the API, nobody else; and nobody but web may reach anything outside. */
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumClusterwideNetworkPolicy',
  metadata: { name: 'all' },
  specs: [
    {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }],
    },
    {
      endpointSelector: { matchLabels: { app: 'web' } },
      egress: [{ toEntities: ['all'] }],
    },
    {
      endpointSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] },
      egress: [{ toEntities: ['none'] }],
    },
  ],
});

const PLUGINS = {
  ptp: { type: 'ptp', ipMasq: false },
  bridge: { type: 'bridge', bridge: 'cni0', isGateway: true },
  'bridge with hairpin': { type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true },
} as const;

/** By which way the pods of each case are found. */
const CASES = [
  ['ptp', 'routes', {}],
  ['bridge', 'results', { isKept: true }],
  ['bridge', 'processes', { hasProcesses: true }],
  ['bridge with hairpin', 'results and processes', { isKept: true, hasProcesses: true }],
] as const;

interface Stage {
  readonly rig: RedirectRig;
  readonly network: CniNetwork;
  readonly loader: Command;
}

let stage: Stage | null = null;
const servers = new Set<Server>();

async function set(plugin: keyof typeof PLUGINS, how: object): Promise<Stage> {
  const rig = new RedirectRig({ pods: [], outside: OUTSIDE, policies: [POLICY] });
  const network = new CniNetwork({
    ...{ node: rig.node, dir: rig.dir, plugin: PLUGINS[plugin], subnets: SUBNETS },
    ...how,
  });
  for (const family of ['ipv4', 'ipv6'])
    rig.node.sysctl(`net.${family}.conf.default.forwarding`, 1);
  const path = join(rig.dir, 'config.yaml');
  const finding = `uplinks: [uplink]\n  findInterfaces: true\n  cniResults: ${network.resultsFolder}`;
  writeFileSync(path, readFileSync(path, 'utf8').replace('uplinks: [uplink]', finding));
  for (const ip of OUTSIDE) await serve(rig.outside, ip);
  const loader = await rig.follow();
  stage = { rig, network, loader };
  return stage;
}

afterEach(async () => {
  for (const server of servers) server.close();
  servers.clear();
  stage?.network.dispose();
  await stage?.rig.dispose();
  stage = null;
}, TIMEOUT_MS);

async function serve(netns: Netns, ip: string): Promise<Server> {
  const server = echoOrigin();
  await netns.listen(server, { ip, port: PORT });
  servers.add(server);
  return server;
}

/** Names addresses and labels, and no interface. */
function name(rig: RedirectRig, pods: Iterable<CniPod & { readonly app?: string }>): void {
  const endpoints = [...pods].map(({ name: own, uid, ips, app }) => ({
    ...{ name: own, ips, podUid: uid },
    labels: { app: app ?? own.split('/')[1]?.replace(/-.*/, '') },
  }));
  writeFileSync(join(rig.dir, 'endpoints.json'), JSON.stringify({ endpoints }));
}

interface Report {
  readonly problems: readonly string[];
  readonly interfaces: readonly {
    readonly name: string;
    readonly of: string;
    readonly state: string;
  }[];
  readonly waits: {
    readonly interfaces: number;
    readonly opened: { readonly count: number };
  } | null;
}

async function status({ rig }: Stage): Promise<Report> {
  return JSON.parse((await rig.redirect('status', '-o', 'json')).output) as Report;
}

async function isOf(at: Stage, pod: CniPod): Promise<boolean> {
  const { interfaces, problems } = await status(at);
  const own = interfaces.find(({ name: one }) => one === pod.hostInterface);
  return own?.of === pod.name && own.state === 'attached' && problems.length === 0;
}

describe.each(CASES)('%s, found by %s', (plugin, _way, how) => {
  it('is closed, then judged as what it is', { timeout: TIMEOUT_MS }, async () => {
    const at = await set(plugin, how);
    const { rig, network } = at;
    const api = network.add({ name: 'shop/api', uid: randomUUID() });
    const web = network.add({ name: 'shop/web', uid: randomUUID() });
    const job = network.add({ name: 'shop/job', uid: randomUUID() });
    for (const ip of api.ips) await serve(api.netns, ip);
    const [api4 = '', api6 = ''] = api.ips;
    const targets = [api4, api6, ...OUTSIDE];
    await until(
      async () =>
        (await status(at)).interfaces.filter(({ state }) => state === 'claimed').length === 3,
    );
    for (const to of targets) {
      expect([
        to,
        await greet({ from: web.netns, to, port: PORT, patienceMs: PATIENCE_MS }),
      ]).toEqual([to, 'silent']);
    }
    name(rig, network.pods.values());
    for (const pod of [api, web, job]) await until(() => isOf(at, pod));
    for (const to of targets) {
      expect([to, await greet({ from: web.netns, to, port: PORT, patienceMs: 3000 })]).toEqual([
        to,
        'open',
      ]);
      expect([to, await greet({ from: job.netns, to, port: PORT })]).toEqual([to, 'reset']);
    }
    for (const to of api.ips)
      expect([to, await greet({ from: rig.node, to, port: PORT })]).toEqual([to, 'open']);
    expect((await status(at)).waits).toMatchObject({ interfaces: 0, opened: { count: 3 } });
  });
});
