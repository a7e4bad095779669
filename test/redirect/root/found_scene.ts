/**
 * A node whose pods are made by the real CNI plugins, and an endpoints file that names no interface: what the suites of
 * found interfaces run on. One at a time.
 */
import { spawn } from 'node:child_process';
import type { Socket as UdpSocket } from 'node:dgram';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { CniNetwork, type CniPod } from './cni.ts';
import { echoOrigin } from './exchange.ts';
import type { Netns } from './netns.ts';
import { type Command, RedirectRig } from './rig.ts';

export const OUTSIDE = ['203.0.113.10', '2001:db8::10'] as const;
export const PORT = 7070;
const SUBNETS = ['10.22.0.0/24', 'fd22::/64'] as const;

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

export const PLUGINS = {
  ptp: { type: 'ptp', ipMasq: false },
  bridge: { type: 'bridge', bridge: 'cni0', isGateway: true },
  macvlan: { type: 'macvlan', master: 'uplink', mode: 'bridge' },
  'bridge with hairpin': { type: 'bridge', bridge: 'cni0', isGateway: true, hairpinMode: true },
} as const;

export interface Stage {
  readonly rig: RedirectRig;
  readonly network: CniNetwork;
  readonly loader: Command;
}

let stage: Stage | null = null;
const servers = new Set<Server>();

export async function set(plugin: keyof typeof PLUGINS, how: object): Promise<Stage> {
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

const sockets: UdpSocket[] = [];

export async function strike(): Promise<void> {
  for (const server of servers) server.close();
  for (const socket of sockets.splice(0)) socket.close();
  servers.clear();
  stage?.network.dispose();
  await stage?.rig.dispose();
  stage = null;
}

export async function serve(netns: Netns, ip: string): Promise<Server> {
  const server = echoOrigin();
  await netns.listen(server, { ip, port: PORT });
  servers.add(server);
  return server;
}

/** Names addresses and labels, and no interface. */
export function name(rig: RedirectRig, pods: Iterable<CniPod & { readonly app?: string }>): void {
  const endpoints = [...pods].map(({ name: own, uid, ips, app }) => ({
    ...{ name: own, ips, podUid: uid },
    labels: { app: app ?? own.split('/')[1]?.replace(/-.*/, '') },
  }));
  writeFileSync(join(rig.dir, 'endpoints.json'), JSON.stringify({ endpoints }));
}

export interface Report {
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

export async function status({ rig }: Stage): Promise<Report> {
  return JSON.parse((await rig.redirect('status', '-o', 'json')).output) as Report;
}

export async function isOf(at: Stage, pod: CniPod): Promise<boolean> {
  const { interfaces, problems } = await status(at);
  const own = interfaces.find(({ name: one }) => one === pod.hostInterface);
  return own?.of === pod.name && own.state === 'attached' && problems.length === 0;
}

/** Sends datagrams as fast as it can, from before the namespace has an interface; until `end`. */
export function shout(netns: Netns, to: readonly string[]): () => void {
  const lines = to.map(
    (ip) => `while :; do echo hello >/dev/udp/${ip}/${PORT}; done 2>/dev/null &`,
  );
  const [program = '', ...words] = netns.command(['bash', '-c', `${lines.join('\n')}\nwait`]);
  const child = spawn(program, words, { stdio: 'ignore', detached: true });
  return () => void process.kill(-(child.pid as number), 'SIGKILL');
}

/** Source addresses of what a socket gets. */
export async function heardAt(netns: Netns, ip: string): Promise<string[]> {
  const sources: string[] = [];
  const socket = await netns.udp({ ip, port: PORT });
  socket.on('message', (_bytes, { address }) => sources.push(address));
  sockets.push(socket);
  return sources;
}
