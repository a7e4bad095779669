/** Both halves of the policy, the marks, flows over generations, what goes to the proxy, and who is told no. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import {
  decodeRecord,
  IP_PROTOCOLS,
  identityMark,
  MARK_JUDGED,
  MARK_PROXY_EGRESS,
  MARK_SENT,
  MARK_TO_PROXY,
  VERDICT_ALLOW,
} from '../../../src/redirect/layout.ts';
import { DROP, PASS, RESET, type Tables } from './lab.ts';
import { AB, AB6, BA, datagram, fresh, key, type Leg, segment } from './legs.ts';
import { ACK, FIN, frame, icmp, RST, readTcp, SYN, tcp } from './packets.ts';
import { A, A_EGRESS, B, NODE, OUTSIDE, PARTNER, PORT, World } from './world.ts';

const { TCP, UDP, ICMP } = IP_PROTOCOLS;

let world: World;

beforeAll(async () => {
  world = new World('judge');
  await world.listen(4);
  await world.listen(6);
  world.lab.apply(world.tables());
});
afterAll(() => world.dispose());

describe('the two halves', () => {
  it.each([
    ['both allow', AB, PORT.allowed, PASS, ['passed']],
    ['both allow, IPv6', AB6, PORT.allowed, PASS, ['passed']],
    ['the sender may not', AB, PORT.noEgress, RESET, ['denied-egress', 'resets-sent']],
    ['the receiver may not', AB, PORT.noIngress, RESET, ['denied-ingress', 'resets-sent']],
    ['the receiver may not, IPv6', AB6, PORT.noIngress, RESET, ['denied-ingress', 'resets-sent']],
    ['the sender’s half is the proxy’s', AB, PORT.redirected, PASS, ['redirected']],
    ['the receiver’s half is the proxy’s', AB, PORT.late, PASS, ['redirected']],
    ['the sender’s half is the proxy’s, IPv6', AB6, PORT.redirected, PASS, ['redirected']],
    ['a remote by its prefix', { ...AB, to: PARTNER.ip4 }, PORT.allowed, PASS, ['passed']],
    [
      'a remote by no prefix',
      { ...AB, to: OUTSIDE.ip4 },
      PORT.allowed,
      RESET,
      ['denied-egress', 'resets-sent'],
    ],
    ['the world, for the proxy', { ...AB, to: OUTSIDE.ip4 }, PORT.redirected, PASS, ['redirected']],
    ['the first port of a range', AB, 8192, PASS, ['passed']],
    ['the last port of a range', AB, 16_383, PASS, ['passed']],
    ['the port behind a range', AB, 16_384, RESET, ['denied-egress', 'resets-sent']],
    [
      'a remote that a range excludes',
      { ...AB, to: OUTSIDE.ip4 },
      9000,
      RESET,
      ['denied-egress', 'resets-sent'],
    ],
    [
      'the node is a remote like any other',
      { ...AB, to: NODE.ip4 },
      PORT.allowed,
      RESET,
      ['denied-egress', 'resets-sent'],
    ],
  ] as const)('%s', (_name, leg, to, result, counted) => {
    expect(world.fromA(segment(leg, fresh(), to, SYN))).toMatchObject({ result, counted });
  });

  it('from outside only the receiver is asked', () => {
    const leg = { from: OUTSIDE.ip4, to: B.ip4 };
    expect(world.fromUplink(segment(leg, fresh(), 443, SYN))).toMatchObject({
      result: PASS,
      counted: ['passed'],
    });
    expect(world.fromUplink(segment(leg, fresh(), PORT.late, SYN))).toMatchObject({
      counted: ['redirected'],
    });
    expect(world.fromUplink(segment(leg, fresh(), PORT.noIngress, SYN))).toMatchObject({
      result: RESET,
    });
    expect(world.fromUplink(segment({ ...leg, to: A.ip4 }, fresh(), 443, SYN))).toMatchObject({
      result: RESET,
    });
  });

  it('a datagram goes to no proxy that has no socket for it', () => {
    expect(world.fromA(datagram(AB, fresh(), 80))).toMatchObject({
      result: DROP,
      counted: ['no-listener'],
    });
  });

  it('marks say that it was judged, to nobody here who sent it, and to the proxy by whom', () => {
    const judged = world.fromA(segment(AB, fresh(), PORT.allowed, SYN));
    expect(judged.magic).toBe(MARK_JUDGED);
    const outwards = world.fromA(segment({ ...AB, to: PARTNER.ip4 }, fresh(), PORT.allowed, SYN));
    expect(outwards.mark).toBe(identityMark(MARK_SENT, A.endpoint as Identity));
    const redirected = world.fromA(segment(AB, fresh(), PORT.redirected, SYN));
    expect(redirected.mark).toBe(identityMark(MARK_TO_PROXY, A.identity as Identity));
  });

  it('marks that packets came with are not believed', () => {
    const packet = segment(AB, fresh(), PORT.noEgress, SYN);
    const sent = world.lab.send('from_interface', packet, {
      ifindex: world.a,
      mark: MARK_PROXY_EGRESS,
    });
    expect(sent.result).toBe(RESET);
  });
});

describe('refusals', () => {
  it.each([
    ['IPv4', AB, 54],
    ['IPv6', AB6, 74],
  ] as const)('a SYN is answered as its receiver would have, %s', (_name, leg, length) => {
    const from = fresh();
    const { packet } = world.fromA(
      frame({
        ...leg,
        protocol: TCP,
        payload: tcp({ from, to: PORT.noEgress, flags: SYN, seq: 77 }),
      }),
    );
    expect(readTcp(packet)).toEqual({
      ...{ from: leg.to, to: leg.from, sourcePort: PORT.noEgress, destinationPort: from },
      ...{ flags: RST | ACK, seq: 0, ack: 78, length, isChecksumRight: true },
    });
    expect(packet.subarray(0, 12).toString('hex')).toBe('020000000001020000000002');
  });

  it('data with a SYN counts, and with FIN', () => {
    const opening = tcp({
      from: fresh(),
      to: PORT.noEgress,
      flags: SYN,
      seq: 0xffff_ffff,
      data: 'abc',
    });
    expect(readTcp(world.fromA(frame({ ...AB, protocol: TCP, payload: opening })).packet).ack).toBe(
      3,
    );
    const ending = tcp({ from: fresh(), to: PORT.noEgress, flags: FIN, seq: 10, data: 'abcd' });
    expect(readTcp(world.fromA(frame({ ...AB, protocol: TCP, payload: ending })).packet).ack).toBe(
      15,
    );
  });

  it('the middle of a connection is answered at the number that is waited for', () => {
    const middle = tcp({
      from: fresh(),
      to: PORT.noEgress,
      flags: ACK,
      ack: 4242,
      data: 'x'.repeat(1200),
    });
    const { packet } = world.fromA(frame({ ...AB, protocol: TCP, payload: middle }));
    expect(readTcp(packet)).toMatchObject({ flags: RST, seq: 4242, ack: 0, isChecksumRight: true });
  });

  it('an RST is never answered, nor what cannot be answered right', () => {
    expect(world.fromA(segment(AB, fresh(), PORT.noEgress, RST))).toMatchObject({
      result: DROP,
      counted: ['denied-egress'],
    });
    const payload = tcp({ from: fresh(), to: PORT.noEgress, flags: SYN });
    const options = frame({ ...AB, protocol: TCP, payload, options: Buffer.from([1, 1, 1, 1]) });
    expect(world.fromA(options)).toMatchObject({ result: DROP, counted: ['denied-egress'] });
  });

  it('are remembered with what they were', () => {
    const from = { ...AB, to: PARTNER.ip4 };
    for (let i = 0; i < 3; i++) world.fromA(segment(from, fresh(), 4711, SYN));
    const found = world.lab.datapath
      .refusals()
      .find(({ destinationPort }) => destinationPort === 4711);
    expect(found).toMatchObject({
      ...{ source: A.ip4, destination: PARTNER.ip4, reason: 'denied-egress', protocol: TCP },
      ...{ count: 3n, sourceIdentity: A.identity, destinationIdentity: PARTNER.identity },
    });
  });
});

describe('what goes to the proxy', () => {
  it('leaves a record of both sides, and has no hop left', () => {
    const from = fresh();
    const { packet } = world.fromA(segment(AB, from, PORT.late, SYN));
    expect(packet[22]).toBe(1);
    const found = world.lab.datapath.maps.records.lookup(key(AB, from, PORT.late));
    expect(decodeRecord(found as Buffer)).toMatchObject({
      source: { identity: A.identity, check: BigInt(A.identity + 7), endpoint: A.endpoint },
      destination: { identity: B.identity, check: BigInt(B.identity + 7), endpoint: B.endpoint },
      ...{ isEgressJudged: true, isIngressJudged: true, ifindex: world.a },
    });
  });

  it('has an IPv4 checksum that is still right, and its hop limit in IPv6', () => {
    const { packet } = world.fromA(segment(AB, fresh(), PORT.redirected, SYN));
    expect(readTcp(packet).isChecksumRight).toBe(true);
    expect(world.fromA(segment(AB6, fresh(), PORT.redirected, SYN)).packet[21]).toBe(1);
  });

  it('halves are those of endpoints of this node', () => {
    const from = fresh();
    world.fromA(segment({ ...AB, to: OUTSIDE.ip4 }, from, PORT.redirected, SYN));
    const outgoing = world.lab.datapath.maps.records.lookup(
      key({ ...AB, to: OUTSIDE.ip4 }, from, PORT.redirected),
    );
    expect(decodeRecord(outgoing as Buffer)).toMatchObject({
      isEgressJudged: true,
      isIngressJudged: false,
    });
    const leg = { from: OUTSIDE.ip4, to: B.ip4 };
    world.fromUplink(segment(leg, from, PORT.late, SYN));
    const incoming = world.lab.datapath.maps.records.lookup(key(leg, from, PORT.late));
    expect(decodeRecord(incoming as Buffer)).toMatchObject({
      ...{ isEgressJudged: false, isIngressJudged: true, ifindex: world.uplink },
      source: { identity: 2, endpoint: 0 },
    });
  });

  it('the answer to a SYN cookie follows its record', () => {
    const from = fresh();
    world.fromA(segment(AB, from, PORT.redirected, SYN));
    const answer = world.fromA(segment(AB, from, PORT.redirected, ACK));
    expect(answer).toMatchObject({ result: PASS, counted: ['owned'], magic: MARK_TO_PROXY });
  });

  it.each([
    ['endpoint', 36, A.endpoint + 1],
    ['interface', 56, 4000],
  ] as const)('a record is of its %s', (_name, offset, value) => {
    const from = fresh();
    world.fromA(segment(AB, from, PORT.redirected, SYN));
    const { records } = world.lab.datapath.maps;
    const record = records.lookup(key(AB, from, PORT.redirected)) as Buffer;
    record.writeUInt32LE(value, offset);
    records.update(key(AB, from, PORT.redirected), record);
    expect(world.fromA(segment(AB, from, PORT.redirected, ACK))).toMatchObject({
      result: RESET,
      counted: ['foreign-source', 'resets-sent'],
    });
  });

  it('the middle of a connection without record is older than its rule', () => {
    expect(world.fromA(segment(AB, fresh(), PORT.redirected, ACK))).toMatchObject({
      result: RESET,
      counted: ['stale', 'resets-sent'],
    });
  });

  it('a SYN that is allowed ends what its tuple was before', () => {
    const from = fresh();
    world.fromA(segment(AB, from, PORT.redirected, SYN));
    world.lab.apply(world.tables([{ protocol: TCP, verdict: VERDICT_ALLOW }]));
    expect(world.fromA(segment(AB, from, PORT.redirected, SYN))).toMatchObject({
      counted: ['passed'],
    });
    expect(world.lab.datapath.maps.records.lookup(key(AB, from, PORT.redirected))).toBeNull();
    world.lab.apply(world.tables());
  });

  it('and one that is redirected ends the flow', () => {
    const from = fresh();
    world.lab.apply(world.tables([{ protocol: TCP, verdict: VERDICT_ALLOW }]));
    world.fromA(segment(AB, from, PORT.redirected, SYN));
    world.lab.apply(world.tables());
    world.fromA(segment(AB, from, PORT.redirected, SYN));
    expect(world.lab.datapath.maps.flows.lookup(key(AB, from, PORT.redirected))).toBeNull();
  });

  it('one endpoint opens so many connections in a second, and no more', () => {
    const rate = Buffer.alloc(8);
    rate.writeBigUInt64LE(process.hrtime.bigint() + 3_600_000_000_000n);
    const holder = Buffer.alloc(4);
    holder.writeUInt32LE(A.endpoint);
    world.lab.datapath.maps.rates.update(holder, rate);
    expect(world.fromA(segment(AB, fresh(), PORT.redirected, SYN))).toMatchObject({
      result: DROP,
      counted: ['rate-limited'],
    });
    expect(world.fromA(segment(AB, fresh(), PORT.allowed, SYN))).toMatchObject({
      counted: ['passed'],
    });
    world.lab.datapath.maps.rates.delete(holder);
    expect(world.fromA(segment(AB, fresh(), PORT.redirected, SYN))).toMatchObject({
      counted: ['redirected'],
    });
  });
});

describe('flows', () => {
  it('answers pass where questions may not', () => {
    const from = fresh();
    expect(world.fromB(datagram(BA, 53, from))).toMatchObject({
      result: DROP,
      counted: ['denied-egress'],
    });
    world.fromA(datagram(AB, from, 53));
    expect(world.fromB(datagram(BA, 53, from))).toMatchObject({
      result: PASS,
      counted: ['passed'],
    });
    expect(world.fromB(datagram(BA, 54, from))).toMatchObject({ result: DROP });
  });

  it('also of TCP and over both packets of a handshake', () => {
    const from = fresh();
    world.fromA(segment(AB, from, PORT.allowed, SYN));
    expect(world.fromB(segment(BA, PORT.allowed, from, SYN | ACK))).toMatchObject({
      counted: ['passed'],
    });
    expect(world.fromA(segment(AB, from, PORT.allowed, ACK))).toMatchObject({
      counted: ['passed'],
    });
    expect(world.fromB(segment(BA, PORT.allowed, from, ACK))).toMatchObject({
      counted: ['passed'],
    });
    // The way back is for answers: a question of B is judged as one.
    expect(world.fromB(segment(BA, PORT.allowed, from, SYN))).toMatchObject({ result: RESET });
  });

  it('an echo’s answer is no question', () => {
    const from = fresh();
    const echo = (leg: Leg, type: number): Buffer =>
      frame({ ...leg, protocol: ICMP, payload: icmp(type, 0, from) });
    expect(world.fromB(echo(BA, 0))).toMatchObject({ result: DROP });
    expect(world.fromA(echo(AB, 8))).toMatchObject({ result: PASS });
    expect(world.fromB(echo(BA, 0))).toMatchObject({ result: PASS });
    expect(world.fromB(echo(BA, 8))).toMatchObject({ result: DROP });
  });

  it('a new policy asks again, in the orientation of who began', () => {
    const from = fresh();
    world.fromA(segment(AB, from, PORT.allowed, SYN));
    world.lab.apply(world.tables([{ protocol: TCP, port: PORT.allowed, verdict: VERDICT_ALLOW }]));
    expect(world.fromB(segment(BA, PORT.allowed, from, ACK))).toMatchObject({
      counted: ['passed'],
    });
    world.lab.apply(world.tables([]));
    expect(world.fromB(segment(BA, PORT.allowed, from, ACK))).toMatchObject({
      result: RESET,
      counted: ['denied-egress', 'resets-sent'],
    });
    world.lab.apply(world.tables());
  });

  it('a refused connection is not taken for one of the other side', () => {
    const from = fresh();
    const open = [{ protocol: TCP, verdict: VERDICT_ALLOW }] as const;
    const tables = (isAllowed: boolean) => {
      const all = world.tables(isAllowed ? open : []);
      const b = { identity: B.identity, egress: open, ingress: open };
      const a = { identity: A.identity, egress: isAllowed ? open : [], ingress: open };
      return {
        ...all,
        endpoints: new Map([
          [A.endpoint, a],
          [B.endpoint, b],
        ]),
      };
    };
    world.lab.apply(tables(true));
    world.fromA(segment(AB, from, PORT.allowed, SYN));
    world.lab.apply(tables(false));
    // B may talk to A: as B's answers to nothing, A's packets would pass.
    for (let i = 0; i < 3; i++)
      expect(world.fromA(segment(AB, from, PORT.allowed, ACK))).toMatchObject({ result: RESET });
    expect(world.fromB(segment(BA, PORT.allowed, from, ACK))).toMatchObject({ result: RESET });
    world.lab.apply(tables(true));
    expect(world.fromA(segment(AB, from, PORT.allowed, ACK))).toMatchObject({ result: PASS });
    world.lab.apply(world.tables());
  });

  it('nor is an answer past the proxy taken for a question of its own', () => {
    const tables = world.tables();
    const open = [{ protocol: TCP, verdict: VERDICT_ALLOW }] as const;
    const endpoints: Tables['endpoints'] = new Map([
      [A.endpoint, { identity: A.identity, egress: A_EGRESS, ingress: open }],
      [B.endpoint, { identity: B.identity, egress: open, ingress: open }],
    ]);
    world.lab.apply({ ...tables, endpoints });
    expect(world.fromB(segment(BA, PORT.redirected, fresh(), ACK))).toMatchObject({
      result: RESET,
      counted: ['stale', 'resets-sent'],
    });
    expect(world.fromB(segment(BA, PORT.allowed, fresh(), ACK))).toMatchObject({ result: PASS });
    world.lab.apply(world.tables());
  });

  it('a flow that its policy gives to the proxy now is reset', () => {
    const from = fresh();
    world.lab.apply(world.tables([{ protocol: TCP, verdict: VERDICT_ALLOW }]));
    world.fromA(segment(AB, from, PORT.redirected, SYN));
    world.lab.apply(world.tables());
    expect(world.fromA(segment(AB, from, PORT.redirected, ACK))).toMatchObject({
      result: RESET,
      counted: ['stale', 'resets-sent'],
    });
    expect(world.fromB(segment(BA, PORT.redirected, from, ACK))).toMatchObject({ result: RESET });
  });

  it('do not outlive the endpoint that had the address', () => {
    const from = fresh();
    world.fromA(datagram(AB, from, 53));
    const { flows } = world.lab.datapath.maps;
    const flow = flows.lookup(key(AB, from, 53, UDP)) as Buffer;
    flow.writeUInt32LE(A.endpoint + 1, 20);
    flows.update(key(AB, from, 53, UDP), flow);
    expect(world.fromB(datagram(BA, 53, from))).toMatchObject({
      result: DROP,
      counted: ['denied-egress'],
    });
  });

  it('end after silence', () => {
    const from = fresh();
    world.fromA(datagram(AB, from, 53));
    const { flows } = world.lab.datapath.maps;
    const flow = flows.lookup(key(AB, from, 53, UDP)) as Buffer;
    flow.writeBigUInt64LE(1n, 0);
    flows.update(key(AB, from, 53, UDP), flow);
    expect(world.fromB(datagram(BA, 53, from))).toMatchObject({ result: DROP });
  });

  it('the middle of a connection that nobody knows passes by the right of either side', () => {
    const from = fresh();
    expect(world.fromB(segment(BA, PORT.allowed, from, ACK))).toMatchObject({ result: PASS });
    expect(world.fromA(segment(AB, from, PORT.allowed, ACK))).toMatchObject({ result: PASS });
    expect(world.lab.datapath.maps.flows.lookup(key(AB, from, PORT.allowed))).not.toBeNull();
    expect(world.fromB(segment(BA, PORT.noIngress, fresh(), ACK))).toMatchObject({ result: RESET });
    expect(world.fromB(segment(BA, PORT.redirected, fresh(), ACK))).toMatchObject({
      result: RESET,
      counted: ['stale', 'resets-sent'],
    });
  });
});

describe('errors of ICMP', () => {
  const quoted = (leg: Leg, from: number, to: number): Buffer =>
    datagram(leg, from, to).subarray(14);
  const error = (leg: Leg, type: number, inner: Buffer): Buffer =>
    frame({ ...leg, protocol: ICMP, payload: icmp(type, 3, 0, inner) });

  it('pass when they quote a flow that passes', () => {
    const from = fresh();
    expect(world.fromB(error(BA, 3, quoted(AB, from, 53)))).toMatchObject({ result: DROP });
    world.fromA(datagram(AB, from, 53));
    expect(world.fromB(error(BA, 3, quoted(AB, from, 53)))).toMatchObject({
      result: PASS,
      counted: ['passed'],
    });
    const router = error({ from: OUTSIDE.ip4, to: A.ip4 }, 11, quoted(AB, from, 53));
    expect(world.fromUplink(router)).toMatchObject({ result: PASS });
  });

  it('not to another than who sent it, nor about what was not sent to the one who complains', () => {
    const from = fresh();
    world.fromA(datagram(AB, from, 53));
    expect(world.fromB(error({ ...BA, to: OUTSIDE.ip4 }, 3, quoted(AB, from, 53)))).toMatchObject({
      result: DROP,
    });
    world.fromA(datagram({ ...AB, to: OUTSIDE.ip4 }, from, 53));
    const about = quoted({ ...AB, to: OUTSIDE.ip4 }, from, 53);
    expect(world.fromB(error(BA, 3, about))).toMatchObject({ result: DROP });
  });
});

describe('while nobody listens', () => {
  it('what should go to the proxy is refused', () => {
    const { listeners } = world.lab.datapath.maps;
    for (let slot = 0; slot < 64; slot++) {
      const index = Buffer.alloc(4);
      index.writeUInt32LE(slot);
      listeners.delete(index);
    }
    expect(world.fromA(segment(AB, fresh(), PORT.redirected, SYN))).toMatchObject({
      result: RESET,
      counted: ['no-listener', 'resets-sent'],
    });
    expect(world.fromA(segment(AB6, fresh(), PORT.redirected, SYN))).toMatchObject({
      result: RESET,
    });
    expect(world.fromA(segment(AB, fresh(), PORT.allowed, SYN))).toMatchObject({ result: PASS });
  });
});
