/**
 * Where interfaces are found: what is forwarded from an interface that nobody has looked at yet goes nowhere, so that a
 * new pod has no moment before its programs. What others have, and what was judged, goes on as it does without that.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import {
  identityMark,
  MARK_ENTERED,
  MARK_JUDGED,
  MARK_SENT,
  VERDICT_ALLOW,
} from '../../../src/redirect/layout.ts';
import { DROP, PASS, type Rule } from './lab.ts';
import { datagram, fresh } from './legs.ts';
import { arp } from './packets.ts';
import { A, B, OUTSIDE, World } from './world.ts';

const OPEN: readonly Rule[] = [{ protocol: 0, verdict: VERDICT_ALLOW }];
const STRANGER = { ip4: '198.18.0.7', ip6: '2001:2::7' } as const;
const ENTERED = identityMark(MARK_ENTERED, 2 as Identity);
const SENT = identityMark(MARK_SENT, A.endpoint as Identity);

let world: World;

beforeAll(() => {
  world = new World('guard');
});
afterAll(() => world.dispose());

/** `others`: null: without the guard. */
function apply(others: readonly number[] | null): void {
  const all = world.tables(OPEN, OPEN);
  world.lab.apply(others === null ? all : { ...all, others });
}

const toB = (ip: 'ip4' | 'ip6', skb: object) =>
  world.toB(datagram({ from: STRANGER[ip], to: B[ip] }, fresh(), 53), skb);
const toOutside = (ip: 'ip4' | 'ip6', skb: object) =>
  world.toUplink(datagram({ from: STRANGER[ip], to: OUTSIDE[ip] }, fresh(), 53), skb);

describe.each(['ip4', 'ip6'] as const)('%s, forwarded', (ip) => {
  it('from an interface that nobody knows: to an endpoint and out of the node, refused', () => {
    apply([]);
    for (const send of [toB, toOutside]) {
      const { result, counted } = send(ip, { ingressIfindex: world.unknown });
      expect([result, counted]).toEqual([DROP, ['unknown-interface']]);
    }
  });

  it('from an interface of others: as without the guard', () => {
    const asked = (others: readonly number[] | null) => {
      apply(others);
      return [toB, toOutside].map((send) => {
        const { result, counted } = send(ip, { ingressIfindex: world.unknown });
        return [result, counted];
      });
    };
    const guarded = asked([world.unknown]);
    expect(guarded).toEqual(asked(null));
    expect(guarded.map(([result]) => result)).toEqual([PASS, PASS]);
  });

  it.each([
    ['from the node itself', null, 0],
    ['by an uplink', 'uplink', ENTERED],
    ['what an endpoint sent over a bridge', 'unknown', SENT],
    ['what was judged', 'unknown', MARK_JUDGED],
  ] as const)('%s: out of the node, passed', (_about, way, mark) => {
    apply([]);
    const ingressIfindex = way === null ? 0 : world[way];
    expect(toOutside(ip, { mark, ingressIfindex }).result).toBe(PASS);
  });

  it('from an interface that has an endpoint’s index and not our programs, refused; what they marked is not', () => {
    const send = [
      (skb: object) => world.toB(datagram({ from: A[ip], to: B[ip] }, fresh(), 53), skb),
      (skb: object) => toB(ip, skb),
      (skb: object) => toOutside(ip, skb),
    ];
    const results = (mark: number) =>
      send.map((one) => one({ ingressIfindex: world.a, mark }).result);
    apply([]);
    expect(results(0)).toEqual([DROP, DROP, DROP]);
    expect(send[1]?.({ ingressIfindex: world.a }).counted).toEqual(['unknown-interface']);
    expect(results(SENT)).toEqual([PASS, PASS, PASS]);
    apply(null);
    expect(results(0)).toEqual([PASS, PASS, PASS]);
  });

  it('from an interface that has a former uplink’s index and not our programs, refused', () => {
    const results = (ingressIfindex: number) =>
      [toB, toOutside].map((send) => {
        const { result, counted } = send(ip, { ingressIfindex });
        return [result, counted];
      });
    apply([]);
    expect(results(world.uplink)).toEqual([
      [DROP, ['unknown-interface']],
      [DROP, ['unknown-interface']],
    ]);
    apply(null);
    expect(results(world.uplink).map(([result]) => result)).toEqual([PASS, PASS]);
  });

  it('a mark that is not ours lets nothing through', () => {
    apply([]);
    for (const mark of [0x4000, 0x8000, 0xffff_0000, 0x0000_00ff]) {
      expect(toOutside(ip, { ingressIfindex: world.unknown, mark }).result).toBe(DROP);
    }
  });
});

it('ARP of an interface that nobody knows reaches no endpoint', () => {
  apply([]);
  const claim = arp({ senderIp: A.ip4, targetIp: B.ip4, operation: 1 });
  expect(world.toB(claim, { ingressIfindex: world.unknown }).result).toBe(DROP);
  apply([world.unknown]);
  expect(world.toB(claim, { ingressIfindex: world.unknown }).result).toBe(PASS);
});

it('an interface of others is not ours for that: what comes by one with our programs is refused', () => {
  apply([world.unknown]);
  const packet = datagram({ from: STRANGER.ip4, to: B.ip4 }, fresh(), 53);
  expect(world.fromUnknown(packet)).toMatchObject({ result: DROP, counted: ['unknown-interface'] });
  const claim = arp({ senderIp: A.ip4, targetIp: B.ip4, operation: 1 });
  expect(world.fromUnknown(claim).result).toBe(DROP);
});
