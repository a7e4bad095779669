/**
 * Neither side sees the redirect: addresses are those that were dialled and dialled from, every protocol
 * goes through, what has no L7 rules is not touched; and nobody can pass as somebody else.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GrpcClient, startGrpcServer } from '../../support/grpc_peers.ts';
import { Http2Client, Http2Origin } from '../../support/http2_peers.ts';
import { until } from '../../support/until.ts';
import { bridgeIn, bridgeOut } from './bridge.ts';
import {
  ask,
  echoOrigin,
  greet,
  ONE_DATAGRAM,
  ONE_LOOK,
  ping,
  reaches,
  seeingOrigin,
} from './exchange.ts';
import type { Netns } from './netns.ts';
import { type Command, RedirectRig } from './rig.ts';

const SET_UP_TIMEOUT_MS = 300_000;
/** Lines of the access log come together. */
const LOG_DELAY_MS = 500;

const API = ['10.3.0.1', 'fd03::1'] as const;
const WEB = ['10.3.0.2', 'fd03::2'] as const;
const BATCH = ['10.3.0.3', 'fd03::3'] as const;
const OUTSIDE = ['203.0.113.10', '2001:db8::10'] as const;

const POLICIES = [
  // Ingress of the API: HTTP rules on 8080, gRPC on 50051, a plain port, and readers by address.
  {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'api', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: 'web' } }],
          toPorts: [
            {
              ports: [{ port: '8080', protocol: 'TCP' }],
              rules: {
                http: [
                  { method: 'GET', path: '/catalogue/?.*' },
                  { method: 'POST', path: '/test.Bytes/.*' },
                ],
              },
            },
            {
              ports: [
                { port: '5432', protocol: 'TCP' },
                { port: '5353', protocol: 'UDP' },
              ],
            },
          ],
        },
        {
          fromEndpoints: [{ matchLabels: { app: 'batch' } }],
          toPorts: [
            {
              ports: [{ port: '8080', protocol: 'TCP' }],
              rules: { http: [{ method: 'GET', path: '/export' }] },
            },
          ],
        },
        {
          fromCIDR: ['203.0.113.0/24', '2001:db8::/32'],
          toPorts: [
            {
              ports: [{ port: '8080', protocol: 'TCP' }],
              rules: { http: [{ method: 'GET', path: '/public' }] },
            },
          ],
        },
      ],
    },
  },
  // Egress of the batch pod: one path of the outside host, and one path of the API.
  {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'batch', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { app: 'batch' } },
      egress: [
        {
          toEndpoints: [{ matchLabels: { app: 'api' } }],
          toPorts: [
            {
              ports: [{ port: '8080', protocol: 'TCP' }],
              rules: { http: [{ method: 'GET', path: '/(export|catalogue)' }] },
            },
          ],
        },
        {
          toCIDR: ['203.0.113.10/32', '2001:db8::10/128'],
          toPorts: [
            {
              ports: [{ port: '80', protocol: 'TCP' }],
              rules: { http: [{ method: 'PUT', path: '/upload' }] },
            },
          ],
        },
      ],
    },
  },
];

let rig: RedirectRig;
let proxy: Command;
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
      { name: 'shop/batch', ips: BATCH, labels: { app: 'batch' } },
    ],
    outside: OUTSIDE,
    policies: POLICIES.map((policy) => JSON.stringify(policy)),
  });
  for (const ip of API) {
    await serve(api(), ip, 8080, seeingOrigin('api'));
    await serve(api(), ip, 5432, echoOrigin());
    const udp = await api().udp({ ip, port: 5353 });
    udp.on('message', (bytes, from) => udp.send(bytes, from.port, from.address));
    servers.push(udp);
  }
  for (const ip of OUTSIDE) await serve(rig.outside, ip, 80, seeingOrigin('outside'));
  await rig.follow();
  proxy = await rig.proxy();
}, SET_UP_TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, SET_UP_TIMEOUT_MS);

const api = (): Netns => rig.pod('shop/api').netns;
const web = (): Netns => rig.pod('shop/web').netns;
const batch = (): Netns => rig.pod('shop/batch').netns;

async function serve(at: Netns, ip: string, port: number, server: Server): Promise<void> {
  await at.listen(server, { ip, port });
  servers.push(server);
}

const FAMILIES = [
  ['IPv4', 0],
  ['IPv6', 1],
] as const;

