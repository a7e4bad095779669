/**
 * L7 rules on a bridge: it carries a packet from one pod to the other without asking the node's routing, and all the
 * same it comes to the proxy, whatever the bridge is set to do. What has no L7 rules stays on the bridge.
 */
import type { Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { ask, echoOrigin, greet, type Outcome, seeingOrigin } from './exchange.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';
import { addService, type ServiceNat } from './service_nat.ts';

const TIMEOUT_MS = 300_000;
const API = { 4: '10.14.0.1', 6: 'fd14::1' } as const;
const WEB = { 4: '10.14.0.2', 6: 'fd14::2' } as const;
const JOB = { 4: '10.14.0.3', 6: 'fd14::3' } as const;
const GATEWAY = ['10.14.0.254', 'fd14::fe'] as const;
const VIRTUAL = { 4: '10.96.0.14', 6: 'fd96::14' } as const;
const NODE = { 4: '100.64.0.1', 6: 'fd00:64::1' } as const;
const FRIEND = { 4: '203.0.113.10', 6: '2001:db8::10' } as const;
const STRANGER = { 4: '198.51.100.10', 6: '2001:db8:1::10' } as const;
const [HTTP, PLAIN] = [8080, 7070];
const SERVICES: readonly (Omit<ServiceNat, 'name'> & { readonly about: string })[] = [
  { about: 'a Service', address: 'virtual', port: 8001, source: null },
  {
    ...{ about: 'a Service with --masquerade-all', address: 'virtual', port: 8002 },
    source: ['-j', 'MASQUERADE', '--random-fully'],
  },
  { about: 'a NodePort, Local', address: 'node', port: 30_003, source: null },
];

const http = (path: string): object => ({
  ports: [{ port: String(HTTP), protocol: 'TCP' }],
  rules: { http: [{ method: 'GET', path }] },
});

const POLICIES = [
  {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'api', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: 'web' } }],
          toPorts: [http('/ok'), { ports: [{ port: String(PLAIN), protocol: 'TCP' }] }],
        },
        { fromCIDR: ['203.0.113.0/24', '2001:db8::/48'], toPorts: [http('/ok')] },
      ],
    },
  },
  {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'job', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { app: 'job' } },
      egress: [
        { toEndpoints: [{ matchLabels: { app: 'api' } }] },
        { toCIDR: ['203.0.113.0/24', '2001:db8::/48'], toPorts: [http('/ok')] },
      ],
    },
  },
].map((policy) => JSON.stringify(policy));

let rig: RedirectRig;
const servers: Server[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: Object.values(API), labels: { app: 'api' } },
      { name: 'shop/web', ips: Object.values(WEB), labels: { app: 'web' } },
      { name: 'shop/job', ips: Object.values(JOB), labels: { app: 'job' } },
    ],
    outside: [...Object.values(FRIEND), ...Object.values(STRANGER)],
    policies: POLICIES,
    bridge: GATEWAY,
  });
  const serve = async (at: Netns, server: Server, ip: string, port: number): Promise<void> => {
    await at.listen(server, { ip, port });
    servers.push(server);
  };
  for (const family of [4, 6] as const) {
    await serve(from('shop/api'), seeingOrigin('api'), API[family], HTTP);
    await serve(from('shop/api'), echoOrigin(), API[family], PLAIN);
    await serve(rig.outside, seeingOrigin('outside'), FRIEND[family], HTTP);
    const backend = { ip: API[family], tcpPort: HTTP, udpPort: HTTP };
    for (const { about: name, ...nat } of SERVICES) {
      const address = nat.address === 'node' ? NODE[family] : VIRTUAL[family];
      addService(
        rig.node,
        { ...nat, name },
        { iptables: 'iptables-nft', family, address, backend },
      );
    }
  }
  await rig.follow();
  await rig.proxy();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, TIMEOUT_MS);

const from = (name: string): Netns => rig.pod(name).netns;
const told = (outcome: Outcome): unknown =>
  outcome.kind === 'answered' ? outcome.status : outcome.kind;
const seenFrom = (outcome: Outcome): unknown =>
  outcome.kind === 'answered' ? outcome.seen?.remote.split(' ')[0] : null;
