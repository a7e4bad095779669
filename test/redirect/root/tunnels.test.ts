/**
 * Tunnels that end on the node: what comes out of one is who its far end says, but never an endpoint of this
 * node, nor the node. What an endpoint puts into one itself does not come out as another's.
 */
import type { Socket as UdpSocket } from 'node:dgram';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { frame, udp } from '../kernel/packets.ts';
import { ONE_DATAGRAM, ping } from './exchange.ts';
import { RedirectRig } from './rig.ts';
import { addService } from './service_nat.ts';

const TIMEOUT_MS = 300_000;
const API = ['10.9.0.1', 'fd09::1'] as const;
const WEB = ['10.9.0.2', 'fd09::2'] as const;
const JOB = ['10.9.0.3', 'fd09::3'] as const;
const CLIENT = ['10.9.0.4', 'fd09::4'] as const;
/** Of a Service whose backend is an endpoint of another node. */
const VIP = ['10.96.0.9', 'fd96::9'] as const;
const NODE = ['100.64.0.1', 'fd00:64::1'] as const;
/** Endpoints of another node. */
const FAR_WEB = ['10.9.1.2', 'fd09:1::2'] as const;
const FAR_JOB = ['10.9.1.3', 'fd09:1::3'] as const;
const FAR = ['10.9.1.4', 'fd09:1::4'] as const;
/** The tunnel's ends: here and there. */
const ENDS = [
  ['10.99.0.1', '10.99.0.2'],
  ['fd99::1', 'fd99::2'],
] as const;
const [PORT, DIALLED, VXLAN, UDP] = [5300, 53, 8472, 17];
const LINK = '02:00:00:00:00:02';

const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      {
        fromEndpoints: [{ matchLabels: { app: 'web' } }],
        toPorts: [{ ports: [{ port: String(PORT), protocol: 'UDP' }] }],
      },
    ],
  },
});

/** The packets of the tunnel itself are nothing that it allows. */
const CLIENT_POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'client', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'client' } },
    egress: [
      {
        toEndpoints: [{ matchLabels: { app: 'far' } }],
        toPorts: [{ ports: [{ port: String(PORT), protocol: 'UDP' }] }],
      },
    ],
  },
});

