/**
 * Packets that leave a pod with the address of a Service, beside the real rules of kube-proxy (kube_proxy/record.ts): the
 * same verdict by the pods' addresses, the ClusterIP and a NodePort, also with a backend on another node, whose answers
 * come by the uplink. The pods are in no cgroup with hooks, as those of a sandbox.
 *
 *     pods 10.8.0.x ─ node (kube-proxy's rules) ─┬─ 10.9.0.1  zone a, a pod of this node
 *                                                └─ 10.9.0.2  zone b, by the uplink
 */
import type { Socket as UdpSocket } from 'node:dgram';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cgroupRoot } from '../../../src/redirect/host/cgroup_root.ts';
import { until } from '../../support/until.ts';
import { ask, ONE_DATAGRAM, ONE_LOOK, ping, reaches, seeingOrigin } from './exchange.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';
import { addService } from './service_nat.ts';

const TIMEOUT_MS = 300_000;
const [PORT, DIALLED, NODE_PORT] = [8080, 80, 30_080];
const HERE = { 4: '10.9.0.1', 6: 'fd09::1' } as const;
const AWAY = { 4: '10.9.0.2', 6: 'fd09::2' } as const;
const VIP = { 4: '10.96.0.11', 6: 'fd96::11' } as const;
/** Addresses of a Service with the backend of this node alone, and of one without a backend. */
const HERE_ONLY = { 4: '10.97.0.30', 6: 'fd97::30' } as const;
const EMPTY = { 4: '10.97.0.31', 6: 'fd97::31' } as const;
const NODE = { 4: '10.8.0.1', 6: 'fd08::1' } as const;
/** Counters of netlink, which have to be made before a rule may name them. */
const ACCOUNTING = /-m nfacct --nfacct-name +\S+ /g;

const rulesOf = (name: string): string =>
  readFileSync(join(import.meta.dirname, 'kube_proxy', name), 'utf8').replace(ACCOUNTING, '');

const MODES = [
  {
    proxy: 'iptables',
    services: 'none',
    rules: [
      [['iptables-restore'], 'iptables.rules'],
      [['ip6tables-restore'], 'ip6tables.rules'],
    ],
  },
  { proxy: 'nftables', services: 'socket', rules: [[['nft', '-f', '-'], 'nftables.rules']] },
] as const;

const toPorts = (rules?: object) => [
  {
    ports: [{ port: String(PORT), protocol: 'TCP' }].concat(
      rules === undefined ? [{ port: String(PORT), protocol: 'UDP' }] : [],
    ),
    ...(rules === undefined ? {} : { rules }),
  },
];
const toZone = (...zones: readonly string[]) => ({
  toEndpoints: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: zones }] }],
});

/** By the pod's name, what it may do; and whom it reaches: the backend here, the one elsewhere, the Service of both. */
const PODS: Readonly<Record<string, { readonly spec: object; readonly reaches: string }>> = {
  both: { spec: { egress: [{ ...toZone('a', 'b'), toPorts: toPorts() }] }, reaches: 'ab+' },
  near: { spec: { egress: [{ ...toZone('a'), toPorts: toPorts() }] }, reaches: 'a' },
  far: { spec: { egress: [{ ...toZone('b'), toPorts: toPorts() }] }, reaches: 'b' },
  denied: {
    spec: { egress: [{ toEntities: ['all'] }], egressDeny: [toZone('b')] },
    reaches: 'a',
  },
  world: {
    spec: { egress: [{ toEntities: ['world'] }] },
    reaches: '',
  },
  reader: {
    spec: {
      egress: [{ ...toZone('a', 'b'), toPorts: toPorts({ http: [{ path: '/ok' }] }) }],
    },
    reaches: 'ab',
  },
};

const names = Object.keys(PODS);

let rig: RedirectRig;
let cgroup = '';
let others: unknown[] = [];
const servers: (Server | UdpSocket)[] = [];

