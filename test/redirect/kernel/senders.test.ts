/**
 * Who sent what goes out to an endpoint: the interface that it came in by says so, or the mark that it got
 * there. What a NAT has made of its source address says nothing, and a tunnel lets nobody be another.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import {
  type CounterName,
  IP_PROTOCOLS,
  identityMark,
  MARK_ENTERED,
  MARK_ENTERED_LOCAL,
  MARK_PROXY_INGRESS,
  MARK_SENT,
  MARK_TO_PROXY,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_REDIRECT,
} from '../../../src/redirect/layout.ts';
import { DROP, PASS, REDIRECTED, RESET, type Rule, type Tables } from './lab.ts';
import { AB, BA, datagram, fresh, key, type Leg, segment } from './legs.ts';
import { ACK, readTcp, SYN } from './packets.ts';
import { A, B, NODE, OUTSIDE, PARTNER, World } from './world.ts';

const { TCP, UDP } = IP_PROTOCOLS;
const [FOR_A, FOR_LOCAL, FOR_PROXY] = [81, 82, 80];
const LOCAL = 0x100_0bb8; // The low bits are PARTNER's number.
const OPEN: readonly Rule[] = [{ protocol: 0, verdict: VERDICT_ALLOW }];
const B_INGRESS: readonly Rule[] = [
  {
    protocol: TCP,
    port: FOR_A,
    verdict: VERDICT_DENY,
    remotes: { [A.identity]: VERDICT_ALLOW, [PARTNER.identity]: VERDICT_ALLOW },
  },
  { protocol: TCP, port: FOR_LOCAL, verdict: VERDICT_DENY, remotes: { [LOCAL]: VERDICT_ALLOW } },
  {
    protocol: TCP,
    port: FOR_PROXY,
    verdict: VERDICT_DENY,
    remotes: { [A.identity]: VERDICT_REDIRECT },
  },
  { protocol: UDP, port: 53, verdict: VERDICT_DENY, remotes: { [A.identity]: VERDICT_ALLOW } },
];

let world: World;

const tables = (bIngress: readonly Rule[] = B_INGRESS): Tables => {
  const all = world.tables(OPEN, bIngress);
  return {
    ...all,
    endpoints: new Map([
      ...all.endpoints,
      [A.endpoint, { identity: A.identity, egress: OPEN, ingress: [], ips: [A.ip4, A.ip6] }],
      [B.endpoint, { identity: B.identity, egress: OPEN, ingress: bIngress }],
    ]),
  };
};

beforeAll(async () => {
  world = new World('senders');
  await world.listen(4);
  await world.listen(6);
  world.lab.apply(tables());
});
afterAll(() => world.dispose());

const fromNode: Leg = { from: NODE.ip4, to: B.ip4 };
const sent = (endpoint: number): number => identityMark(MARK_SENT, endpoint as Identity);
const entered = (identity: number): number => identityMark(MARK_ENTERED, identity as Identity);

interface Case {
  readonly about: string;
  readonly from: string;
  readonly by: 'a' | 'b' | 'uplink' | 'unknown';
  readonly mark?: number;
  readonly to?: number;
  readonly counted: readonly CounterName[];
}

const CASES: readonly Case[] = [
  { about: 'as it was sent', from: A.ip4, by: 'a', counted: ['passed'] },
  { about: 'with the node’s address', from: NODE.ip4, by: 'a', counted: ['passed'] },
  { about: 'with an address of the world', from: OUTSIDE.ip4, by: 'a', counted: ['passed'] },
  {
    about: 'over a bridge, with its own',
    from: A.ip4,
    by: 'unknown',
    mark: sent(11),
    counted: ['passed'],
  },
  {
    about: 'over a bridge, with the node’s',
    from: NODE.ip4,
    by: 'unknown',
    mark: sent(11),
    counted: ['passed'],
  },
  { about: 'as another endpoint', from: B.ip4, by: 'a', counted: ['foreign-source'] },
  {
    about: 'over a tunnel, as another endpoint',
    from: A.ip4,
    by: 'unknown',
    mark: sent(12),
    counted: ['foreign-source'],
  },
  {
    about: 'by an endpoint that is none',
    from: NODE.ip4,
    by: 'unknown',
    mark: sent(4711),
    counted: ['unknown-sender'],
  },
  {
    about: 'by an interface’s endpoint, whatever the mark',
    from: OUTSIDE.ip4,
    by: 'a',
    mark: sent(12),
    counted: ['passed'],
  },
  {
    about: 'from outside, with the node’s address',
    from: NODE.ip4,
    by: 'uplink',
    mark: entered(PARTNER.identity),
    counted: ['passed'],
  },
  {
    about: 'from the world, with the node’s address',
    from: NODE.ip4,
    by: 'uplink',
    mark: entered(2),
    counted: ['denied-ingress'],
  },
  {
    about: 'from the world, with a better address',
    from: PARTNER.ip4,
    by: 'uplink',
    mark: entered(2),
    counted: ['denied-ingress'],
  },
  {
    about: 'from a CIDR that is numbered like somebody',
    from: NODE.ip4,
    by: 'uplink',
    mark: identityMark(MARK_ENTERED_LOCAL, LOCAL as Identity),
    counted: ['denied-ingress'],
  },
  {
    about: 'from a CIDR, with the node’s address',
    from: NODE.ip4,
    by: 'uplink',
    to: FOR_LOCAL,
    mark: identityMark(MARK_ENTERED_LOCAL, LOCAL as Identity),
    counted: ['passed'],
  },
  {
    about: 'from somebody who is numbered like a CIDR',
    from: NODE.ip4,
    by: 'uplink',
    to: FOR_LOCAL,
    mark: entered(PARTNER.identity),
    counted: ['denied-ingress'],
  },
  {
    about: 'from outside, as an endpoint',
    from: A.ip4,
    by: 'uplink',
    mark: entered(2),
    counted: ['unknown-sender'],
  },
  {
    about: 'from outside, without a mark, with the node’s address',
    from: NODE.ip4,
    by: 'uplink',
    counted: ['unknown-sender'],
  },
  { about: 'from outside, without a mark', from: PARTNER.ip4, by: 'uplink', counted: ['passed'] },
  {
    about: 'by who knows whom, marked as from outside',
    from: NODE.ip4,
    by: 'unknown',
    mark: entered(PARTNER.identity),
    counted: ['foreign-source'],
  },
  {
    about: 'by who knows whom, with the node’s address',
    from: NODE.ip4,
    by: 'unknown',
    counted: ['foreign-source'],
  },
];

describe('a packet that was sent', () => {
  it.each(CASES)('$about', ({ from, by, mark = 0, to = FOR_A, counted }) => {
    const packet = segment({ from, to: B.ip4 }, fresh(), to, SYN);
    // Bits that kube-proxy sets on its way are none of ours.
    const outcome = world.toB(packet, { mark: mark | 0x4000, ingressIfindex: world[by] });
    expect(outcome.counted.filter((name) => name !== 'resets-sent')).toEqual(counted);
    const isPassed = counted[0] === 'passed';
    expect(outcome.result === PASS).toBe(isPassed);
    const isAnswered = !isPassed && counted[0] === 'denied-ingress' && by !== 'unknown';
    if (!isPassed) expect(outcome.result).toBe(isAnswered ? RESET : DROP);
  });

  it('to another endpoint’s address is not for this one', () => {
    const packet = segment({ from: OUTSIDE.ip4, to: A.ip4 }, fresh(), FOR_A, SYN);
    const sentTo = world.toB(packet, {
      ingressIfindex: world.uplink,
      mark: entered(PARTNER.identity),
    });
    expect(sentTo).toMatchObject({ result: DROP, counted: ['foreign-neighbour'] });
  });

  it('out of a tunnel that is an uplink is refused if an endpoint spoke to the node’s end', () => {
    const packet = segment({ from: PARTNER.ip4, to: B.ip4 }, fresh(), FOR_A, SYN);
    const way = { ifindex: world.uplink, mark: sent(A.endpoint) };
    expect(world.lab.send('from_interface', packet, way).result).toBe(DROP);
    expect(world.lab.send('from_interface', packet, { ...way, mark: 0 }).result).toBe(PASS);
  });
});

describe('a connection with the node’s address', () => {
  const asA = { mark: sent(A.endpoint), ingressIfindex: 0 };

  it('is its sender’s: answers pass, and another’s packets do not', () => {
    asA.ingressIfindex = world.a;
    const from = fresh();
    const back: Leg = { from: B.ip4, to: NODE.ip4 };
    expect(world.toB(datagram(fromNode, from, 53), asA)).toMatchObject({ result: PASS });
    expect(world.fromB(datagram(back, 53, from))).toMatchObject({ result: PASS });
    const asWorld = { mark: entered(2), ingressIfindex: world.uplink };
    expect(world.toB(datagram(fromNode, from, 53), asWorld)).toMatchObject({ result: DROP });
  });

  it('is judged as its sender’s when the policy changes, whichever side speaks first', () => {
    asA.ingressIfindex = world.a;
    for (const isAnswerFirst of [true, false]) {
      world.lab.apply(tables());
      const from = fresh();
      const back: Leg = { from: B.ip4, to: NODE.ip4 };
      world.toB(segment(fromNode, from, FOR_A, SYN), asA);
      expect(world.fromB(segment(back, FOR_A, from, SYN | ACK))).toMatchObject({ result: PASS });
      world.lab.apply(tables([]));
      const first = isAnswerFirst
        ? world.fromB(segment(back, FOR_A, from, ACK))
        : world.toB(segment(fromNode, from, FOR_A, ACK), asA);
      expect(first).toMatchObject({ result: RESET, counted: ['denied-ingress', 'resets-sent'] });
      expect(world.fromB(segment(back, FOR_A, from, ACK))).toMatchObject({ result: RESET });
    }
    world.lab.apply(tables());
  });

  it.each([
    ['IPv4', NODE.ip4, A.ip4, B.ip4],
    ['IPv6', NODE.ip6, A.ip6, B.ip6],
  ] as const)(
    'comes in again as its sender’s when it is the proxy’s, %s',
    (_about, node, own, to) => {
      asA.ingressIfindex = world.a;
      const from = fresh();
      const leg: Leg = { from: node, to };
      const opening = world.toB(segment(leg, from, FOR_PROXY, SYN), asA);
      expect(opening).toMatchObject({
        result: REDIRECTED,
        counted: ['redirected'],
        magic: MARK_TO_PROXY,
      });
      const again = readTcp(opening.packet);
      expect(again).toMatchObject({
        from: own,
        to,
        destinationPort: FOR_PROXY,
        isChecksumRight: true,
      });
      expect(again.sourcePort).toBeLessThan(32_768);
      const record = world.lab.datapath.maps.records.lookup(
        key({ from: own, to }, again.sourcePort, FOR_PROXY),
      );
      expect(record).not.toBeNull();
      // What is sent again keeps its port, and so does the rest of the connection.
      for (const flags of [SYN, ACK]) {
        const next = world.toB(segment(leg, from, FOR_PROXY, flags, 'x'), asA);
        expect(readTcp(next.packet)).toEqual({
          ...again,
          flags,
          seq: 1000,
          ack: flags & ACK ? 2000 : 0,
          length: again.length + 1,
        });
      }
      const other = world.toB(segment(leg, fresh(), FOR_PROXY, SYN), asA);
      expect(readTcp(other.packet).sourcePort).not.toBe(again.sourcePort);
      expect(world.toB(segment(leg, fresh(), FOR_PROXY, ACK), asA)).toMatchObject({
        ...{ result: RESET, counted: ['stale', 'resets-sent'] },
      });
    },
  );
});

describe('a port that a connection over a Service came in by', () => {
  const asA = { mark: sent(A.endpoint), ingressIfindex: 0 };

  it('is free again when the connection is over, so they never run out', () => {
    asA.ingressIfindex = world.a;
    const { returns } = world.lab.datapath.maps;
    const ports = Array.from({ length: 32_768 - 1024 }, (_, n) => 1024 + n);
    const over = Buffer.alloc(returns.valueBytes);
    returns.updateMany(ports.map((port) => [key(AB, port, FOR_PROXY), over]));
    const opening = world.toB(segment(fromNode, fresh(), FOR_PROXY, SYN), asA);
    expect(opening).toMatchObject({ result: REDIRECTED, counted: ['redirected'] });
  });

  it('is the sender’s own to use: answers go to it, not to the Service', () => {
    asA.ingressIfindex = world.a;
    const opening = world.toB(segment(fromNode, fresh(), FOR_PROXY, SYN), asA);
    const port = readTcp(opening.packet).sourcePort;
    const answer = segment(BA, FOR_PROXY, port, SYN | ACK);
    const fromProxy = { ifindex: world.a, mark: MARK_PROXY_INGRESS };
    expect(world.lab.send('to_endpoint', answer, fromProxy).result).toBe(REDIRECTED);
    world.lab.datapath.maps.records.delete(key(AB, port, FOR_PROXY));
    const own = world.fromA(segment(AB, port, FOR_PROXY, SYN));
    expect(own).toMatchObject({ result: PASS, counted: ['redirected'] });
    expect(world.lab.send('to_endpoint', answer, fromProxy).result).toBe(PASS);
  });
});

describe('TCP in the middle of a connection', () => {
  it.each([
    ['FIN', 0x01],
    ['nothing', 0],
    ['FIN, PSH and URG', 0x29],
    ['RST', 0x04],
    ['RST and ACK', 0x14],
  ])('with %s passes by nobody’s right', (_about, flags) => {
    const from = fresh();
    expect(world.fromB(segment(BA, FOR_A, from, flags)).result).not.toBe(PASS);
    expect(world.fromA(segment(AB, from, FOR_A, flags)).result).not.toBe(PASS);
    expect(world.lab.datapath.maps.flows.lookup(key(AB, from, FOR_A))).toBeNull();
  });

  it('passes only for a while after the interface got the programs', () => {
    world.lab.apply({ ...tables(), adoptsUntilNs: 1n });
    const from = fresh();
    const stale = { result: RESET, counted: ['stale', 'resets-sent'] };
    expect(world.fromA(segment(AB, from, FOR_A, ACK))).toMatchObject(stale);
    expect(world.toB(segment(AB, from, FOR_A, ACK), { ingressIfindex: world.a })).toMatchObject(
      stale,
    );
    expect(world.fromA(segment(AB, from, FOR_A, SYN))).toMatchObject({ result: PASS });
    expect(world.fromA(segment(AB, from, FOR_A, ACK))).toMatchObject({ result: PASS });
    world.lab.apply(tables());
    expect(world.fromA(segment(AB, fresh(), FOR_A, ACK))).toMatchObject({ result: PASS });
  });
});
