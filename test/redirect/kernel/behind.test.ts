/** Packets that leave a pod with the address of a Service: all who are behind it are asked about. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import {
  IP_PROTOCOLS,
  identityMark,
  type KernelVerdict,
  MARK_DIALLED,
  MARK_ENTERED,
  MARK_SENT,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_REDIRECT,
} from '../../../src/redirect/layout.ts';
import { type Behind, DROP, PASS, RESET, type Rule } from './lab.ts';
import { datagram, fresh, type Leg, segment } from './legs.ts';
import { ACK, frame, SYN } from './packets.ts';
import { A, B, NODE, OUTSIDE, World } from './world.ts';

const { TCP, UDP } = IP_PROTOCOLS;
/** RFC 4303. */
const ESP = 50;

/** Remotes by what A's policy says of them at port 8080. */
const WHO = { allowed: 4001, alsoAllowed: 4002, denied: 4003, read: 4004, unnamed: 4005 } as const;
const REMOTE_NODE = 6;
/** A number as pods have (`enableNodeSelectorLabels`). */
const LABELLED_NODE = 4100;
const PORT = 8080;
const DIALLED = 80;

const REMOTES: Record<number, KernelVerdict> = {
  [WHO.allowed]: VERDICT_ALLOW,
  [WHO.alsoAllowed]: VERDICT_ALLOW,
  [WHO.denied]: VERDICT_DENY,
  [WHO.read]: VERDICT_REDIRECT,
  [B.identity]: VERDICT_ALLOW,
};

const EGRESS: readonly Rule[] = [TCP, UDP].map((protocol) => ({
  ...{ protocol, port: PORT, verdict: VERDICT_DENY, remotes: REMOTES },
}));

const VIP = { 4: '10.96.0.7', 6: 'fd96::7' } as const;
const OTHER_NODE = { 4: '10.9.0.2', 6: 'fd09::2' } as const;
const FAMILIES = [4, 6] as const;
/** Says that there are Services which the table does not have. */
const MORE: Behind = { ip: null, family: 4, port: 0, protocol: TCP, pairs: [] };

let world: World;

beforeAll(async () => {
  world = new World('behind');
  await world.listen(4);
  await world.listen(6);
});
afterAll(() => world.dispose());

const from = (family: 4 | 6): string => (family === 4 ? A.ip4 : A.ip6);
const node = (family: 4 | 6): string => (family === 4 ? NODE.ip4 : NODE.ip6);

function put(
  services: readonly Behind[],
  egress = EGRESS,
  { adoptsUntilNs, otherNode = REMOTE_NODE }: PutOptions = {},
): void {
  const tables = world.tables(egress);
  const addresses = [
    ...tables.addresses,
    ...FAMILIES.map((family) => [OTHER_NODE[family], otherNode, 0, true] as const),
  ];
  const adoption = adoptsUntilNs === undefined ? {} : { adoptsUntilNs };
  world.lab.apply({ ...tables, addresses, services, ...adoption });
}

interface PutOptions {
  readonly adoptsUntilNs?: bigint;
  /** Its identity. */
  readonly otherNode?: number;
}

function service(
  family: 4 | 6,
  pairs: Behind['pairs'],
  more: Partial<Behind> = {},
): readonly Behind[] {
  return [TCP, UDP].map((protocol) => ({
    ...{ ip: VIP[family], family, port: DIALLED, protocol, pairs },
    ...more,
  }));
}

function dialAt(leg: Leg, port: number) {
  return () => Object.values(dial(leg, port));
}

function dial(leg: Leg, port = DIALLED) {
  return {
    tcp: world.fromA(segment(leg, fresh(), port, SYN)),
    udp: world.fromA(datagram(leg, fresh(), port)),
  };
}

const REFUSED = (counter: string) => ({
  tcp: { result: RESET, counted: expect.arrayContaining([counter, 'resets-sent']) },
  udp: { result: DROP, counted: [counter] },
});
const PASSED = {
  tcp: { result: PASS, counted: ['passed'] },
  udp: { result: PASS, counted: ['passed'] },
};

