/**
 * Services on a node: whatever its NAT makes of addresses, the receiver's policy is asked about who sent a
 * packet, never about the node; L7 rules hold; and answers find back.
 */
import type { Socket as UdpSocket } from 'node:dgram';
import type { Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { echo } from './echo.ts';
import {
  ask,
  echoOrigin,
  greet,
  ONE_DATAGRAM,
  ONE_LOOK,
  type Outcome,
  ping,
  seeingOrigin,
} from './exchange.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';
import {
  addEchoNat,
  addService,
  type Family,
  type Iptables,
  masquerade,
  SERVICE_NATS,
  type ServiceNat,
} from './service_nat.ts';

const TIMEOUT_MS = 300_000;
const API = { 4: '10.8.0.1', 6: 'fd08::1' } as const;
const WEB = { 4: '10.8.0.2', 6: 'fd08::2' } as const;
const JOB = { 4: '10.8.0.3', 6: 'fd08::3' } as const;
const NODE = { 4: '100.64.0.1', 6: 'fd00:64::1' } as const;
const ECHO = { 4: '10.96.0.20', 6: 'fd96::20' } as const;
const VIRTUAL = { 4: '10.96.0.10', 6: 'fd96::10' } as const;
const FRIEND = { 4: '203.0.113.10', 6: '2001:db8::10' } as const;
const STRANGER = { 4: '198.51.100.10', 6: '2001:db8:1::10' } as const;
const [HTTP, UDP, PLAIN, MASQUERADED] = [8080, 5300, 7070, 7272];

const ports = (protocol: 'TCP' | 'UDP', port: number): unknown => ({
  ports: [{ port: String(port), protocol }],
});

const ECHOES = [
  { type: 8, family: 'IPv4' },
  { type: 128, family: 'IPv6' },
];

/** web and the friends outside may GET /ok and send datagrams; job may nothing. */
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      ...[
        { fromEndpoints: [{ matchLabels: { app: 'web' } }] },
        { fromCIDR: ['203.0.113.0/24', '2001:db8::/48'] },
      ].map((peer) => ({
        ...peer,
        toPorts: [
          {
            ...(ports('TCP', HTTP) as object),
            rules: { http: [{ method: 'GET', path: '/ok' }] },
          },
          ports('UDP', UDP),
          ports('TCP', PLAIN),
          ports('TCP', MASQUERADED),
          ports('UDP', MASQUERADED),
        ],
      })),
      { fromEndpoints: [{ matchLabels: { app: 'web' } }], icmps: [{ fields: ECHOES }] },
    ],
  },
});

let rig: RedirectRig;
const servers: (Server | UdpSocket)[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: Object.values(API), labels: { app: 'api' } },
      { name: 'shop/web', ips: Object.values(WEB), labels: { app: 'web' } },
      { name: 'shop/job', ips: Object.values(JOB), labels: { app: 'job' } },
    ],
    outside: [...Object.values(FRIEND), ...Object.values(STRANGER)],
    policies: [POLICY],
  });
  const { netns } = rig.pod('shop/api');
  for (const ip of Object.values(API)) {
    const http = seeingOrigin('api');
    await netns.listen(http, { ip, port: HTTP });
    const plain = echoOrigin();
    await netns.listen(plain, { ip, port: PLAIN });
    const masqueraded = echoOrigin();
    await netns.listen(masqueraded, { ip, port: MASQUERADED });
    for (const port of [UDP, MASQUERADED]) {
      const udp = await netns.udp({ ip, port });
      udp.on('message', (bytes, from) => udp.send(bytes, from.port, from.address));
      servers.push(udp);
    }
    servers.push(http, plain, masqueraded);
  }
  for (const family of [4, 6] as const) {
    rig.outside.ip(`route add ${VIRTUAL[family]} via ${NODE[family]}`);
    const direct = { ip: API[family], tcpPort: MASQUERADED, udpPort: MASQUERADED };
    masquerade(rig.node, { iptables: 'iptables-nft', family, backend: direct });
    addEchoNat(rig.node, {
      iptables: 'iptables-nft',
      family,
      address: ECHO[family],
      backend: direct,
    });
    for (const nat of SERVICE_NATS) {
      for (const [iptables, step] of FORMS) {
        const backend = { ip: API[family], tcpPort: HTTP, udpPort: UDP };
        const place = { iptables, family, address: addressOf(nat, family), backend };
        addService(rig.node, { ...nat, port: nat.port + step }, place);
        const plain = { ...backend, tcpPort: PLAIN };
        addService(rig.node, { ...nat, port: nat.port + step + 50 }, { ...place, backend: plain });
      }
    }
  }
  await rig.follow();
  await rig.proxy();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, TIMEOUT_MS);

