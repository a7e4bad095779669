/** What goes out to an endpoint: marked by us or the proxy, from the node itself, or from where we are not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeRecord,
  IP_PROTOCOLS,
  MARK_PROXY_EGRESS,
  MARK_PROXY_INGRESS,
  MARK_TO_PROXY,
  VERDICT_ALLOW,
} from '../../../src/redirect/layout.ts';
import { DROP, PASS, REDIRECTED, RESET } from './lab.ts';
import { AB, datagram, fresh, key, segment } from './legs.ts';
import { ACK, FIN, SYN } from './packets.ts';
import { A_EGRESS, B, NODE, OUTSIDE, type Outcome, PORT, World } from './world.ts';

const { UDP } = IP_PROTOCOLS;

let world: World;

beforeAll(async () => {
  world = new World('egress');
  await world.listen(4);
  world.lab.apply(world.tables());
});
afterAll(() => world.dispose());

describe('to an endpoint', () => {
  /** The mark that a packet of A to B has got by being judged. */
  const judgedFor = (port: number): number => world.fromA(segment(AB, fresh(), port, SYN)).mark;

  it.each([
    ['for just this', (mark: number) => mark],
    ['and by others for something', (mark: number) => (mark | 0x4000) >>> 0],
  ])('judged %s it passes', (_about, change) => {
    const packet = segment(AB, fresh(), PORT.allowed, SYN);
    const mark = change(world.fromA(packet).mark);
    const sent = world.toB(packet, { mark, ingressIfindex: world.a });
    expect(sent).toMatchObject({ result: PASS, counted: [] });
  });

  it.each([
    ['for another port', PORT.noIngress, RESET, ['denied-ingress', 'resets-sent']],
    ['for another port, and that is allowed', PORT.allowed, PASS, ['passed']],
  ] as const)('judged %s it is asked again', (_about, to, result, counted) => {
    const packet = segment(AB, fresh(), to, SYN);
    const mark = judgedFor(8192);
    const sent = world.toB(packet, { mark, ingressIfindex: world.a });
    expect(sent).toMatchObject({ result, counted });
  });

  it('judged, and with another address since, it is asked again, and remembered so', () => {
    const from = fresh();
    const { mark } = world.fromA(segment(AB, from, PORT.allowed, SYN));
    const leg = { from: NODE.ip4, to: B.ip4 };
    const sent = world.toB(segment(leg, from, PORT.allowed, SYN), {
      mark,
      ingressIfindex: world.a,
    });
    expect(sent).toMatchObject({ result: PASS, counted: ['passed'] });
    expect(world.lab.datapath.maps.flows.lookup(key(leg, from, PORT.allowed))).not.toBeNull();
  });

  it('judged, and come in by another way since, it is nobody’s', () => {
    const packet = segment(AB, fresh(), PORT.allowed, SYN);
    const { mark } = world.fromA(packet);
    const sent = world.toB(packet, { mark, ingressIfindex: world.unknown });
    expect(sent).toMatchObject({ result: DROP, counted: ['unknown-sender'] });
  });

  it.each([
    ['from the proxy, ingress', MARK_PROXY_INGRESS, PORT.late, PASS, ['from-proxy']],
    ['from the proxy, egress', MARK_PROXY_EGRESS | 0x0120_0012, 443, PASS, ['from-proxy']],
    [
      'from the proxy, which did not ask the receiver’s rules',
      ...([MARK_PROXY_EGRESS, PORT.late, RESET, ['unredirectable', 'resets-sent']] as const),
    ],
    [
      'from the proxy, which errs',
      ...([MARK_PROXY_EGRESS, PORT.noIngress, RESET, ['denied-ingress', 'resets-sent']] as const),
    ],
    ['for the proxy, and past it', MARK_TO_PROXY, PORT.late, DROP, ['unredirectable']],
  ] as const)('marked as %s', (_name, mark, to, result, counted) => {
    const packet = segment(AB, fresh(), to, SYN);
    expect(world.toB(packet, { mark, ingressIfindex: world.a })).toMatchObject({ result, counted });
  });

  it('the proxy’s answers and data are not asked for again', () => {
    for (const flags of [SYN | ACK, ACK, FIN | ACK]) {
      const packet = segment(AB, fresh(), PORT.noIngress, flags);
      const sent = world.toB(packet, { mark: MARK_PROXY_INGRESS });
      expect(sent).toMatchObject({ result: PASS, counted: ['from-proxy'] });
    }
  });

  it('nothing for the proxy leaves by an uplink', () => {
    const packet = segment({ ...AB, to: OUTSIDE.ip4 }, fresh(), 80, SYN);
    expect(world.toUplink(packet, { mark: MARK_TO_PROXY })).toMatchObject({ result: DROP });
    expect(world.toUplink(packet)).toMatchObject({ result: PASS });
  });

  it('the node may talk to it, and is answered', () => {
    const from = fresh();
    const leg = { from: NODE.ip4, to: B.ip4 };
    const back = { from: B.ip4, to: NODE.ip4 };
    expect(world.fromB(datagram(back, 99, from))).toMatchObject({ result: DROP });
    expect(world.toB(datagram(leg, from, 99))).toMatchObject({
      result: PASS,
      counted: ['from-host'],
    });
    expect(world.fromB(datagram(back, 99, from))).toMatchObject({ result: PASS });
    const redirected = world.toB(segment(leg, fresh(), PORT.late, SYN));
    expect(redirected).toMatchObject({ result: PASS, counted: ['from-host'] });
  });

  it('unless it is judged like others; what is the proxy’s is turned round', () => {
    const leg = { from: NODE.ip4, to: B.ip4 };
    const from = fresh();
    world.lab.apply(world.tables(), 'redirected');
    expect(world.toB(segment(leg, from, 443, SYN))).toMatchObject({
      ...{ result: PASS, counted: ['from-host'] },
    });
    expect(world.toB(segment(leg, from, PORT.noIngress, SYN))).toMatchObject({
      ...{ result: RESET, counted: ['denied-ingress', 'resets-sent'], magic: MARK_TO_PROXY },
    });
    expect(world.toB(segment(leg, from, PORT.late, SYN))).toMatchObject({
      ...{ result: REDIRECTED, counted: ['redirected'], magic: MARK_TO_PROXY },
    });
    const record = world.lab.datapath.maps.records.lookup(key(leg, from, PORT.late));
    expect(decodeRecord(record as Buffer)).toMatchObject({
      source: { identity: 1, endpoint: 0 },
      ...{ isEgressJudged: false, isIngressJudged: true, ifindex: world.b },
    });
    expect(world.toB(segment(leg, fresh(), PORT.late, ACK))).toMatchObject({
      ...{ result: RESET, counted: ['stale', 'resets-sent'] },
    });
    world.lab.apply(world.tables(), 'judged');
    expect(world.toB(segment(leg, fresh(), PORT.late, SYN))).toMatchObject({
      ...{ result: RESET, counted: ['unredirectable', 'resets-sent'] },
    });
    world.lab.apply(world.tables());
  });

  it('only what was turned round comes in with the proxy’s mark', () => {
    const leg = { from: NODE.ip4, to: B.ip4 };
    const from = fresh();
    const opening = segment(leg, from, PORT.late, SYN);
    const cameIn = (): number =>
      world.lab.send('from_interface', opening, { ifindex: world.b, mark: MARK_TO_PROXY }).result;
    expect(cameIn()).toBe(DROP);
    world.lab.apply(world.tables(), 'redirected');
    world.toB(opening);
    expect(cameIn()).toBe(PASS);
    world.lab.apply(world.tables());
  });

  it('from an interface that nobody watches it is judged by its address', () => {
    const ingressIfindex = world.unknown;
    const leg = { from: OUTSIDE.ip4, to: B.ip4 };
    const outcome = (packet: Buffer): Outcome => world.toB(packet, { ingressIfindex });
    expect(outcome(segment(leg, fresh(), 443, SYN))).toMatchObject({
      result: PASS,
      counted: ['passed'],
    });
    expect(outcome(segment(leg, fresh(), PORT.noIngress, SYN))).toMatchObject({
      result: DROP,
      counted: ['denied-ingress'],
    });
    expect(outcome(segment(leg, fresh(), PORT.late, SYN))).toMatchObject({
      result: DROP,
      counted: ['unredirectable'],
    });
    expect(outcome(segment(AB, fresh(), 443, SYN))).toMatchObject({
      result: DROP,
      counted: ['foreign-source'],
    });
    expect(outcome(segment({ ...leg, from: NODE.ip4 }, fresh(), 443, SYN))).toMatchObject({
      counted: ['foreign-source'],
    });
  });

  it('answers to what it asked come in from anywhere', () => {
    const closed = world.tables(A_EGRESS, []);
    const asker = {
      identity: B.identity,
      egress: [{ protocol: UDP, verdict: VERDICT_ALLOW }],
      ingress: [],
    } as const;
    world.lab.apply({ ...closed, endpoints: new Map([...closed.endpoints, [B.endpoint, asker]]) });
    const from = fresh();
    const answer = datagram({ from: OUTSIDE.ip4, to: B.ip4 }, 53, from);
    expect(world.toB(answer, { ingressIfindex: world.unknown })).toMatchObject({ result: DROP });
    world.fromB(datagram({ from: B.ip4, to: OUTSIDE.ip4 }, from, 53));
    expect(world.toB(answer, { ingressIfindex: world.unknown })).toMatchObject({ result: PASS });
    world.lab.apply(world.tables());
  });
});