describe.each(FAMILIES)('%s', (_family, i) => {
  it('shows the origin the address of the client, and the client the one that it dialled', async () => {
    const outcome = await ask({ from: web(), to: API[i], port: 8080, path: '/catalogue' });
    expect(outcome).toMatchObject({ status: 200, seen: { local: `${API[i]} 8080` } });
    const seen = outcome.kind === 'answered' ? outcome.seen : null;
    expect(seen?.remote.split(' ')[0]).toBe(WEB[i]);
    const socket = web().client(i === 0 ? 4 : 6);
    socket.connect({ host: API[i], port: 8080 });
    await once(socket, 'connect');
    expect([socket.remoteAddress, socket.remotePort]).toEqual([API[i], 8080]);
    socket.destroy();
  });

  it('gives two pods behind one node different rights', async () => {
    const to = { to: API[i], port: 8080 };
    expect(await ask({ from: web(), ...to, path: '/catalogue' })).toMatchObject({ status: 200 });
    expect(await ask({ from: web(), ...to, path: '/export' })).toMatchObject({ status: 403 });
    expect(await ask({ from: batch(), ...to, path: '/export' })).toMatchObject({ status: 200 });
  });

  it('asks both policies in one pass: what only one of them allows is denied', async () => {
    const from = batch();
    const to = { from, to: API[i], port: 8080 };
    // Egress allows it, ingress does not; then the other way round is what web may and batch may not.
    expect(await ask({ ...to, path: '/catalogue' })).toMatchObject({ status: 403 });
    expect(await ask({ ...to, path: '/export' })).toMatchObject({ status: 200 });
  });

  it('judges egress to the outside', async () => {
    const to = { from: batch(), to: OUTSIDE[i], port: 80 };
    const outcome = await ask({ ...to, method: 'PUT', path: '/upload' });
    expect(outcome).toMatchObject({ status: 200, seen: { pod: 'outside' } });
    expect(await ask({ ...to, method: 'GET', path: '/upload' })).toMatchObject({ status: 403 });
    expect(await reaches({ ...to, port: 81, ...ONE_LOOK })).not.toBe('open');
  });

  it('judges ingress from the outside by the address it comes from', async () => {
    const from = { from: rig.outside, fromIp: OUTSIDE[i], to: API[i], port: 8080 };
    expect(await ask({ ...from, path: '/public' })).toMatchObject({ status: 200 });
    expect(await ask({ ...from, path: '/catalogue' })).toMatchObject({ status: 403 });
    const other = { ...from, fromIp: i === 0 ? '100.64.0.2' : 'fd00:64::2' };
    expect(await ask({ ...other, path: '/public' })).toEqual({ kind: 'reset' });
  });

  it('does not touch a port without L7 rules, nor what is not TCP', async () => {
    expect(await greet({ from: web(), to: API[i], port: 5432 })).toBe('open');
    expect(await ping({ from: web(), fromIp: WEB[i], to: API[i], port: 5353 })).toBe('open');
    const silent = { from: batch(), fromIp: BATCH[i], to: API[i], port: 5353, ...ONE_DATAGRAM };
    expect(await ping(silent)).toBe('silent');
    expect(await greet({ from: batch(), to: API[i], port: 5432 })).toBe('reset');
    await sleep(LOG_DELAY_MS);
    expect(proxy.output).not.toContain('5432');
    expect(proxy.output).not.toContain('5353');
  });

  it('carries HTTP/2: allowed and denied streams on one connection', async () => {
    const origin = await Http2Origin.start();
    const inner = await bridgeIn(api(), { ip: API[i], port: 8081 }, origin.port);
    servers.push(inner);
    rig.writePolicies(
      POLICIES.map((policy) => JSON.stringify(policy).replaceAll('"8080"', '"8081"')),
    );
    await untilJudged(8081, i);
    const { port, server } = await bridgeOut(web(), { ip: API[i], port: 8081 });
    const client = new Http2Client(port);
    expect((await client.ask({ ':path': '/catalogue' })).status).toBe(200);
    expect((await client.ask({ ':path': '/secret' })).status).toBe(403);
    expect((await client.ask({ ':path': '/catalogue' })).status).toBe(200);
    client.close();
    server.close();
    origin.stop();
    rig.writePolicies(POLICIES.map((policy) => JSON.stringify(policy)));
    await untilJudged(8080, i);
  });

  it('carries gRPC: calls, streams and a denied method', async () => {
    const { port: inside, stop } = await startGrpcServer();
    const inner = await bridgeIn(api(), { ip: API[i], port: 8082 }, inside);
    rig.writePolicies(
      POLICIES.map((policy) => JSON.stringify(policy).replaceAll('"8080"', '"8082"')),
    );
    await untilJudged(8082, i);
    const { port, server } = await bridgeOut(web(), { ip: API[i], port: 8082 });
    const client = new GrpcClient(port);
    const message = Buffer.from('hello');
    const echoed = await client.call({ kind: 'unary', method: 'Echo', messages: [message] });
    expect(echoed).toMatchObject({ code: 0, messages: ['5:68656c6c6f'] });
    const split = await client.call({
      kind: 'serverStream',
      method: 'Split',
      messages: [Buffer.from([1, 200, 3])],
    });
    expect(split.messages.map((one) => one.split(':')[0])).toEqual(['1000', '200000', '3000']);
    const denied = await client.call({
      kind: 'unary',
      method: '/other.Service/Do',
      messages: [message],
    });
    expect(denied.code).toBe(7);
    client.close();
    server.close();
    inner.close();
    stop();
    rig.writePolicies(POLICIES.map((policy) => JSON.stringify(policy)));
    await untilJudged(8080, i);
  });

  it('carries a WebSocket upgrade', async () => {
    const origin = createHttpServer().on('upgrade', (request, socket) => {
      const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash('sha1').update(key).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
      );
      socket.pipe(socket);
    });
    await serve(api(), API[i], 8083, origin);
    rig.writePolicies(
      POLICIES.map((policy) => JSON.stringify(policy).replaceAll('"8080"', '"8083"')),
    );
    await untilJudged(8083, i);
    const socket = web().client(i === 0 ? 4 : 6);
    socket.on('error', () => {});
    socket.connect({ host: API[i], port: 8083 });
    socket.write(
      'GET /catalogue HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString()).toContain('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    socket.write(Buffer.from([0x81, 0x81, 1, 2, 3, 4, 0x60]));
    const [frame] = (await once(socket, 'data')) as [Buffer];
    expect([...frame]).toEqual([0x81, 0x81, 1, 2, 3, 4, 0x60]);
    socket.destroy();
    rig.writePolicies(POLICIES.map((policy) => JSON.stringify(policy)));
    await untilJudged(8080, i);
  });

  it('drops a source address that is not the pod’s own', async () => {
    const forged = i === 0 ? WEB[0] : WEB[1];
    const length = i === 0 ? 32 : 128;
    batch().ip(`addr add ${forged}/${length} dev lo`);
    try {
      const from = { from: batch(), fromIp: forged, to: API[i], port: 8080 };
      expect(await reaches({ ...from, ...ONE_LOOK })).not.toBe('open');
      expect(await ping({ ...from, port: 5353, ...ONE_DATAGRAM })).toBe('silent');
    } finally {
      batch().ip(`addr del ${forged}/${length} dev lo`);
    }
  });

  it('gives nothing for a mark that a pod sets on its packets', async () => {
    for (const mark of [0x0200, 0x0a00, 0x0b00, 0x0f00, 0x12340f00, 0xffffffff]) {
      const denied = await markedReach(batch(), { ip: API[i], port: 5432 }, mark);
      expect([mark, denied]).not.toEqual([mark, 'open']);
      expect(
        await ask({ from: batch(), to: API[i], port: 8080, path: '/catalogue' }),
      ).toMatchObject({
        status: 403,
      });
    }
  });
});

