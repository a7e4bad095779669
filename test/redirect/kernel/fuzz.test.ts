/**
 * Packets that nobody would send: whatever passes has, by a second reading that shares nothing with the
 * programs' own, what the policy allows. The kernel's reading of a packet is the one that counts, so the
 * second follows it: lengths, options, extension headers.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IP_PROTOCOLS, VERDICT_ALLOW } from '../../../src/redirect/layout.ts';
import { PASS } from './lab.ts';
import { ACK, extension, fragment6, frame, icmp, SYN, tcp, udp } from './packets.ts';
import { A, B, PORT, World } from './world.ts';

const RUNS = 6000;
const DNS = 53;
const { TCP, UDP } = IP_PROTOCOLS;
const [HOP_BY_HOP, FRAGMENT, ICMP6, OPTIONS] = [0, 44, 58, 60];

let world: World;

beforeAll(() => {
  world = new World('fuzz');
});
afterAll(() => world.dispose());

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

const transport = fc.oneof(
  fc.record({ from: fc.nat(65_535), to: fc.constantFrom(DNS, 54, PORT.allowed) }).map((ports) => ({
    protocol: UDP,
    payload: udp(ports.from, ports.to),
  })),
  fc
    .record({
      from: fc.nat(65_535),
      to: fc.constantFrom(DNS, PORT.allowed, 80),
      flags: fc.constantFrom(SYN, ACK, 0, 0xff),
    })
    .map((plan) => ({ protocol: TCP as number, payload: tcp(plan) })),
  fc.nat(255).map((type) => ({ protocol: 1 as number, payload: icmp(type, 0, 7) })),
  fc.nat(255).map((type) => ({ protocol: ICMP6, payload: icmp(type, 0, 7, Buffer.alloc(16)) })),
  fc.record({ protocol: fc.nat(255), payload: bytes(60) }),
);

const ip4 = fc
  .record({
    inner: transport,
    options: fc
      .nat(10)
      .chain((words) => fc.uint8Array({ minLength: 4 * words, maxLength: 4 * words })),
    fragment: fc.constantFrom(0, 0, 0, 0x2000, 0x2001, 1, 185, 0x4000),
    ttl: fc.constantFrom(1, 64, 255),
  })
  .map(({ inner, options, ...more }) =>
    frame({ from: A.ip4, to: B.ip4, ...inner, ...more, options: Buffer.from(options) }),
  );

const header6 = fc.oneof(
  fc
    .constantFrom(8, 16, 24)
    .map((size) => ({ type: OPTIONS, make: (next: number) => extension(next, size) })),
  fc.constant({ type: HOP_BY_HOP, make: (next: number) => extension(next) }),
  fc.constant({ type: 43, make: (next: number) => extension(next) }),
  fc.record({ offset: fc.constantFrom(0, 0, 5), more: fc.boolean() }).map(({ offset, more }) => ({
    type: FRAGMENT,
    make: (next: number) => fragment6(next, 99, offset, more),
  })),
);

const ip6 = fc
  .record({
    inner: transport,
    headers: fc.array(header6, { maxLength: 7 }),
    ttl: fc.constantFrom(1, 255),
  })
  .map(({ inner, headers, ttl }) => {
    let { protocol, payload } = inner;
    for (const { type, make } of headers.toReversed()) {
      payload = Buffer.concat([make(protocol), payload]);
      protocol = type;
    }
    return frame({ from: A.ip6, to: B.ip6, protocol, payload, ttl });
  });

/** Some bytes changed behind the addresses of Ethernet, and the end cut or lengthened. */
const damaged = fc
  .record({
    packet: fc.oneof(ip4, ip6),
    changes: fc.array(fc.record({ at: fc.nat(120), to: fc.nat(255) }), { maxLength: 4 }),
    cut: fc.option(fc.nat(100), { nil: undefined }),
    more: bytes(20),
  })
  .map(({ packet, changes, cut, more }) => {
    const copy = Buffer.concat([
      packet.subarray(0, cut === undefined ? undefined : 34 + cut),
      more,
    ]);
    for (const { at, to } of changes) if (12 + at < copy.length) copy[12 + at] = to;
    // What is shorter than a head is not taken from a test at all.
    return copy.length < 54 ? Buffer.concat([copy, Buffer.alloc(54 - copy.length)]) : copy;
  });

interface Reading {
  readonly protocol: number;
  readonly port: number;
  /** Of a fragment that is not the first there is no port. */
  readonly isLater: boolean;
}

