/**
 * Who floods takes nothing from others: connections, records, fragments and refusals of each endpoint have
 * their share of the tables, and so have those of outsiders for each endpoint that they reach.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { MapName } from '../../../src/redirect/kernel/api.ts';
import { HOLD_HOLDER_AT, HOLDER_OUTSIDE, IP_PROTOCOLS } from '../../../src/redirect/layout.ts';
import { freeSeats } from '../../../src/redirect/seats.ts';
import { AB, datagram, fresh, key, type Leg, segment } from './legs.ts';
import { ACK, frame, RST, SYN, udp } from './packets.ts';
import { A, B, OUTSIDE, PORT, World } from './world.ts';

const { UDP } = IP_PROTOCOLS;
const FLOW_SEATS = 512;
const OTHER_SEATS = 256;
/** Several times as many as there are seats. */
const FLOOD = 4000;
const OUT_B: Leg = { from: OUTSIDE.ip4, to: B.ip4 };
const B_OUT: Leg = { from: B.ip4, to: OUTSIDE.ip4 };
const SHARED = ['flows', 'records', 'turns', 'returns'] as const;

let world: World;

beforeAll(async () => {
  world = new World('shares');
  world.lab.apply(world.tables());
  await world.listen(4);
});
afterAll(() => world.dispose());

beforeEach(() => {
  const { maps } = world.lab.datapath;
  for (const name of [...SHARED, 'seats'] as const) maps[name].deleteMany([...maps[name].keys()]);
  for (const name of SHARED) maps[`spare_${name}`].deleteMany([...maps[`spare_${name}`].keys()]);
});

/** Without reading the counters each time. */
const sendA = (packet: Buffer): number =>
  world.lab.send('from_interface', packet, { ifindex: world.a }).result;
const sendB = (packet: Buffer): number =>
  world.lab.send('from_interface', packet, { ifindex: world.b }).result;
const sendUplink = (packet: Buffer): number =>
  world.lab.send('from_interface', packet, { ifindex: world.uplink }).result;

/** Opened from outside, answered, and acknowledged. */
function openFromOutside(from: number): void {
  sendUplink(segment(OUT_B, from, PORT.allowed, SYN));
  sendB(segment(B_OUT, PORT.allowed, from, SYN | ACK));
  sendUplink(segment(OUT_B, from, PORT.allowed, ACK));
}

function heldBy(name: MapName, holder: number): number {
  let count = 0;
  for (const [, value] of world.lab.datapath.maps[name].entries())
    if (value.readUInt32LE(HOLD_HOLDER_AT) === holder) count += 1;
  return count;
}

/** What is beside the seats is full of others'. */
function fillSpare(name: 'spare_flows' | 'spare_records'): void {
  const map = world.lab.datapath.maps[name];
  function* entries(): Generator<readonly [Buffer, Buffer]> {
    for (let i = 0; i < map.maxEntries + 20_000; i++) {
      const other = Buffer.alloc(map.keyBytes);
      other.writeUInt32LE(i, 4);
      yield [other, Buffer.alloc(map.valueBytes)];
    }
  }
  map.updateMany(entries());
}

describe('connections that pass', () => {
  it('an idle one of others stays, and they open new ones', () => {
    const idle = fresh();
    openFromOutside(idle);
    for (let i = 0; i < FLOOD; i++) sendA(segment(AB, 1024 + i, PORT.allowed, SYN));
    fillSpare('spare_flows');
    expect(heldBy('flows', A.endpoint)).toBeLessThanOrEqual(FLOW_SEATS);
    expect(world.fromB(segment(B_OUT, PORT.allowed, idle, ACK))).toMatchObject({
      counted: ['passed'],
    });
    const next = fresh();
    openFromOutside(next);
    fillSpare('spare_flows');
    expect(world.fromB(segment(B_OUT, PORT.allowed, next, ACK))).toMatchObject({
      counted: ['passed'],
    });
  });

  it('SYNs and datagrams that nobody answers take no seat of what is open, of whoever', () => {
    const open = Array.from({ length: FLOW_SEATS / 2 }, fresh);
    for (const from of open) openFromOutside(from);
    for (let i = 0; i < FLOOD; i++) sendUplink(segment(OUT_B, 1024 + i, PORT.allowed, SYN));
    for (let i = 0; i < FLOOD; i++) sendUplink(datagram(OUT_B, 1024 + i, 53));
    const { flows } = world.lab.datapath.maps;
    expect(heldBy('flows', B.endpoint + HOLDER_OUTSIDE)).toBeLessThanOrEqual(FLOW_SEATS);
    const left = open.filter((from) => flows.lookup(key(OUT_B, from, PORT.allowed)) !== null);
    // By chance all seats that one looks at may be taken by open ones: one of them goes then.
    expect(left.length).toBeGreaterThan(open.length * 0.9);
  });

  it('who has more than its share keeps it as long as there is room', () => {
    const open = Array.from({ length: 2 * FLOW_SEATS }, fresh);
    const before = world.lab.datapath.counters().displaced;
    for (const from of open) openFromOutside(from);
    const seated = heldBy('flows', B.endpoint + HOLDER_OUTSIDE);
    expect(seated).toBeLessThanOrEqual(FLOW_SEATS);
    const displaced = Number(world.lab.datapath.counters().displaced - before);
    expect(seated + displaced).toBe(open.length);
    for (const from of open) expect(sendB(segment(B_OUT, PORT.allowed, from, ACK))).toBe(0);
  });

  it('what an endpoint of ours has ended goes first, and what is used goes last', () => {
    const open = Array.from({ length: FLOW_SEATS / 2 }, fresh);
    for (const from of open) openFromOutside(from);
    const ended = Array.from({ length: 4 * FLOW_SEATS }, fresh);
    for (const from of ended) {
      openFromOutside(from);
      sendB(segment(B_OUT, PORT.allowed, from, RST));
    }
    const { flows } = world.lab.datapath.maps;
    const left = open.filter((from) => flows.lookup(key(OUT_B, from, PORT.allowed)) !== null);
    expect(left.length).toBeGreaterThan(open.length * 0.9);
  });

  it('one that nobody of ours has ended is not over because somebody outside says it', () => {
    const from = fresh();
    openFromOutside(from);
    const flow = (): Buffer =>
      world.lab.datapath.maps.flows.lookup(key(OUT_B, from, PORT.allowed)) as Buffer;
    const before = flow().subarray(HOLD_HOLDER_AT);
    sendUplink(segment(OUT_B, from, PORT.allowed, RST));
    expect(flow().subarray(HOLD_HOLDER_AT)).toEqual(before);
  });

  it('a SYN that is sent again takes no second seat', () => {
    const from = fresh();
    for (let i = 0; i < 100; i++) sendA(segment(AB, from, PORT.allowed, SYN));
    expect(world.lab.datapath.maps.seats.count()).toBe(1);
  });
});