describe.each([
  ['an uplink', 'uplinks: [uplink, vxlan0]'],
  ['an interface that nobody names', 'uplinks: [uplink]'],
] as const)('a VXLAN that is %s', (_about, uplinks) => {
  let rig: RedirectRig;
  const received: string[] = [];
  const servers: UdpSocket[] = [];

  beforeAll(async () => {
    rig = new RedirectRig({
      pods: [
        { name: 'shop/api', ips: API, labels: { app: 'api' } },
        { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
        { name: 'shop/job', ips: JOB, labels: { app: 'job' } },
        { name: 'shop/client', ips: CLIENT, labels: { app: 'client' } },
      ],
      others: [
        { name: 'shop/far-web', ips: FAR_WEB, labels: { app: 'web' } },
        { name: 'shop/far-job', ips: FAR_JOB, labels: { app: 'job' } },
        { name: 'shop/far', ips: FAR, labels: { app: 'far' } },
      ],
      inventory: {
        services: [
          {
            ...{ name: 'shop/far', clusterIPs: VIP, endpoints: { matchLabels: { app: 'far' } } },
            ports: [{ port: DIALLED, targetPort: PORT, protocol: 'UDP' }],
          },
        ],
      },
      policies: [POLICY, CLIENT_POLICY],
    });
    const path = join(rig.dir, 'config.yaml');
    writeFileSync(path, readFileSync(path, 'utf8').replace('uplinks: [uplink]', uplinks));
    connectTunnel();
    for (const ip of API) {
      const server = await rig.pod('shop/api').netns.udp({ ip, port: PORT });
      server.on('message', (bytes, from) => {
        received.push(bytes.toString());
        server.send(bytes, from.port, from.address);
      });
      servers.push(server);
    }
    for (const i of [0, 1] as const) {
      const server = await rig.outside.udp({ ip: FAR[i], port: PORT });
      server.on('message', (bytes, from) => server.send(bytes, from.port, from.address));
      servers.push(server);
      const nat = { name: 'far', address: 'virtual', port: DIALLED, source: null } as const;
      const backend = { ip: FAR[i], tcpPort: PORT, udpPort: PORT };
      const family = i === 0 ? 4 : 6;
      addService(rig.node, nat, { iptables: 'iptables-nft', family, address: VIP[i], backend });
    }
    await rig.follow();
  }, TIMEOUT_MS);

  afterAll(async () => {
    for (const server of servers) server.close();
    await rig?.dispose();
  }, TIMEOUT_MS);

  /** The other node is `outside`: its pods' addresses are its own, and lead into the tunnel. */
  function connectTunnel(): void {
    const make = (local: string, remote: string) =>
      `link add vxlan0 type vxlan id 5 dstport ${VXLAN} local ${local} remote ${remote}`;
    rig.node.ip(make(NODE[0], '100.64.0.2'), `link set vxlan0 address ${LINK} up`);
    rig.outside.ip(make('100.64.0.2', NODE[0]), 'link set vxlan0 up');
    for (const i of [0, 1] as const) {
      const [bits, nodad] = i === 0 ? [32, ''] : [128, 'nodad'];
      const [near, far] = ENDS[i];
      rig.node.ip(`addr add ${near}/${bits} dev vxlan0 ${nodad}`);
      rig.outside.ip(`addr add ${far}/${bits} dev vxlan0 ${nodad}`);
      rig.node.ip(`route add ${far}/${bits} dev vxlan0`);
      rig.outside.ip(`route add ${near}/${bits} dev vxlan0`);
      for (const ip of [FAR_WEB[i], FAR_JOB[i], FAR[i]]) {
        rig.outside.ip(`addr add ${ip}/${bits} dev lo ${nodad}`);
        rig.node.ip(`route add ${ip}/${bits} via ${far}`);
      }
      for (const ip of [API[i], CLIENT[i]]) rig.outside.ip(`route add ${ip}/${bits} via ${near}`);
    }
  }

  it.each([0, 1] as const)('brings what the far end’s endpoints may send (%i)', async (i) => {
    const request = { from: rig.outside, to: API[i], port: PORT };
    expect(await ping({ ...request, fromIp: FAR_WEB[i] })).toBe('open');
    expect(await ping({ ...request, fromIp: FAR_JOB[i], ...ONE_DATAGRAM })).toBe('silent');
  });

  it.each([0, 1] as const)(
    'takes what is sent to a Service to its backend there (%i)',
    async (i) => {
      const own = { from: rig.pod('shop/client').netns, fromIp: CLIENT[i] };
      expect(await ping({ ...own, to: FAR[i], port: PORT })).toBe('open');
      expect(await ping({ ...own, to: VIP[i], port: DIALLED })).toBe('open');
    },
  );

  it.each([
    ['another endpoint of this node', WEB],
    ['an endpoint of another node', FAR_WEB],
    ['the node', NODE],
    ['itself, which it may not', JOB],
  ] as const)('is no way for an endpoint to speak as %s', async (about, ips) => {
    const before = decapsulated();
    const socket = await rig.pod('shop/job').netns.udp({ ip: JOB[0], port: 0 });
    for (const i of [0, 1] as const) {
      const payload = udp(4000, PORT, about);
      const inner = frame({ from: ips[i], to: API[i], protocol: UDP, payload });
      socket.send(Buffer.concat([VXLAN_HEAD, inner]), VXLAN, NODE[0]);
    }
    await until(async () => decapsulated() >= before + 2);
    socket.close();
    // What is sent after it would come after it.
    for (const i of [0, 1] as const) {
      const request = { from: rig.pod('shop/web').netns, to: API[i], port: PORT, fromIp: WEB[i] };
      expect(await ping(request)).toBe('open');
    }
    expect(received.filter((text) => text !== 'hello')).toEqual([]);
  });

  /** Packets that came out of the tunnel on the node, from whomever. */
  function decapsulated(): number {
    const [link] = JSON.parse(rig.node.run(['ip', '-j', '-s', 'link', 'show', 'vxlan0']));
    return link.stats64.rx.packets;
  }
});

const VXLAN_HEAD = Buffer.from([8, 0, 0, 0, 0, 0, 5, 0]);
