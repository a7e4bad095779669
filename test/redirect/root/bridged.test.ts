/**
 * Pods on a bridge: their packets go from one to the other without the node's routing. They are judged all the
 * same, also over a Service, and no pod gets another's packets by telling that it has the address.
 */
import type { Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCounters } from '../../../src/redirect/kernel/counters.ts';
import { openPinnedMap } from '../../../src/redirect/kernel/pinned.ts';
import { COUNTERS, LAYOUT_VERSION } from '../../../src/redirect/layout.ts';
import { until } from '../../support/until.ts';
import { arp, bytesOf, frame, icmp } from '../kernel/packets.ts';
import { sendRaw } from '../kernel/street.ts';
import { echoOrigin, greet } from './exchange.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';
import { addService } from './service_nat.ts';

const TIMEOUT_MS = 300_000;
const API = ['10.13.0.1', 'fd13::1'] as const;
const WEB = ['10.13.0.2', 'fd13::2'] as const;
const JOB = ['10.13.0.3', 'fd13::3'] as const;
const GATEWAY = ['10.13.0.254', 'fd13::fe'] as const;
const VIRTUAL = ['10.96.0.10', 'fd96::10'] as const;
const PORT = 7070;

const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }],
  },
});

let rig: RedirectRig;
const servers: Server[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
      { name: 'shop/job', ips: JOB, labels: { app: 'job' } },
    ],
    policies: [POLICY],
    bridge: GATEWAY,
  });
  for (const [i, ip] of API.entries()) {
    const server = echoOrigin();
    await rig.pod('shop/api').netns.listen(server, { ip, port: PORT });
    servers.push(server);
    const backend = { ip, tcpPort: PORT, udpPort: PORT };
    const [family, address] = [i === 0 ? 4 : 6, VIRTUAL[i] as string] as const;
    const nat = { name: '', address: 'virtual', port: 80, source: ['-j', 'MASQUERADE'] } as const;
    addService(rig.node, nat, { iptables: 'iptables-nft', family, address, backend });
  }
  await rig.follow();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, TIMEOUT_MS);

const from = (name: string): Netns => rig.pod(name).netns;

describe.each([
  ['IPv4', 0],
  ['IPv6', 1],
] as const)('%s', (_family, i) => {
  it.each([
    ['directly', API[i], PORT],
    ['over a Service', VIRTUAL[i], 80],
  ] as const)('who may, may, and who may not is told so: %s', async (_about, to, port) => {
    expect(await greet({ from: from('shop/web'), to, port })).toBe('open');
    expect(await greet({ from: from('shop/job'), to, port })).toBe('reset');
  });

  it('nobody gets what is sent to another by telling that it has the address', async () => {
    const { netns } = rig.pod('shop/job');
    const { address } = linkOf(from('shop/api'));
    for (const to of [from('shop/web'), rig.node]) {
      expect(await greet({ from: to, to: API[i], port: PORT })).toBe('open');
      expect(neighbour(to, API[i])).toBe(address);
    }
    const before = refusedClaims();
    for (const claim of i === 0 ? arpClaims(API[0]) : advertisements(API[1])) {
      sendRaw(netns, linkOf(netns).ifindex, claim);
    }
    await until(async () => refusedClaims() >= before + 2n);
    for (const to of [from('shop/web'), rig.node]) {
      expect(neighbour(to, API[i])).toBe(address);
      expect(await greet({ from: to, to: API[i], port: PORT })).toBe('open');
    }
  });
});

function linkOf(netns: Netns): { readonly ifindex: number; readonly address: string } {
  return JSON.parse(netns.run(['ip', '-j', 'link', 'show', 'eth0']))[0];
}

/** The link address that the namespace knows of the other; undefined: none. */
function neighbour(of: Netns, ip: string): string | undefined {
  return JSON.parse(of.run(['ip', '-j', 'neigh', 'show', ip]))[0]?.lladdr;
}

/** To all on the link: a question and an answer whose sender has the address. */
function arpClaims(ip: string): readonly Buffer[] {
  return ([1, 2] as const).map((operation) =>
    toAll(arp({ senderIp: ip, targetIp: ip, operation }), 'ff'.repeat(6)),
  );
}

/** To all on the link, from a link-local address and from the claimed one: it is here, and only here. */
function advertisements(ip: string): readonly Buffer[] {
  const [overrides, linkOption] = [0x2000, Buffer.from('0201020000000001', 'hex')];
  const payload = icmp(136, 0, overrides, Buffer.concat([bytesOf(ip), linkOption]));
  return ['fe80::5', ip].map((source) =>
    toAll(frame({ from: source, to: 'ff02::1', protocol: 58, payload, ttl: 255 }), '333300000001'),
  );
}

function toAll(packet: Buffer, link: string): Buffer {
  return Buffer.concat([Buffer.from(link, 'hex'), packet.subarray(6)]);
}

function refusedClaims(): bigint {
  const map = openPinnedMap(join(rig.pinRoot, `v${LAYOUT_VERSION}`, 'maps/counters'));
  try {
    const counters = readCounters(map, COUNTERS);
    return counters['foreign-neighbour'] + counters['foreign-source'];
  } finally {
    map.close();
  }
}