describe('records', () => {
  it('of others stay, however many one endpoint opens', () => {
    const idle = fresh();
    sendUplink(segment(OUT_B, idle, PORT.late, SYN));
    for (let i = 0; i < FLOOD; i++) sendA(segment(AB, 1024 + i, PORT.redirected, SYN));
    fillSpare('spare_records');
    expect(heldBy('records', A.endpoint)).toBeLessThanOrEqual(OTHER_SEATS);
    const { records } = world.lab.datapath.maps;
    expect(records.lookup(key(OUT_B, idle, PORT.late))).not.toBeNull();
  });
});

it('rates: what outsiders send to one endpoint costs no other one', () => {
  const holder = Buffer.alloc(4);
  holder.writeUInt32LE(A.endpoint + HOLDER_OUTSIDE);
  const late = Buffer.alloc(8);
  late.writeBigUInt64LE(process.hrtime.bigint() + 3_600_000_000_000n);
  world.lab.datapath.maps.rates.update(holder, late);
  expect(world.fromUplink(segment(OUT_B, fresh(), PORT.late, SYN))).toMatchObject({
    counted: ['redirected'],
  });
  holder.writeUInt32LE(B.endpoint + HOLDER_OUTSIDE);
  world.lab.datapath.maps.rates.update(holder, late);
  expect(world.fromUplink(segment(OUT_B, fresh(), PORT.late, SYN))).toMatchObject({
    counted: ['rate-limited'],
  });
  world.lab.datapath.maps.rates.delete(holder);
});

describe('fragments', () => {
  const MORE = 0x2000;
  const first = (leg: Leg, id: number): Buffer =>
    frame({ ...leg, protocol: UDP, payload: udp(4000, 53), fragment: MORE, id });
  const later = (leg: Leg, id: number): Buffer =>
    frame({ ...leg, protocol: UDP, payload: Buffer.alloc(8), fragment: 1, id });

  it('of others are put together, however many one endpoint begins', () => {
    sendUplink(first(OUT_B, 7));
    for (let i = 0; i < FLOOD; i++) sendA(first(AB, i));
    expect(world.lab.datapath.maps.fragments.count()).toBeLessThanOrEqual(2 * 64);
    expect(world.fromUplink(later(OUT_B, 7))).toMatchObject({ counted: ['passed'] });
  });

  it('are of one packet: the same place is not the same packet', () => {
    sendA(first(AB, 7));
    const outcomes = Array.from({ length: 200 }, (_, i) => world.fromA(later(AB, 100_00 + i)));
    expect(outcomes.filter(({ counted }) => !counted.includes('fragment'))).toEqual([]);
  });
});

it('refusals: a scan of one endpoint leaves those of others to be read', () => {
  world.fromUplink(segment(OUT_B, fresh(), PORT.noIngress, SYN));
  for (let i = 0; i < FLOOD; i++) sendA(segment(AB, fresh(), 20_000 + i, SYN));
  const refusals = world.lab.datapath.refusals();
  expect(refusals).toContainEqual(
    expect.objectContaining({ source: OUTSIDE.ip4, destinationPort: PORT.noIngress }),
  );
  expect(refusals.filter(({ source }) => source === A.ip4).length).toBeLessThanOrEqual(16);
});

describe('seats of who has gone', () => {
  it('are free again, with what sat there, and no others', () => {
    const [gone, kept] = [fresh(), fresh()];
    sendA(segment(AB, gone, PORT.allowed, SYN));
    openFromOutside(kept);
    const { maps } = world.lab.datapath;
    expect(freeSeats(maps)).toBe(0);
    const tables = world.tables();
    world.lab.apply({
      ...tables,
      endpoints: new Map([...tables.endpoints].filter(([id]) => id !== A.endpoint)),
    });
    // Of the generation in force: the others go first, as in the loader.
    for (const one of [...maps.endpoints.keys()])
      if (one.readUInt32LE(0) !== world.lab.generation) maps.endpoints.delete(one);
    expect(freeSeats(maps)).toBe(1);
    expect(maps.flows.lookup(key(AB, gone, PORT.allowed))).toBeNull();
    expect(maps.flows.lookup(key(OUT_B, kept, PORT.allowed))).not.toBeNull();
    expect(maps.seats.count()).toBe(1);
    world.lab.apply(tables);
  });
});
