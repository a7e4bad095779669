/** What does not have exactly one reading is refused, and what a policy has no word for passes or not by rule. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import {
  type CounterName,
  identityMark,
  MARK_ENTERED,
  MARK_TO_PROXY,
} from '../../../src/redirect/layout.ts';
import { DROP, PASS } from './lab.ts';
import {
  ACK,
  arp,
  bytesOf,
  ethernet,
  extension,
  FIN,
  fragment6,
  frame,
  icmp,
  RST,
  SYN,
  sctp,
  tcp,
  udp,
} from './packets.ts';
import { A, B, NODE, OUTSIDE, PORT, World } from './world.ts';

const [ICMP, TCP, UDP, ROUTING, FRAGMENT, ICMP6, NO_NEXT, OPTIONS, SCTP] = [
  1, 6, 17, 43, 44, 58, 59, 60, 132,
];

let world: World;

beforeAll(() => {
  world = new World('parse');
  world.lab.apply(world.tables());
});
afterAll(() => world.dispose());

const dns = udp(4000, 53);
const open = tcp({ from: 4000, to: PORT.allowed, flags: SYN });
const v4 = (payload: Buffer, protocol: number, more: object = {}): Buffer =>
  frame({ from: A.ip4, to: B.ip4, protocol, payload, ...more });
const v6 = (payload: Buffer, protocol: number, more: object = {}): Buffer =>
  frame({ from: A.ip6, to: B.ip6, protocol, payload, ...more });
const option = (...bytes: number[]): Buffer => Buffer.from(bytes);

const refused: readonly (readonly [name: string, packet: () => Buffer, counter: CounterName])[] = [
  [
    'a VLAN tag',
    () => ethernet(0x8100, Buffer.concat([option(0, 5, 8, 0), v4(dns, UDP).subarray(14)])),
    'vlan',
  ],
  ['a service VLAN tag', () => ethernet(0x88a8, Buffer.alloc(60)), 'vlan'],
  ['another protocol than IP', () => ethernet(0x88cc, Buffer.alloc(60)), 'not-ip'],
  ['an IPv4 head that is cut', () => headOf(15), 'malformed'],
  ['an IPv4 head shorter than its least', () => headOf(4), 'malformed'],
  ['version 6 where 4 is said', () => ethernet(0x0800, v6(dns, UDP).subarray(14)), 'malformed'],
  [
    'version 4 where 6 is said',
    () => ethernet(0x86dd, Buffer.concat([v4(dns, UDP).subarray(14), Buffer.alloc(40)])),
    'malformed',
  ],
  ['a length beyond the frame', () => v4(dns, UDP, { totalLength: 200 }), 'malformed'],
  ['a length that ends before the ports', () => v4(dns, UDP, { totalLength: 24 }), 'malformed'],
  [
    'a length that ends inside of the TCP head',
    () => v4(open, TCP, { totalLength: 34 }),
    'malformed',
  ],
  [
    'an IPv6 length that ends before the ports',
    () => v6(dns, UDP, { totalLength: 4 }),
    'malformed',
  ],
  [
    'a loose source route',
    () => v4(dns, UDP, { options: option(131, 7, 4, 10, 9, 0, 1, 0) }),
    'malformed',
  ],
  [
    'a strict source route behind others',
    () => v4(dns, UDP, { options: option(1, 1, 137, 3, 4, 0, 0, 0) }),
    'malformed',
  ],
  ['an option without length', () => v4(dns, UDP, { options: option(7, 0, 0, 0) }), 'malformed'],
  ['an IPv6 routing header', () => v6(Buffer.concat([extension(UDP), dns]), ROUTING), 'malformed'],
  [
    'a routing header behind options',
    () => v6(Buffer.concat([extension(ROUTING), extension(UDP), dns]), OPTIONS),
    'malformed',
  ],
  [
    'a hop-by-hop header in second place',
    () => v6(Buffer.concat([extension(0), extension(UDP), dns]), OPTIONS),
    'malformed',
  ],
  [
    'more headers than are walked',
    () => v6(Buffer.concat([...Array(6).fill(extension(OPTIONS)), extension(UDP), dns]), OPTIONS),
    'malformed',
  ],
  ['a header that is cut', () => v6(extension(UDP).subarray(0, 4), OPTIONS), 'malformed'],
  [
    'a mapped address as destination',
    () => frame({ from: A.ip6, to: '::ffff:10.9.1.2', protocol: UDP, payload: dns }),
    'malformed',
  ],
  [
    'a fragment inside of a fragment',
    () =>
      v6(
        Buffer.concat([fragment6(FRAGMENT, 9, 0, true), fragment6(UDP, 9, 0, true), dns]),
        FRAGMENT,
      ),
    'malformed',
  ],
  [
    'SYN with FIN',
    () => v4(tcp({ from: 1, to: PORT.allowed, flags: SYN | FIN }), TCP),
    'malformed',
  ],
  [
    'SYN with RST',
    () => v4(tcp({ from: 1, to: PORT.allowed, flags: SYN | RST }), TCP),
    'malformed',
  ],
  ['a TCP head shorter than its least', () => v4(shortTcp(), TCP), 'malformed'],
  ['the first TCP fragment', () => v4(open, TCP, { fragment: 0x2000, id: 1 }), 'fragment'],
  ['a later TCP fragment', () => v4(open, TCP, { fragment: 10, id: 1 }), 'fragment'],
  [
    'an IPv6 TCP fragment',
    () => v6(Buffer.concat([fragment6(TCP, 1, 0, true), open]), FRAGMENT),
    'fragment',
  ],
  [
    'an atomic TCP fragment',
    () => v6(Buffer.concat([fragment6(TCP, 1, 0, false), open]), FRAGMENT),
    'fragment',
  ],
  ['a later fragment without its first', () => v4(dns, UDP, { fragment: 10, id: 77 }), 'fragment'],
  [
    'a later IPv6 fragment without its first',
    () => v6(Buffer.concat([fragment6(UDP, 77, 10, false), dns]), FRAGMENT),
    'fragment',
  ],
];

function headOf(words: number): Buffer {
  const packet = v4(dns, UDP);
  packet[14] = 0x40 | words;
  return packet;
}

function shortTcp(): Buffer {
  const header = tcp({ from: 1, to: PORT.allowed, flags: SYN });
  header[12] = 0x40;
  return header;
}

describe('refused whatever the policy says', () => {
  it.each(refused)('%s', (_name, packet, counter) => {
    expect(world.fromA(packet())).toMatchObject({ result: DROP, counted: [counter] });
  });
});

const passed: readonly (readonly [name: string, packet: () => Buffer])[] = [
  ['plain UDP', () => v4(dns, UDP)],
  ['UDP of IPv6', () => v6(dns, UDP)],
  [
    'IPv4 options that are no route',
    () => v4(dns, UDP, { options: option(7, 7, 4, 0, 0, 0, 0, 0) }),
  ],
  ['a router alert', () => v4(dns, UDP, { options: option(148, 4, 0, 0) })],
  ['IPv6 options', () => v6(Buffer.concat([extension(OPTIONS), extension(UDP, 16), dns]), 0)],
  ['Ethernet padding', () => Buffer.concat([v4(dns, UDP), Buffer.alloc(20)])],
  ['SCTP', () => v4(sctp(4000, 36412), SCTP)],
  ['an echo request', () => v4(icmp(8, 0, 5), ICMP)],
  ['an echo request of IPv6', () => v6(icmp(128, 0, 5), ICMP6)],
];

describe('read as what they are', () => {
  it.each(passed)('%s', (_name, packet) => {
    expect(world.fromA(packet())).toMatchObject({ result: PASS, counted: ['passed'] });
  });

  it.each([
    ['UDP to another port', () => v4(udp(4000, 54), UDP)],
    ['SCTP to another port', () => v4(sctp(4000, 1), SCTP)],
    ['an ICMP type that no rule names', () => v4(icmp(13, 0, 5), ICMP)],
    ['a code that no rule names', () => v4(icmp(8, 1, 5), ICMP)],
    ['a protocol that no rule names', () => v4(Buffer.alloc(20), 47)],
    ['ICMP of the other family', () => v6(icmp(8, 0, 5), ICMP)],
    ['nothing behind the headers', () => v6(Buffer.alloc(0), NO_NEXT)],
  ] as const)('and denied by the policy: %s', (_name, packet) => {
    expect(world.fromA(packet())).toMatchObject({ result: DROP, counted: ['denied-egress'] });
  });

  it('ports behind the length, in the padding, are none', () => {
    const padded = v4(dns, UDP, { totalLength: 20 });
    expect(world.fromA(padded)).toMatchObject({ result: DROP, counted: ['malformed'] });
  });
});

describe('fragments of datagrams', () => {
  it('later ones have the ports of the first', () => {
    const more = { id: 500, fragment: 0x2000 };
    expect(world.fromA(v4(dns, UDP, more)).result).toBe(PASS);
    expect(world.fromA(v4(Buffer.alloc(64), UDP, { id: 500, fragment: 2 })).result).toBe(PASS);
  });

  it('later ones of a refused first are refused', () => {
    expect(world.fromA(v4(udp(4000, 54), UDP, { id: 501, fragment: 0x2000 })).result).toBe(DROP);
    const later = world.fromA(v4(Buffer.alloc(64), UDP, { id: 501, fragment: 2 }));
    expect(later).toMatchObject({ result: DROP, counted: ['denied-egress'] });
  });

  it('of IPv6, too', () => {
    const first = v6(Buffer.concat([fragment6(UDP, 600, 0, true), dns]), FRAGMENT);
    const later = v6(Buffer.concat([fragment6(UDP, 600, 10, false), Buffer.alloc(64)]), FRAGMENT);
    expect(world.fromA(first).result).toBe(PASS);
    expect(world.fromA(later).result).toBe(PASS);
  });

  it('a first one that another forged is none', () => {
    const first = v4(dns, UDP, { id: 502, fragment: 0x2000 });
    expect(world.fromB(first)).toMatchObject({ result: DROP, counted: ['foreign-source'] });
    const later = v4(Buffer.alloc(64), UDP, { id: 502, fragment: 2 });
    expect(world.fromA(later)).toMatchObject({ result: DROP, counted: ['fragment'] });
  });
});

describe('ARP and neighbour discovery', () => {
  const solicitation = Buffer.alloc(16);
  const ndp = (type: number, more: object): Buffer =>
    frame({
      from: A.ip6,
      to: 'ff02::1:ff00:1',
      protocol: ICMP6,
      payload: icmp(type, 0, 0, solicitation),
      ttl: 255,
      ...more,
    });

  it.each([
    ['another endpoint’s', B.ip4, 1],
    ['another endpoint’s, in an answer', B.ip4, 2],
    ['the node’s', NODE.ip4, 2],
    ['the world’s', OUTSIDE.ip4, 2],
  ] as const)('ARP that claims an address that is %s does not pass', (_about, ip, operation) => {
    const claim = arp({ senderIp: ip, targetIp: NODE.ip4, operation });
    const counted = ['foreign-neighbour'];
    expect(world.fromA(claim)).toMatchObject({ result: DROP, counted });
  });

  it('ARP of another form, cut, or from an interface that nobody knows does not pass', () => {
    const right = { senderIp: A.ip4, targetIp: NODE.ip4 };
    for (const packet of [arp({ ...right, hardware: 6 }), ethernet(0x0806, Buffer.alloc(46))])
      expect(world.fromA(packet)).toMatchObject({ result: DROP, counted: ['foreign-neighbour'] });
    expect(world.fromUnknown(arp(right))).toMatchObject({ counted: ['unknown-interface'] });
  });

  it.each([
    ['another endpoint’s address', 136, { from: 'fe80::5' }, B.ip6],
    ['the node’s address', 136, { from: 'fe80::5' }, NODE.ip6],
    ['the node’s link-local address', 136, { from: 'fe80::5' }, NODE.linkLocal],
    ['from its own address another’s', 136, {}, B.ip6],
    ['from the node’s link-local address', 135, { from: NODE.linkLocal }, B.ip6],
    ['that another’s address is its own to be', 135, { from: '::' }, B.ip6],
    ['an address of the world', 136, { from: 'fe80::5' }, OUTSIDE.ip6],
  ] as const)('an endpoint cannot claim %s', (_about, type, more, target) => {
    const payload = icmp(type, 0, 0, bytesOf(target));
    expect(world.fromA(ndp(type, { ...more, payload }))).toMatchObject({
      ...{ result: DROP, counted: ['foreign-neighbour'] },
    });
  });

  it('an endpoint may ask for everybody, and tell its own addresses', () => {
    const asked = icmp(135, 0, 0, bytesOf(B.ip6));
    expect(world.fromA(ndp(135, { payload: asked }))).toMatchObject({ result: PASS });
    for (const own of [A.ip6, 'fe80::5']) {
      const told = icmp(136, 0, 0, bytesOf(own));
      expect(world.fromA(ndp(136, { from: 'fe80::5', payload: told }))).toMatchObject({
        result: PASS,
      });
      const tried = icmp(135, 0, 0, bytesOf(own));
      expect(world.fromA(ndp(135, { from: '::', payload: tried }))).toMatchObject({ result: PASS });
    }
  });

  it('pass to the node', () => {
    const question = arp({ senderIp: A.ip4, targetIp: NODE.ip4 });
    expect(world.fromA(question)).toMatchObject({ result: PASS, mark: 0 });
    const probe = arp({ senderIp: '0.0.0.0', targetIp: A.ip4 });
    expect(world.fromA(probe)).toMatchObject({ result: PASS, mark: 0 });
    const router = arp({ senderIp: OUTSIDE.ip4, targetIp: NODE.ip4 });
    expect(world.fromUplink(router)).toMatchObject({ result: PASS, mark: 0 });
    expect(world.fromA(ndp(135, {}))).toMatchObject({ result: PASS, mark: 0 });
  });

  it('to an address that might be anybody’s are kept on the node', () => {
    expect(world.fromA(ndp(135, { to: NODE.ip6 })).magic).toBe(MARK_TO_PROXY);
    expect(world.fromA(ndp(135, { to: OUTSIDE.ip6 })).magic).toBe(MARK_TO_PROXY);
  });

  it.each([
    ['from another’s address', { from: B.ip6 }, 'foreign-source'],
    ['that came over a router', { ttl: 254 }, 'denied-egress'],
  ] as const)('%s do not', (_name, more, counter) => {
    expect(world.fromA(ndp(135, more))).toMatchObject({ result: DROP, counted: [counter] });
  });

  it('an endpoint is no router', () => {
    expect(world.fromA(ndp(134, {}))).toMatchObject({ result: DROP, counted: ['foreign-source'] });
    expect(world.fromA(ndp(137, {}))).toMatchObject({ result: DROP, counted: ['foreign-source'] });
    expect(world.fromUplink(ndp(134, { from: 'fe80::9', to: 'ff02::1' }))).toMatchObject({
      result: PASS,
    });
  });

  it('what a pod listens to is told to the link, and to no more', () => {
    const alert = Buffer.from([ICMP6, 0, 5, 2, 0, 0, 1, 0]);
    const report = (more: object): Buffer =>
      frame({
        ...{ from: 'fe80::5', to: 'ff02::16', protocol: 0, ttl: 1 },
        payload: Buffer.concat([alert, icmp(143, 0, 0, solicitation)]),
        ...more,
      });
    expect(world.fromA(report({}))).toMatchObject({ result: PASS, counted: [] });
    expect(world.fromA(report({ ttl: 2 }))).toMatchObject({ result: DROP });
    expect(world.fromA(report({ to: 'ff05::16' }))).toMatchObject({ result: DROP });
  });

  it('behind extension headers they are ICMP like any other', () => {
    const hidden = frame({
      from: A.ip6,
      to: 'ff02::1',
      protocol: OPTIONS,
      payload: Buffer.concat([extension(ICMP6), icmp(135, 0, 0, solicitation)]),
      ttl: 255,
    });
    expect(world.fromA(hidden)).toMatchObject({ result: DROP, counted: ['denied-egress'] });
  });
});

describe('interfaces and sources', () => {
  it('an interface that no table names', () => {
    expect(world.fromUnknown(v4(dns, UDP))).toMatchObject({
      result: DROP,
      counted: ['unknown-interface'],
    });
  });

  it.each([
    ['another endpoint’s address', B.ip4],
    ['the node’s', NODE.ip4],
    ['the world’s', OUTSIDE.ip4],
    ['another endpoint’s IPv6 address', B.ip6],
    ['a link-local one', 'fe80::5'],
  ] as const)('an endpoint cannot send from %s', (_name, from) => {
    const to = from.includes(':') ? OUTSIDE.ip6 : OUTSIDE.ip4;
    const forged = world.fromA(frame({ from, to, protocol: UDP, payload: dns }));
    expect(forged).toMatchObject({ result: DROP, counted: ['foreign-source'] });
  });

  it.each([
    ['an endpoint of ours', A.ip4, B.ip4],
    ['an endpoint of ours, IPv6', A.ip6, B.ip6],
    ['the node itself', NODE.ip4, B.ip4],
    ['the node itself, to the world', NODE.ip6, OUTSIDE.ip6],
  ] as const)('nobody outside is %s', (_name, from, to) => {
    const forged = world.fromUplink(
      frame({ from, to, protocol: TCP, payload: tcp({ from: 1, to: 85, flags: SYN }) }),
    );
    expect(forged).toMatchObject({ result: DROP, counted: ['foreign-source'] });
  });

  it('what an uplink brings for the node is the node’s, marked with who it was', () => {
    const ssh = frame({
      from: OUTSIDE.ip4,
      to: NODE.ip4,
      protocol: TCP,
      payload: tcp({ from: 9, to: 22, flags: SYN }),
    });
    const mark = identityMark(MARK_ENTERED, 2 as Identity);
    expect(world.fromUplink(ssh)).toMatchObject({ result: PASS, mark, counted: [] });
    const cut = frame({
      from: OUTSIDE.ip4,
      to: NODE.ip4,
      protocol: TCP,
      payload: tcp({ from: 9, to: 22, flags: ACK }),
      fragment: 20,
    });
    expect(world.fromUplink(cut)).toMatchObject({ result: PASS, mark, counted: [] });
  });

  it('before the first generation only neighbours are spoken to', () => {
    world.lab.setGeneration(0);
    try {
      expect(world.fromA(v4(dns, UDP))).toMatchObject({ result: DROP, counted: ['no-generation'] });
      expect(world.toB(v4(dns, UDP))).toMatchObject({ result: DROP, counted: ['no-generation'] });
      expect(world.fromA(ethernet(0x0806, Buffer.alloc(46)))).toMatchObject({ result: PASS });
      const asked = frame({
        from: 'fe80::5',
        to: 'ff02::1',
        protocol: ICMP6,
        payload: icmp(135, 0, 0, Buffer.alloc(16)),
        ttl: 255,
      });
      expect(world.fromA(asked)).toMatchObject({ result: PASS });
    } finally {
      world.lab.setGeneration(1);
    }
  });
});