describe('an address that changes hands', () => {
  it('has the new owner’s rights from the first packet', async () => {
    const ip = '10.3.0.9';
    rig.addPod('shop/first', [ip], { app: 'web' });
    rig.writeEndpoints();
    await until(async () => {
      const outcome = await ask({
        from: rig.pod('shop/first').netns,
        to: API[0],
        port: 8080,
        path: '/catalogue',
      });
      return outcome.kind === 'answered' && outcome.status === 200;
    });
    rig.removePod('shop/first');
    rig.addPod('shop/second', [ip], { app: 'stranger' });
    const { netns } = rig.pod('shop/second');
    const to = { from: netns, to: API[0], port: 8080, path: '/catalogue', ...ONE_LOOK };
    // Before the endpoints file knows: an interface that nobody declared lets nothing through.
    expect(await ask(to)).not.toMatchObject({ status: 200 });
    rig.writeEndpoints();
    for (let n = 0; n < 40; n++) {
      expect(await ask(to)).not.toMatchObject({ status: 200 });
      await sleep(25);
    }
    rig.removePod('shop/second');
    rig.writeEndpoints();
  });
});

/** Until the policy in force judges `port`: the pod that may gets through to whatever is there. */
async function untilJudged(port: number, i: 0 | 1): Promise<void> {
  await until(async () => (await reaches({ from: web(), to: API[i], port })) === 'open');
}

/** A connection of a process of the pod whose socket carries a mark. */
async function markedReach(
  from: Netns,
  to: { readonly ip: string; readonly port: number },
  mark: number,
): Promise<string> {
  const family = to.ip.includes(':') ? 'AF_INET6' : 'AF_INET';
  const script = [
    'import socket, struct',
    `s = socket.socket(socket.${family}, socket.SOCK_STREAM)`,
    `s.setsockopt(socket.SOL_SOCKET, 36, struct.pack("I", ${mark}))`,
    's.settimeout(1)',
    'try:',
    `  s.connect(("${to.ip}", ${to.port})); s.send(b"hello\\n"); print("open" if s.recv(6) else "reset")`,
    'except OSError as e: print("refused")',
  ].join('\n');
  return from.run(['python3', '-c', script]).trim();
}
