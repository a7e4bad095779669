/**
 * Fragments over a Service: the node puts them together for its NAT and takes them apart again, and what it
 * makes anew then is still of who sent it, never of the node.
 */
import type { Socket as UdpSocket } from 'node:dgram';
import { on } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ONE_DATAGRAM, ping } from './exchange.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';
import { addService } from './service_nat.ts';

const TIMEOUT_MS = 300_000;
const SILENCE_MS = 500;
const PATIENCE_MS = 60_000;
const [API, WEB, JOB] = ['fd0a::1', 'fd0a::2', 'fd0a::3'];
const FRIEND = '2001:db8::10';
const STRANGER = '2001:db8:1::10';
const NODE = 'fd00:64::1';
const VIRTUAL = 'fd96::30';
const [PORT, SERVICE_PORT] = [5300, 8001];

/** web and the friends outside may send datagrams; others may not. */
const POLICY = JSON.stringify({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'api', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      { fromEndpoints: [{ matchLabels: { app: 'web' } }] },
      { fromCIDR: ['2001:db8::/48'] },
    ],
  },
});

/**
 * One datagram in two fragments. The second one is longer than a fragment may be with the first one's
 * options before it, so the node cannot send on what it got and makes packets anew.
 */
const SEND_FRAGMENTS = `
import socket, struct, sys
source, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
src, dst = (socket.inet_pton(socket.AF_INET6, ip) for ip in (source, target))
data = b'f' * (8 * 171 - 8)
body = struct.pack('!HHHH', 4000, port, 8 + len(data), 0) + data
pseudo = src + dst + struct.pack('!II', len(body), 17) + body
total = sum(struct.unpack('!%dH' % (len(pseudo) // 2), pseudo))
while total >> 16: total = (total & 0xffff) + (total >> 16)
body = body[:6] + struct.pack('!H', ~total & 0xffff or 0xffff) + body[8:]
def fragment(offset, more, bytes):
    return struct.pack('!BBHI', 17, 0, offset | more, 0x5a11) + bytes
def packet(header, rest):
    return struct.pack('!IHBB', 0x60000000, len(rest), header, 64) + src + dst + rest
options = struct.pack('!BBBBI', 44, 0, 1, 4, 0)
sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
sender.sendto(packet(60, options + fragment(0, 1, body[:64])), (target, 0))
sender.sendto(packet(44, fragment(64, 0, body[64:])), (target, 0))
`;

let rig: RedirectRig;
let server: UdpSocket;

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/api', ips: [API], labels: { app: 'api' } },
      { name: 'shop/web', ips: [WEB], labels: { app: 'web' } },
      { name: 'shop/job', ips: [JOB], labels: { app: 'job' } },
    ],
    outside: [FRIEND, STRANGER],
    policies: [POLICY],
  });
  server = await rig.pod('shop/api').netns.udp({ ip: API, port: PORT });
  server.on('message', (bytes, from) => server.send(bytes, from.port, from.address));
  rig.outside.ip(`route add ${VIRTUAL} via ${NODE}`);
  const nat = { name: 'ClusterIP', address: 'virtual', port: SERVICE_PORT, source: null } as const;
  const backend = { ip: API, tcpPort: PORT, udpPort: PORT };
  addService(rig.node, nat, { iptables: 'iptables-nft', family: 6, address: VIRTUAL, backend });
  await rig.follow();
}, TIMEOUT_MS);

afterAll(async () => {
  server?.close();
  await rig?.dispose();
}, TIMEOUT_MS);

const who = (name: string): Netns => (name === 'outside' ? rig.outside : rig.pod(name).netns);

async function sendFragments(
  { from, fromIp }: { readonly from: Netns; readonly fromIp: string },
  patienceMs: number,
): Promise<'arrived' | 'silent'> {
  const arrived = longMessage().then(() => 'arrived' as const);
  from.run(['python3', '-c', SEND_FRAGMENTS, fromIp, VIRTUAL, String(SERVICE_PORT)]);
  return Promise.race([arrived, sleep(patienceMs, 'silent' as const)]);
}

/** No late copy of what `ping` says. */
async function longMessage(): Promise<void> {
  for await (const [bytes] of on(server, 'message')) {
    if ((bytes as Buffer).length > 1000) return;
  }
}

describe.each([
  { name: 'shop/web', fromIp: WEB, expected: 'arrived' },
  { name: 'shop/job', fromIp: JOB, expected: 'silent' },
  { name: 'outside', fromIp: FRIEND, expected: 'arrived' },
  { name: 'outside', fromIp: STRANGER, expected: 'silent' },
])('$name as $fromIp', ({ name, fromIp, expected }) => {
  it(`fragments that the node makes anew: ${expected}`, async () => {
    const sender = { from: who(name), fromIp };
    const isHeard = expected === 'arrived';
    const look = isHeard ? {} : ONE_DATAGRAM;
    const whole = await ping({ ...sender, to: VIRTUAL, port: SERVICE_PORT, ...look });
    expect(whole).toBe(isHeard ? 'open' : 'silent');
    expect(await sendFragments(sender, isHeard ? PATIENCE_MS : SILENCE_MS)).toBe(expected);
  });
});