/** Ports of one form do not meet those of the other: both are in force at once. */
const FORMS: readonly (readonly [Iptables, number])[] = [
  ['iptables-legacy', 0],
  ['iptables-nft', 100],
];

function addressOf({ address }: ServiceNat, family: Family): string {
  return address === 'node' ? NODE[family] : VIRTUAL[family];
}

const cases = ([4, 6] as const).flatMap((family) =>
  FORMS.flatMap(([iptables, step]) =>
    SERVICE_NATS.map((nat) => ({
      about: `IPv${family}, ${iptables}: ${nat.name}`,
      nat,
      family,
      to: addressOf(nat, family),
      port: nat.port + step,
    })),
  ),
);

const from = (name: string): Netns => rig.pod(name).netns;
const status = (outcome: Outcome): unknown =>
  outcome.kind === 'answered' ? outcome.status : outcome.kind;

describe.each(cases)('$about', ({ nat, family, to, port }) => {
  it('who may: the path that it may, as itself, and no other', async () => {
    const request = { from: from('shop/web'), to, port };
    const outcome = await ask({ ...request, path: '/ok' });
    expect(outcome).toMatchObject({ status: 200 });
    const seen = outcome.kind === 'answered' ? outcome.seen?.remote.split(' ')[0] : '';
    expect(seen).toBe(WEB[family]);
    expect(status(await ask({ ...request, path: '/no' }))).toBe(403);
    expect(await greet({ ...request, port: port + 50 })).toBe('open');
    expect(await ping({ ...request, ...local(family) })).toBe('open');
  });

  it('who may not: nothing, and is told so at once', async () => {
    const request = { from: from('shop/job'), to, port };
    expect(status(await ask({ ...request, path: '/ok' }))).toBe('reset');
    expect(await greet({ ...request, port: port + 50 })).toBe('reset');
    expect(await ping({ ...request, ...local(family), ...ONE_DATAGRAM })).toBe('silent');
  });

  // With its own address its answer would never leave it.
  it.each(nat.source === null ? [] : ['a pod'])('%s is not kept from itself', async () => {
    const request = { from: from('shop/api'), to, port };
    expect(status(await ask({ ...request, path: '/no' }))).toBe(200);
    expect(await ping({ ...request, ...local(family) })).toBe('open');
  });

  it('from outside: who may, as far as it can be told who that is', async () => {
    const isTold = nat.isMarkLost !== true;
    const look = isTold ? {} : ONE_LOOK;
    const request = { from: rig.outside, fromIp: FRIEND[family], to, port, ...look };
    expect(await greet({ ...request, port: port + 50 })).toBe(isTold ? 'open' : 'silent');
    const datagram = { ...request, ...(isTold ? {} : ONE_DATAGRAM) };
    expect(await ping(datagram)).toBe(isTold ? 'open' : 'silent');
    // The proxy has to know the address, and the node has taken it away.
    const refused = isTold ? 'reset' : 'silent';
    const [ok, no] = nat.source === null ? [200, 403] : [refused, refused];
    expect(status(await ask({ ...request, path: '/ok' }))).toBe(ok);
    expect(status(await ask({ ...request, path: '/no' }))).toBe(no);
  });

  it('from outside: who may not', async () => {
    const refused = nat.isMarkLost === true ? 'silent' : 'reset';
    const look = nat.isMarkLost === true ? ONE_LOOK : {};
    const request = { from: rig.outside, fromIp: STRANGER[family], to, port, ...look };
    expect(await greet({ ...request, port: port + 50 })).toBe(refused);
    expect(await ping({ ...request, ...ONE_DATAGRAM })).toBe('silent');
    expect(status(await ask({ ...request, path: '/ok' }))).toBe(refused);
  });
});

function local(family: Family): { readonly fromIp: string } {
  return { fromIp: family === 4 ? '0.0.0.0' : '::' };
}

describe.each([4, 6] as const)('IPv%i, pods that the node masquerades to each other', (family) => {
  it('are who they are in ICMP, also where an address is only a name for another', async () => {
    for (const to of [API[family], ECHO[family]]) {
      expect([to, await echo(from('shop/web'), to)]).toEqual([to, 'open']);
      expect([to, await echo(from('shop/job'), to, ONE_DATAGRAM)]).toEqual([to, 'silent']);
    }
  });

  it('are who they are', async () => {
    const request = { to: API[family], port: MASQUERADED, ...local(family) };
    expect(await greet({ ...request, from: from('shop/web') })).toBe('open');
    expect(await ping({ ...request, from: from('shop/web') })).toBe('open');
    expect(await greet({ ...request, from: from('shop/job') })).toBe('reset');
    const silent = { ...request, from: from('shop/job'), ...ONE_DATAGRAM };
    expect(await ping(silent)).toBe('silent');
  });
});
