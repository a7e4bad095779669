/**
 * Ports of a bridge: what is for the proxy gets a link address by which the bridge gives it to the node, and its record
 * holds the bridge, as the stack sees it come. All else goes on as it came.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  MARK_JUDGED,
  MARK_PROXY_EGRESS,
  MARK_PROXY_INGRESS,
  MARK_RETURNED,
  MARK_SENT,
  MARK_TO_PROXY,
  type PortState,
} from '../../../src/redirect/layout.ts';
import { DROP, PASS } from './lab.ts';
import { AB, AB6, fresh, key, segment } from './legs.ts';
import { ACK, SYN } from './packets.ts';
import { A, B, OUTSIDE, PORT, World } from './world.ts';

const MASTER = 4242;
const OWN = Buffer.from('7a0000000001', 'hex');

let world: World;

beforeAll(async () => {
  world = new World('ports');
  await world.listen(4);
  await world.listen(6);
});
afterAll(() => world.dispose());

function apply(port: PortState | null): void {
  const ports = new Map(port === null ? [] : [world.a, world.b].map((ifindex) => [ifindex, port]));
  world.lab.apply({ ...world.tables(), ports });
}

const STATES = [
  ['no port', null, false, null],
  ['a port of a bond', { master: MASTER, bridgedAddress: null }, false, MASTER],
  ['a port of who knows what', { master: 0, bridgedAddress: null }, false, null],
  ['a port of a bridge', { master: MASTER, bridgedAddress: OWN }, true, MASTER],
] as const;

describe.each(STATES)('%s', (_about, port, isBridged, master) => {
  beforeAll(() => apply(port));

  const addressed = (packet: Buffer, answer: Buffer): void => {
    const to = isBridged ? OWN : packet.subarray(0, 6);
    expect(answer.subarray(0, 6).toString('hex')).toBe(to.toString('hex'));
    expect(answer.subarray(6, 14)).toEqual(packet.subarray(6, 14));
  };

  it.each([
    ['IPv4', AB],
    ['IPv6', AB6],
  ] as const)('what opens a connection to the proxy, %s', (_family, leg) => {
    const from = fresh();
    const packet = segment(leg, from, PORT.redirected, SYN);
    const { result, magic, packet: answer } = world.fromA(packet);
    expect([result, magic]).toEqual([PASS, MARK_TO_PROXY]);
    addressed(packet, answer);
    const record = world.lab.datapath.maps.records.lookup(key(leg, from, PORT.redirected));
    expect(record?.readUInt32LE(56)).toBe(world.a);
    expect(record?.readUInt32LE(60)).toBe(master ?? world.a);
  });

  it('what passes keeps its link address, and tells at a port only who sends', () => {
    const packet = segment(AB, fresh(), PORT.allowed, SYN);
    const { result, mark, magic, packet: answer } = world.fromA(packet);
    const isPort = port !== null;
    expect([result, magic]).toEqual([PASS, isPort ? MARK_SENT : MARK_JUDGED]);
    if (isPort) expect(mark >>> 16).toBe(A.endpoint);
    expect(answer).toEqual(packet);
  });

  it('what comes in as the answer of who has been asked', () => {
    const packet = segment({ from: B.ip4, to: A.ip4 }, PORT.late, fresh(), ACK);
    const {
      result,
      mark,
      packet: answer,
    } = world.lab.send('from_interface', packet, {
      ifindex: world.b,
      mark: MARK_RETURNED,
    });
    const sender = port === null ? 0 : (B.endpoint << 16) | MARK_SENT;
    expect([result, mark]).toEqual([PASS, sender]);
    addressed(packet, answer);
  });

  it('the proxy’s own words to a pod are not touched', () => {
    const packet = segment(AB, fresh(), PORT.allowed, ACK);
    const { result, packet: answer } = world.toB(packet, { mark: MARK_PROXY_INGRESS });
    expect(result).toBe(PASS);
    expect(answer).toEqual(packet);
  });

  it.each([MARK_PROXY_INGRESS, MARK_PROXY_EGRESS])(
    'they reach no other pod, wherever a bridge believes its link address to be: %i',
    (mark) => {
      const to = { from: OUTSIDE.ip4, to: A.ip4 };
      // The node's routing alone knows one way to an address.
      for (const flags of port === null ? [SYN] : [ACK, SYN]) {
        const { result, counted } = world.toB(segment(to, PORT.allowed, fresh(), flags), { mark });
        expect([result, counted]).toEqual([DROP, ['foreign-neighbour']]);
      }
    },
  );
});