async function start({ rules, services }: (typeof MODES)[number]): Promise<void> {
  cgroup = join(cgroupRoot() ?? '', `sallyport-addresses-${process.pid}`);
  mkdirSync(cgroup);
  others = [{ name: 'shop/away', ips: Object.values(AWAY), labels: { zone: 'b', app: 'api' } }];
  const service = (name: string, addresses: object, endpoints: object): object => ({
    ...{ name: `shop/${name}`, clusterIPs: Object.values(addresses), endpoints },
    ports: (['TCP', 'UDP'] as const).map((protocol) => ({
      ...{ name: protocol.toLowerCase(), port: DIALLED, targetPort: PORT, protocol },
      ...(name === 'web' ? { nodePort: NODE_PORT } : {}),
    })),
  });
  rig = new RedirectRig({
    pods: [
      { name: 'shop/here', ips: Object.values(HERE), labels: { zone: 'a', app: 'api' } },
      ...names.map((name, index) => ({
        name: `shop/${name}`,
        ips: [`10.8.0.${10 + index}`, `fd08::${10 + index}`],
        labels: { pod: name },
      })),
    ],
    others,
    outside: Object.values(AWAY),
    policies: names.map((name) =>
      JSON.stringify({
        ...{ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy' },
        metadata: { name, namespace: 'shop' },
        spec: { endpointSelector: { matchLabels: { pod: name } }, ...PODS[name]?.spec },
      }),
    ),
    inventory: {
      services: [
        service('web', VIP, { matchLabels: { app: 'api' } }),
        service('here', HERE_ONLY, { matchLabels: { zone: 'a' } }),
        service('empty', EMPTY, { matchLabels: { zone: 'nobody' } }),
      ],
    },
    redirect: services === 'socket' ? { services, cgroupRoot: cgroup } : { services },
  });
  rig.node.ip(`addr add ${NODE[4]}/32 dev lo`, `addr add ${NODE[6]}/128 dev lo nodad`);
  for (const [command, file] of rules) rig.node.feed(command, rulesOf(file));
  for (const family of [4, 6] as const) {
    const nat = { name: 'here', address: 'virtual', port: DIALLED, source: null } as const;
    const backend = { ip: HERE[family], tcpPort: PORT, udpPort: PORT };
    const place = { iptables: 'iptables-nft', family, address: HERE_ONLY[family] } as const;
    addService(rig.node, nat, { ...place, backend });
    await serve(rig.pod('shop/here').netns, HERE[family]);
    await serve(rig.outside, AWAY[family]);
  }
  await rig.follow();
  await rig.proxy();
}

async function serve(netns: Netns, ip: string): Promise<void> {
  const http = seeingOrigin(ip);
  await netns.listen(http, { ip, port: PORT });
  const udp = await netns.udp({ ip, port: PORT });
  udp.on('message', (bytes, from) => udp.send(bytes, from.port, from.address));
  servers.push(http, udp);
}

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rig?.dispose();
  rmdirSync(cgroup);
}, TIMEOUT_MS);

const from = (name: string): Netns => rig.pod(`shop/${name}`).netns;

/** By TCP and by UDP. */
async function outcomes(name: string, to: string, port: number, isOpen: boolean) {
  const own = { from: from(name), fromIp: to.includes(':') ? '::' : '0.0.0.0' };
  const patience = isOpen ? {} : ONE_DATAGRAM;
  return [
    await reaches({ from: from(name), to, port }),
    await ping({ ...own, to, port, ...patience }),
  ];
}

const OPEN = ['open', 'open'];
const SHUT = ['reset', 'silent'];
/** What is for the proxy, and cannot be judged there: by UDP. */
const READ = ['open', 'silent'];

describe.each(MODES)('kube-proxy with $proxy, services: $services', (mode) => {
  it(
    'one verdict, whichever address is dialled',
    async () => {
      await start(mode);
      // At once: what is silent takes its time.
      await Promise.all(
        names.flatMap((name) => ([4, 6] as const).map((family) => dialAll(name, family))),
      );
      // L7 rules are asked where it is received.
      for (const family of [4, 6] as const) {
        const request = { from: from('reader'), to: HERE_ONLY[family], port: DIALLED };
        expect(await ask({ ...request, path: '/ok' })).toMatchObject({ status: 200 });
        expect(await ask({ ...request, path: '/no' })).toMatchObject({ status: 403 });
      }
      await backendsGoAndCome();
    },
    TIMEOUT_MS,
  );
});

async function dialAll(name: string, family: 4 | 6): Promise<void> {
  const { reaches: reached } = PODS[name] as (typeof PODS)[string];
  const passes = name === 'reader' ? READ : OPEN;
  for (const [to, port, what] of [
    [HERE[family], PORT, 'a'],
    [AWAY[family], PORT, 'b'],
    [VIP[family], DIALLED, '+'],
    [VIP[family], DIALLED, '+'],
    [NODE[family], NODE_PORT, '+'],
    [NODE[family], NODE_PORT, '+'],
    [HERE_ONLY[family], DIALLED, 'a'],
    [EMPTY[family], DIALLED, 'nobody'],
  ] as const) {
    const isOpen = reached.includes(what);
    const got = await outcomes(name, to, port, isOpen && name !== 'reader');
    expect([name, to, port, ...got]).toEqual([name, to, port, ...(isOpen ? passes : SHUT)]);
  }
}

async function backendsGoAndCome(): Promise<void> {
  // The rules lead to the one that has gone as well, by chance: that is silence, which is not waited for.
  const dial = { from: from('near'), to: VIP[4], port: DIALLED, ...ONE_LOOK };
  const away = others.pop();
  rig.writeEndpoints();
  await until(async () => (await reaches(dial)) === 'open');
  others.push(away);
  rig.writeEndpoints();
  await until(async () => (await reaches(dial)) === 'reset');
}
