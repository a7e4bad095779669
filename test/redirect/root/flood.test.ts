/**
 * A pod that sends whatever it likes, as fast as it can, from ports that it never opened: connections of
 * other pods that are open and idle go on, past the proxy and through it, and new ones can be opened.
 */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frame, SYN, tcp, udp } from '../kernel/packets.ts';
import { RawSender } from '../kernel/raw_sender.ts';
import { ask, greet, seeingOrigin } from './exchange.ts';
import { RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const PATIENCE_MS = 60_000;
const API = ['10.15.0.1', 'fd15::1'] as const;
const WEB = ['10.15.0.2', 'fd15::2'] as const;
const JOB = ['10.15.0.3', 'fd15::3'] as const;
const [PLAIN, HTTP] = [7070, 8080];
const [TCP, UDP] = [6, 17];
/** Three times what the tables hold of all pods together: what is idle would be the first to go. */
const FLOOD = 800_000;

/** All may greet; GET /ok goes through the proxy. */
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      { toPorts: [{ ports: [{ port: String(PLAIN), protocol: 'TCP' }] }] },
      {
        toPorts: [
          {
            ports: [{ port: String(HTTP), protocol: 'TCP' }],
            rules: { http: [{ method: 'GET', path: '/ok' }] },
          },
        ],
      },
    ],
  },
});

let rig: RedirectRig;
const servers: { close(): unknown }[] = [];

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: API, labels: { app: 'api' } },
      { name: 'shop/web', ips: WEB, labels: { app: 'web' } },
      { name: 'shop/job', ips: JOB, labels: { app: 'job' } },
    ],
    policies: [POLICY],
    // Nothing is taken for a connection that is older than the programs.
    limits: { redirectAdoptMs: 0 },
  });
  for (const ip of API) {
    const plain = createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    const { netns } = rig.pod('shop/api');
    await netns.listen(plain, { ip, port: PLAIN });
    const http = seeingOrigin('api');
    // It would end what is idle by itself.
    Object.assign(http, { keepAliveTimeout: 0 });
    await netns.listen(http, { ip, port: HTTP });
    servers.push(plain, http);
  }
  await rig.follow();
  await rig.proxy();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
}, TIMEOUT_MS);

/** Frames to addresses that nobody has, so that nobody answers: each is another connection. */
async function flood(i: 0 | 1): Promise<void> {
  const { netns, interface: name } = rig.pod('shop/job');
  const sender = new RawSender(netns, 'eth0', { netns: rig.node, name });
  const from = JOB[i];
  try {
    for (let n = 0; n < FLOOD; n++) {
      const to = i === 0 ? `10.99.${(n >> 15) & 255}.1` : `fd99::${((n >> 15) + 1).toString(16)}`;
      const port = 1024 + (n & 0x7fff);
      const isTcp = (n & 1) === 0;
      const payload = isTcp ? tcp({ from: port, to: 80, flags: SYN }) : udp(port, 53);
      sender.send(frame({ from, to, protocol: isTcp ? TCP : UDP, payload }));
      if (n % 5000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    sender.close();
  }
}

/** Of kept connections: what comes back of one more question. */
async function said(socket: Socket, text: string): Promise<string> {
  const answer = once(socket, 'data', { signal: AbortSignal.timeout(PATIENCE_MS) });
  socket.write(text);
  return String((await answer)[0]);
}

describe.each([
  ['IPv4', 0],
  ['IPv6', 1],
] as const)('%s: while one pod floods', (_family, i) => {
  it(
    'others keep what is idle, and open what they like',
    async () => {
      const { netns } = rig.pod('shop/web');
      const open = async (port: number): Promise<Socket> => {
        const socket = netns.client(i === 0 ? 4 : 6);
        socket.connect({ host: API[i], port });
        await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) });
        return socket;
      };
      const plain = await open(PLAIN);
      const http = await open(HTTP);
      const get = 'GET /ok HTTP/1.1\r\nhost: origin.test\r\n\r\n';
      expect(await said(plain, 'hello\n')).toBe('hello\n');
      expect(await said(http, get)).toMatch(/^HTTP\/1.1 200/);
      const flooding = flood(i);
      expect(await greet({ from: netns, to: API[i], port: PLAIN })).toBe('open');
      expect(await ask({ from: netns, to: API[i], port: HTTP, path: '/ok' })).toMatchObject({
        status: 200,
      });
      await flooding;
      expect(await said(plain, 'still there?')).toBe('still there?');
      expect(await said(http, get)).toMatch(/^HTTP\/1.1 200/);
      expect(await greet({ from: netns, to: API[i], port: PLAIN })).toBe('open');
      expect(await ask({ from: netns, to: API[i], port: HTTP, path: '/no' })).toMatchObject({
        status: 403,
      });
      for (const socket of [plain, http]) socket.destroy();
    },
    TIMEOUT_MS,
  );
});