describe.each(FAMILIES)('IPv%d', (family) => {
  const leg = { from: from(family), to: VIP[family] };

  it.each([
    ['one that is allowed', [[WHO.allowed, PORT]], PASSED],
    [
      'several that are allowed',
      [
        [WHO.allowed, PORT],
        [WHO.alsoAllowed, PORT],
      ],
      PASSED,
    ],
    ['one that is allowed, at another port', [[WHO.allowed, 8081]], REFUSED('denied-egress')],
    [
      'all but one allowed',
      [
        [WHO.allowed, PORT],
        [WHO.unnamed, PORT],
        [WHO.alsoAllowed, PORT],
      ],
      REFUSED('denied-egress'),
    ],
    [
      'one denied, the last',
      [
        [WHO.allowed, PORT],
        [WHO.denied, PORT],
      ],
      REFUSED('denied-egress'),
    ],
    [
      'one denied, the first, and one with L7 rules',
      [
        [WHO.denied, PORT],
        [WHO.read, PORT],
      ],
      REFUSED('denied-egress'),
    ],
    ['nobody', [], REFUSED('no-backend')],
    ['as many as can be asked', many(32), PASSED],
    ['more than can be asked', many(33), REFUSED('too-many-backends')],
    ['one with L7 rules', [[WHO.read, PORT]], REFUSED('unredirectable')],
    [
      'one allowed, one with L7 rules',
      [
        [WHO.allowed, PORT],
        [WHO.read, PORT],
      ],
      REFUSED('unredirectable'),
    ],
  ] as const)('behind it: %s', (_, pairs, expected) => {
    const rules = pairs.length < 32 ? EGRESS : [{ protocol: 0, verdict: VERDICT_ALLOW } as const];
    put(service(family, pairs), rules);
    expect(dial(leg)).toMatchObject(expected);
  });

  it('is judged by its address, on another port and for a protocol without a Service', () => {
    put(service(family, [[WHO.allowed, PORT]]).slice(0, 1));
    expect(dial(leg, DIALLED + 1)).toMatchObject(REFUSED('denied-egress'));
    expect(dial(leg)).toMatchObject({ tcp: PASSED.tcp, udp: REFUSED('denied-egress').udp });
  });

  it('a rule for the world does not stand for a Service', () => {
    put(service(family, [[WHO.denied, PORT]]), [
      { protocol: 0, verdict: VERDICT_ALLOW },
      ...EGRESS,
    ]);
    expect(dial(leg, 443)).toMatchObject(PASSED);
    expect(dial(leg)).toMatchObject(REFUSED('denied-egress'));
  });

  it('one that had no room in the table passes as sent to a Service: who gets it is asked where it comes out', () => {
    const open: readonly Rule[] = [TCP, UDP].map((protocol) => ({
      ...{ protocol, port: PORT, verdict: VERDICT_ALLOW },
      remotes: { [B.identity]: VERDICT_DENY, [LABELLED_NODE]: VERDICT_DENY },
    }));
    const toPort = dialAt(leg, PORT);
    put([], open, { otherNode: LABELLED_NODE });
    expect(toPort().map(({ magic }) => magic)).toEqual([MARK_SENT, MARK_SENT]);
    put([MORE], open, { otherNode: LABELLED_NODE });
    expect(toPort()).toMatchObject([
      { result: PASS, magic: MARK_DIALLED },
      { result: PASS, magic: MARK_DIALLED },
    ]);
    const mark = identityMark(MARK_DIALLED, A.endpoint as Identity);
    const way = { mark, ingressIfindex: world.a };
    const here = { from: leg.from, to: family === 4 ? B.ip4 : B.ip6 };
    const away = { from: leg.from, to: OTHER_NODE[family] };
    for (const make of [
      (to: Leg) => segment(to, fresh(), PORT, SYN),
      (to: Leg) => datagram(to, fresh(), PORT),
    ]) {
      expect(world.toB(make(here), way).counted).toContain('denied-egress');
      expect(world.toUplink(make(away), way)).toMatchObject({
        ...{ result: DROP, counted: ['denied-egress'] },
      });
    }
  });

  it('goes on as sent by the pod: who receives it is asked, whoever that is', () => {
    put(service(family, [[B.identity, PORT]]));
    const sent = identityMark(MARK_DIALLED, A.endpoint as Identity);
    expect(dial(leg).tcp.mark).toBe(sent);
    const to = family === 4 ? B.ip4 : B.ip6;
    const after = segment({ from: leg.from, to }, fresh(), PORT, SYN);
    const way = { mark: sent, ingressIfindex: world.a };
    expect(world.toB(after, way)).toMatchObject({ result: PASS });
    put(service(family, [[B.identity, PORT]]), []);
    expect(world.toB(after, way).counted).toContain('denied-egress');
  });

  describe('a NodePort', () => {
    const ports = service(family, [[WHO.allowed, PORT]], { ip: null, port: 30_080 });

    it('is at the node’s addresses only', () => {
      put(ports);
      expect(dial({ from: leg.from, to: node(family) }, 30_080)).toMatchObject(PASSED);
      const to = family === 4 ? OUTSIDE.ip4 : OUTSIDE.ip6;
      expect(dial({ from: leg.from, to }, 30_080)).toMatchObject(REFUSED('denied-egress'));
    });

    it.each([
      ['by its number', REMOTE_NODE],
      ['that has labels of its own', LABELLED_NODE],
    ])(
      'of another node %s: that one is asked about as well, as it may not be one there',
      (_, nodeIdentity) => {
        put(ports, EGRESS, { otherNode: nodeIdentity });
        const away = { from: leg.from, to: OTHER_NODE[family] };
        expect(dial(away, 30_080)).toMatchObject(REFUSED('denied-egress'));
        const toNodes = openTo(nodeIdentity, 30_080);
        put(ports, [...EGRESS, ...toNodes], { otherNode: nodeIdentity });
        expect(dial(away, 30_080)).toMatchObject(PASSED);
        const worse = service(family, [[WHO.denied, PORT]], { ip: null, port: 30_080 });
        put(worse, [...EGRESS, ...toNodes], { otherNode: nodeIdentity });
        expect(dial(away, 30_080)).toMatchObject(REFUSED('denied-egress'));
      },
    );
  });

  it('an address that its Service chose has to be allowed itself', () => {
    const chosen = service(family, [[WHO.allowed, PORT]], { isAskedAsDialled: true });
    put(chosen);
    expect(dial(leg)).toMatchObject(REFUSED('denied-egress'));
    put(chosen, [...EGRESS, ...openTo(2, DIALLED)]);
    expect(dial(leg)).toMatchObject(PASSED);
  });

  it('so has a pod’s, whose receiver’s half is asked, too', () => {
    const to = family === 4 ? B.ip4 : B.ip6;
    put(service(family, [[WHO.allowed, PORT]], { ip: to, port: PORT }));
    expect(dial({ from: leg.from, to }, PORT)).toMatchObject(PASSED);
    put(service(family, [[WHO.denied, PORT]], { ip: to, port: PORT }));
    expect(dial({ from: leg.from, to }, PORT)).toMatchObject(REFUSED('denied-egress'));
    put(service(family, [[WHO.allowed, PORT]], { ip: to, port: DIALLED }));
    expect(dial({ from: leg.from, to }, DIALLED)).toMatchObject(REFUSED('denied-egress'));
  });

  describe('L7 rules, when every receiver is of this node', () => {
    const here = service(family, [[WHO.read, PORT]], { isHere: true });

    it('are asked there: it passes on as sent to a Service', () => {
      put(here);
      const { tcp, udp } = dial(leg);
      const sent = identityMark(MARK_DIALLED, A.endpoint as Identity);
      expect(tcp).toMatchObject({ result: PASS, mark: sent, counted: ['passed'] });
      expect(udp).toMatchObject({ result: DROP, counted: ['unredirectable'] });
    });

    it('hold for each packet of the connection, and for one that comes in by a tunnel', () => {
      put(here);
      const port = fresh();
      const sent = identityMark(MARK_DIALLED, A.endpoint as Identity);
      expect(world.fromA(segment(leg, port, DIALLED, SYN)).mark).toBe(sent);
      expect(world.fromA(segment(leg, port, DIALLED, ACK)).mark).toBe(sent);
      const packet = segment({ from: OUTSIDE.ip4, to: B.ip4 }, port, PORT, SYN);
      const { uplink: ifindex } = world;
      expect(world.lab.send('from_interface', packet, { ifindex, mark: sent }).result).toBe(DROP);
    });
  });

  describe('where it leaves the node', () => {
    const mark = identityMark(MARK_DIALLED, A.endpoint as Identity);
    const away = family === 4 ? OUTSIDE.ip4 : OUTSIDE.ip6;
    const leaving = (port: number, to = away) => {
      const way = { mark, ingressIfindex: world.a };
      return world.toUplink(segment({ from: leg.from, to }, fresh(), port, SYN), way);
    };

    it('who really gets it is asked about: the node may know others, or translate nothing', () => {
      put(service(family, [[WHO.allowed, PORT]]), [...EGRESS, ...openTo(2, 8081)]);
      expect(leaving(8081)).toMatchObject({ result: PASS });
      expect(leaving(PORT)).toMatchObject({ result: DROP, counted: ['denied-egress'] });
      expect(leaving(DIALLED, VIP[family])).toMatchObject({
        result: DROP,
        counted: ['denied-egress'],
      });
    });

    it('L7 rules keep it here, as nobody would ask them', () => {
      const read: Rule = { protocol: TCP, port: PORT, verdict: VERDICT_REDIRECT };
      put(service(family, [[WHO.allowed, PORT]]), [read]);
      expect(leaving(PORT)).toMatchObject({ result: DROP, counted: ['unredirectable'] });
    });

    it('what a tunnel of the node’s has put it into is the node’s own, and keeps its mark', () => {
      put(service(family, [[WHO.allowed, PORT]]));
      const ends = { from: node(family), to: OTHER_NODE[family] };
      const inOther = frame({ ...ends, protocol: ESP, payload: Buffer.alloc(64) });
      const inUdp = datagram(ends, fresh(), 8472);
      expect(world.toUplink(inOther, { mark, ingressIfindex: world.a }).result).toBe(PASS);
      expect(world.toUplink(inUdp, { mark, ingressIfindex: 0 }).result).toBe(PASS);
      // The node's address may be what a NAT has put there: such a packet came in by an interface.
      expect(world.toUplink(inUdp, { mark, ingressIfindex: world.a }).result).toBe(DROP);
    });

    it('nobody sends it whose endpoint is not known', () => {
      put(service(family, [[WHO.allowed, PORT]]));
      const packet = segment({ from: leg.from, to: away }, fresh(), PORT, SYN);
      const gone = identityMark(MARK_DIALLED, 77 as Identity);
      const way = { mark: gone, ingressIfindex: world.a };
      expect(world.toUplink(packet, way)).toMatchObject({ counted: ['unknown-sender'] });
    });
  });

  describe('answers', () => {
    const back = (port: number, data: 'tcp' | 'udp') =>
      data === 'tcp'
        ? segment({ from: VIP[family], to: leg.from }, DIALLED, port, SYN | ACK)
        : datagram({ from: VIP[family], to: leg.from }, DIALLED, port);
    const remote = family === 4 ? OUTSIDE.ip4 : OUTSIDE.ip6;
    const toA = (packet: Buffer, mark = 0, ingressIfindex = world.uplink) =>
      world.lab.send('to_endpoint', packet, { ifindex: world.a, mark, ingressIfindex });

    it('of a backend elsewhere find the flow where the node has undone its NAT', () => {
      put(service(family, [[WHO.allowed, PORT]]), EGRESS, { adoptsUntilNs: 0n });
      for (const kind of ['tcp', 'udp'] as const) {
        const port = fresh();
        const asked =
          kind === 'tcp' ? segment(leg, port, DIALLED, SYN) : datagram(leg, port, DIALLED);
        expect(world.fromA(asked).result).toBe(PASS);
        // As it comes by the wire: of the backend.
        const wire = { from: remote, to: leg.from };
        const answer =
          kind === 'tcp' ? segment(wire, PORT, port, SYN | ACK) : datagram(wire, PORT, port);
        const entered = world.fromUplink(answer);
        expect(entered).toMatchObject({ result: PASS, magic: MARK_ENTERED, counted: [] });
        expect(toA(back(port, kind), entered.mark).result).toBe(PASS);
        // What is no answer is refused there.
        expect(toA(answer, entered.mark).result).not.toBe(PASS);
        expect(toA(back(fresh(), kind), entered.mark).result).not.toBe(PASS);
      }
    });

    it('are refused on the way in where there are no Services', () => {
      world.lab.apply(world.tables(EGRESS));
      const answer = segment({ from: remote, to: leg.from }, PORT, fresh(), SYN | ACK);
      expect(world.fromUplink(answer).result).toBe(RESET);
    });

    it('a connection from outside is refused on the way in, with and without Services', () => {
      put(service(family, [[WHO.allowed, PORT]]));
      const opening = segment({ from: remote, to: leg.from }, fresh(), PORT, SYN);
      expect(world.fromUplink(opening)).toMatchObject({ result: RESET });
    });

    it('to a pod whose interface has no programs are refused on the way in: nobody else would ask', () => {
      const to = family === 4 ? '10.9.1.77' : 'fd09::1:77';
      const tables = world.tables(EGRESS);
      const shut = { identity: 77, egress: [], ingress: [] };
      world.lab.apply({
        ...tables,
        addresses: [...tables.addresses, [to, 77, 77]],
        endpoints: new Map([...tables.endpoints, [77, shut]]),
        services: service(family, [[WHO.allowed, PORT]]),
        adoptsUntilNs: 0n,
      });
      const wire = { from: remote, to };
      expect(world.fromUplink(segment(wire, PORT, fresh(), SYN | ACK)).result).toBe(RESET);
      expect(world.fromUplink(datagram(wire, PORT, fresh())).result).toBe(DROP);
    });

    it('are asked again under another policy, as what was dialled', () => {
      for (const [rules, result] of [
        [EGRESS, PASS],
        [[], DROP],
      ] as const) {
        put(service(family, [[WHO.allowed, PORT]]));
        const port = fresh();
        expect(world.fromA(datagram(leg, port, DIALLED)).result).toBe(PASS);
        put(service(family, [[WHO.allowed, PORT]]), rules);
        expect(toA(back(port, 'udp'), identityMark(MARK_ENTERED, 2 as Identity)).result).toBe(
          result,
        );
      }
    });
  });

  describe('when other backends come', () => {
    const allowed = service(family, [[WHO.allowed, PORT]]);
    const worse = service(family, [
      [WHO.allowed, PORT],
      [WHO.denied, PORT],
    ]);

    it('a connection of TCP stays with the one that it has, and a new one is refused', () => {
      put(allowed);
      const port = fresh();
      expect(world.fromA(segment(leg, port, DIALLED, SYN)).result).toBe(PASS);
      world.lab.changeServices(worse);
      expect(world.fromA(segment(leg, port, DIALLED, ACK)).result).toBe(PASS);
      expect(world.fromA(segment(leg, fresh(), DIALLED, SYN)).result).toBe(RESET);
      // Its NAT may be forgotten, and it would begin anew.
      expect(world.fromA(segment(leg, port, DIALLED, SYN)).result).toBe(RESET);
    });

    it('UDP, which the node may lead to the next one, is asked again', () => {
      put(allowed);
      const port = fresh();
      expect(world.fromA(datagram(leg, port, DIALLED)).result).toBe(PASS);
      world.lab.changeServices(worse);
      expect(world.fromA(datagram(leg, port, DIALLED))).toMatchObject({
        result: DROP,
        counted: ['denied-egress'],
      });
      world.lab.changeServices(allowed);
      expect(world.fromA(datagram(leg, port, DIALLED)).result).toBe(PASS);
    });

    it('what went to an address that was no Service’s is asked again', () => {
      const toWorld: Rule = { protocol: UDP, port: DIALLED, verdict: VERDICT_ALLOW };
      put([], [...EGRESS, toWorld]);
      const port = fresh();
      expect(world.fromA(datagram(leg, port, DIALLED)).result).toBe(PASS);
      world.lab.changeServices(worse);
      expect(world.fromA(datagram(leg, port, DIALLED)).result).toBe(DROP);
    });
  });
});

function openTo(identity: number, port: number): readonly Rule[] {
  return [TCP, UDP].map((protocol): Rule => {
    return { protocol, port, verdict: VERDICT_DENY, remotes: { [identity]: VERDICT_ALLOW } };
  });
}

function many(count: number): Behind['pairs'] {
  return Array.from({ length: count }, (_, index) => [5000 + index, PORT] as const);
}