const hairpin = (word: 'on' | 'off'): void => {
  for (const pod of rig.pods.values()) {
    rig.node.ip(`link set ${pod.interface} type bridge_slave hairpin ${word}`);
  }
};

/** One after the other on one bridge; each says how it is made, and how it ends. */
const BRIDGES: readonly (readonly [about: string, make: () => void, end: () => void])[] = [
  ['as it is made', () => {}, () => {}],
  [
    'that is promiscuous',
    () => rig.node.ip('link set cni0 promisc on'),
    () => rig.node.ip('link set cni0 promisc off'),
  ],
  ['with hairpin', () => hairpin('on'), () => hairpin('off')],
  ['with another link address', () => changeAddress('02:00:00:00:14:14'), () => {}],
  ['past iptables', () => passIptables(true), () => passIptables(false)],
];

function changeAddress(address: string): void {
  rig.node.ip(`link set cni0 address ${address}`);
  // Of the gateway, which is the bridge.
  for (const { netns } of rig.pods.values()) netns.ip('neigh flush all');
}

function passIptables(isPast: boolean): void {
  for (const name of ['iptables', 'ip6tables']) {
    rig.node.sysctl(`net.bridge.bridge-nf-call-${name}`, isPast ? 0 : 1);
  }
}

describe.each(BRIDGES)('a bridge %s', (_about, make, end) => {
  beforeAll(() => make());
  afterAll(() => end());

  describe.each([4, 6] as const)('IPv%i', (family) => {
    const request = { to: API[family], port: HTTP };

    it('who may: the path that it may, as itself, and no other', async () => {
      const web = { ...request, from: from('shop/web') };
      const outcome = await ask({ ...web, path: '/ok' });
      expect([told(outcome), seenFrom(outcome)]).toEqual([200, WEB[family]]);
      expect(told(await ask({ ...web, path: '/no' }))).toBe(403);
    });

    it('who may not is told so at once', async () => {
      expect(told(await ask({ ...request, from: from('shop/job'), path: '/ok' }))).toBe('reset');
    });

    it('what has no L7 rules stays on the bridge', async () => {
      const plain = { from: from('shop/web'), to: API[family], port: PLAIN };
      // Not at once: the end of a connection before may be on its way still.
      await until(async () => {
        const before = forwardedByNode(family);
        expect(await greet(plain)).toBe('open');
        expect(await greet({ ...plain, from: from('shop/job') })).toBe('reset');
        return forwardedByNode(family) === before;
      });
    });

    it.each(SERVICES)('over $about', async ({ address, port }) => {
      const to = address === 'node' ? NODE[family] : VIRTUAL[family];
      const outcome = await ask({ from: from('shop/web'), to, port, path: '/ok' });
      expect([told(outcome), seenFrom(outcome)]).toEqual([200, WEB[family]]);
      expect(told(await ask({ from: from('shop/web'), to, port, path: '/no' }))).toBe(403);
      expect(told(await ask({ from: from('shop/job'), to, port, path: '/ok' }))).toBe('reset');
    });

    it('from outside, and to the outside', async () => {
      const friend = { from: rig.outside, fromIp: FRIEND[family] };
      for (const to of [
        { to: API[family], port: HTTP },
        { to: NODE[family], port: 30_003 },
      ]) {
        expect(told(await ask({ ...friend, ...to, path: '/ok' }))).toBe(200);
        expect(told(await ask({ ...friend, ...to, path: '/no' }))).toBe(403);
        expect(await greet({ ...friend, ...to, fromIp: STRANGER[family] })).toBe('reset');
      }
      const job = { from: from('shop/job'), to: FRIEND[family], port: HTTP };
      expect(told(await ask({ ...job, path: '/ok' }))).toBe(200);
      expect(told(await ask({ ...job, path: '/no' }))).toBe(403);
    });
  });
});

/** Packets that the node has routed from one interface to another. */
function forwardedByNode(family: 4 | 6): number {
  if (family === 6) {
    const text = rig.node.run(['cat', '/proc/net/snmp6']);
    return Number(/^Ip6OutForwDatagrams\s+(\d+)/m.exec(text)?.[1]);
  }
  const [names = [], values = []] = rig.node
    .run(['cat', '/proc/net/snmp'])
    .split('\n')
    .filter((line) => line.startsWith('Ip:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('ForwDatagrams')]);
}