/** As the receiver's kernel would: null is what it drops. */
function readAgain(packet: Buffer): Reading | null {
  const type = packet.readUInt16BE(12);
  if (type === 0x0800) return read4(packet.subarray(14));
  if (type === 0x86dd) return read6(packet.subarray(14));
  return null;
}

function read4(ip: Buffer): Reading | null {
  const head = 4 * ((ip[0] ?? 0) & 15);
  const total = ip.readUInt16BE(2);
  if ((ip[0] ?? 0) >> 4 !== 4 || head < 20 || total < head || total > ip.length) return null;
  return readPort(ip.subarray(head, total), ip[9] ?? 0, (ip.readUInt16BE(6) & 0x1fff) !== 0);
}

function read6(ip: Buffer): Reading | null {
  const total = 40 + ip.readUInt16BE(4);
  if ((ip[0] ?? 0) >> 4 !== 6 || total > ip.length) return null;
  let rest = ip.subarray(40, total);
  let next = ip[6] ?? 0;
  for (;;) {
    if (next !== HOP_BY_HOP && next !== OPTIONS && next !== FRAGMENT && next !== 43) break;
    if (rest.length < 8) return null;
    if (next === FRAGMENT && (rest.readUInt16BE(2) & 0xfff8) !== 0)
      return { protocol: rest[0] ?? 0, port: 0, isLater: true };
    const size = next === FRAGMENT ? 8 : 8 * ((rest[1] ?? 0) + 1);
    next = rest[0] ?? 0;
    rest = rest.subarray(size);
  }
  return readPort(rest, next, false);
}

function readPort(rest: Buffer, protocol: number, isLater: boolean): Reading | null {
  if (isLater) return { protocol, port: 0, isLater };
  if (protocol !== TCP && protocol !== UDP) return { protocol, port: 0, isLater };
  if (rest.length < 8) return null;
  return { protocol, port: rest.readUInt16BE(2), isLater };
}

const isArp = (packet: Buffer): boolean => packet.readUInt16BE(12) === 0x0806;

function isNeighbourTalk(packet: Buffer, mark: number): boolean {
  const reading = readAgain(packet);
  return (
    reading?.protocol === ICMP6 && packet.readUInt16BE(12) === 0x86dd && (mark & 0xf00) !== 0xf00
  );
}

/** No policy keeps a pod from itself. */
function isToItself(packet: Buffer): boolean {
  switch (packet.readUInt16BE(12)) {
    case 0x0800:
      return packet.length >= 34 && packet.subarray(26, 30).equals(packet.subarray(30, 34));
    case 0x86dd:
      return packet.length >= 54 && packet.subarray(22, 38).equals(packet.subarray(38, 54));
    default:
      return false;
  }
}

describe('whatever the bytes are', () => {
  it('nothing passes a policy that allows nothing', () => {
    world.lab.apply(world.tables([]));
    fc.assert(
      fc.property(damaged, (packet) => {
        const { result, mark } = world.lab.send('from_interface', packet, { ifindex: world.a });
        if (result !== PASS) return;
        expect(isArp(packet) || isNeighbourTalk(packet, mark) || isToItself(packet)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });

  it('nothing but UDP to one port passes a policy that allows that', () => {
    world.lab.apply(world.tables([{ protocol: UDP, port: DNS, verdict: VERDICT_ALLOW }]));
    let passed = 0;
    fc.assert(
      fc.property(damaged, (packet) => {
        const { result, mark } = world.lab.send('from_interface', packet, { ifindex: world.a });
        if (result !== PASS || isArp(packet) || isNeighbourTalk(packet, mark)) return;
        if (isToItself(packet)) return;
        passed++;
        const reading = readAgain(packet);
        // RFC 8200 4.5: only the first fragment's next header counts, and that one passed before.
        if (reading?.isLater === true) return;
        expect(reading).toMatchObject({ protocol: UDP, port: DNS });
      }),
      { numRuns: RUNS },
    );
    expect(passed).toBeGreaterThan(RUNS / 100);
  });

  it('nothing of it passes on its way out, either', () => {
    world.lab.apply(world.tables([], []));
    fc.assert(
      fc.property(damaged, (packet) => {
        const skb = { ifindex: world.b, ingressIfindex: world.unknown };
        const { result } = world.lab.send('to_endpoint', packet, skb);
        if (result === PASS) expect(isArp(packet)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});
