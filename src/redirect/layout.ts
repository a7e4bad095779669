/**
 * Keys and values of the maps that the kernel programs share with us: the twin of `bpf/layout.h`, which
 * draws how they hang together. Numbers are in the machine's order (little-endian on all that we run on),
 * ports and addresses in network order.
 */
import { createHash } from 'node:crypto';
import {
  type IpAddress,
  type IpPrefix,
  ipFromBytes,
  parseIp,
  type SocketAddress,
} from '../model/address.ts';
import type { Identity, Port } from '../model/identity.ts';
import type { BehindPair, PlannedBehind } from './behind.ts';

export const LAYOUT_VERSION = 6;

/** Slots of the sockmap for one family; IPv6 begins where IPv4 ends, and datagrams where connections do. */
export const LISTENER_SLOTS = 32;

export const VERDICT_DENY = 0;
export const VERDICT_ALLOW = 1;
export const VERDICT_REDIRECT = 2;

export type KernelVerdict = typeof VERDICT_DENY | typeof VERDICT_ALLOW | typeof VERDICT_REDIRECT;

export const INTERFACE_ENDPOINT = 1;
export const INTERFACE_UPLINK = 2;
/** Not ours. */
export const INTERFACE_OTHER = 3;

/** A port of a bridge or the like, which the stack forgets on the way. */
export const INTERFACE_IS_PORT = 1;
/** Of a Linux bridge. */
export const INTERFACE_IS_BRIDGED = 2;

export const HALF_EGRESS = 1;
export const HALF_INGRESS = 2;

export const SETTING_HOST_JUDGED = 1;
export const SETTING_HOST_REDIRECTED = 2;
export const SETTING_GUARDED = 4;
export const SETTING_SERVICES = 8;
export const SETTING_EPOCH_SHIFT = 8;
/** What does not change with each change of Services. */
export const SETTINGS_OF_FILES = SETTING_HOST_JUDGED | SETTING_HOST_REDIRECTED | SETTING_GUARDED;

export const MARK_MAGIC_MASK = 0x0f00;
export const MARK_DIALLED = 0x0100;
export const MARK_TO_PROXY = 0x0200;
export const MARK_ENTERED_LOCAL = 0x0400;
export const MARK_ENTERED = 0x0500;
export const MARK_RETURNED = 0x0600;
export const MARK_SENT = 0x0700;
export const MARK_PROXY_INGRESS = 0x0a00;
export const MARK_PROXY_EGRESS = 0x0b00;
export const MARK_JUDGED = 0x0f00;

/** IP protocol numbers; 0 stands for every protocol that has no entries of its own. */
export const IP_PROTOCOLS = { any: 0, ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const;

/** In the order of `enum counter`. */
export const COUNTERS = [
  'passed',
  'redirected',
  'owned',
  'from-proxy',
  'from-host',
  'denied-egress',
  'denied-ingress',
  'no-generation',
  'unknown-interface',
  'foreign-source',
  'malformed',
  'fragment',
  'vlan',
  'not-ip',
  'stale',
  'no-listener',
  'rate-limited',
  'unredirectable',
  'record-lost',
  'assigned',
  'resets-sent',
  'unknown-sender',
  'foreign-neighbour',
  'displaced',
  'no-backend',
  'too-many-backends',
] as const;

export type CounterName = (typeof COUNTERS)[number];

/** Cilium's layout of SO_MARK; the scope byte of the identity (bits 31..24) has no place in it. */
export function identityMark(magic: number, identity: Identity): number {
  return (((identity & 0xffff) << 16) | ((identity >>> 16) & 0xff) | magic) >>> 0;
}

/** The connection as its SYN had it. */
export function encodeTuple(
  source: SocketAddress,
  destination: SocketAddress,
  protocol: number = IP_PROTOCOLS.TCP,
): Buffer {
  const key = Buffer.alloc(40);
  key.set(bytesOf(source.ip), 0);
  key.set(bytesOf(destination.ip), 16);
  key.writeUInt16BE(source.port, 32);
  key.writeUInt16BE(destination.port, 34);
  key[36] = source.family;
  key[37] = protocol;
  return key;
}

export function decodeTuple(key: Buffer): {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  readonly protocol: number;
} {
  const family = key.readUInt8(36) === 4 ? 4 : 6;
  const sideAt = (address: number, port: number): SocketAddress => ({
    ip: ipFromBytes(key.subarray(address, address + (family === 4 ? 4 : 16))).text,
    port: key.readUInt16BE(port) as Port,
    family,
  });
  return { source: sideAt(0, 32), destination: sideAt(16, 34), protocol: key.readUInt8(37) };
}

/** What the kernel knew when it saw the SYN. */
export interface RedirectRecord {
  readonly timeNs: bigint;
  readonly source: RecordedSide;
  readonly destination: RecordedSide;
  readonly generation: number;
  readonly isEgressJudged: boolean;
  readonly isIngressJudged: boolean;
  readonly ifindex: number;
}

export interface RecordedSide {
  readonly identity: Identity;
  /** See `identityCheck`. */
  readonly check: bigint;
  /** 0: no endpoint of this node. */
  readonly endpoint: number;
}

export const RECORD_BYTES = 64;

export function decodeRecord(value: Buffer): RedirectRecord {
  const halves = value.readUInt32LE(52);
  return {
    timeNs: value.readBigUInt64LE(0),
    source: sideAt(value, { check: 16, identity: 32 }),
    destination: sideAt(value, { check: 24, identity: 40 }),
    generation: value.readUInt32LE(48),
    isEgressJudged: (halves & HALF_EGRESS) !== 0,
    isIngressJudged: (halves & HALF_INGRESS) !== 0,
    ifindex: value.readUInt32LE(56),
  };
}

/** The endpoint stands behind the identity. */
function sideAt(
  value: Buffer,
  at: { readonly check: number; readonly identity: number },
): RecordedSide {
  return {
    identity: value.readUInt32LE(at.identity) as Identity,
    check: value.readBigUInt64LE(at.check),
    endpoint: value.readUInt32LE(at.identity + 4),
  };
}

/** Set in the holder of a seat: all who are no endpoint of ours, and have reached that endpoint. */
export const HOLDER_OUTSIDE = 0x8000_0000;

export const SHARED_TABLES = { flows: 1, records: 2, turns: 3, returns: 4 } as const;

export type SharedTable = keyof typeof SHARED_TABLES;

/** Whose seat it is, and in which table. */
export interface SeatKey {
  /** The endpoint that it is of, or that outsiders have reached. */
  readonly endpoint: number;
  readonly table: SharedTable | null;
}

export function decodeSeatKey(key: Buffer): SeatKey {
  const number = key.readUInt16LE(4);
  const names = Object.keys(SHARED_TABLES) as SharedTable[];
  return {
    endpoint: (key.readUInt32LE(0) & ~HOLDER_OUTSIDE) >>> 0,
    table: names.find((name) => SHARED_TABLES[name] === number) ?? null,
  };
}

/** A seat begins with the tuple that it names; a value of a shared table has its holder behind the time. */
export const SEAT_TUPLE_BYTES = 40;
export const HOLD_HOLDER_AT = 8;

export function decodeSettings(value: Buffer): {
  readonly generation: number;
  readonly flags: number;
} {
  return { generation: value.readUInt32LE(0), flags: value.readUInt32LE(4) };
}

export function encodeSettings(settings: {
  readonly generation: number;
  readonly isHostJudged: boolean;
  /** Only where the interfaces of endpoints have accept_local: else its IPv4 connections end in silence. */
  readonly isHostRedirected?: boolean;
  /** What is forwarded from an interface without an entry is refused. */
  readonly isGuarded?: boolean;
  /** There are entries of Services. */
  readonly hasServices?: boolean;
}): Buffer {
  const judged = settings.isHostJudged ? SETTING_HOST_JUDGED : 0;
  const redirected = settings.isHostRedirected === true ? SETTING_HOST_REDIRECTED : 0;
  const guarded = settings.isGuarded === true ? SETTING_GUARDED : 0;
  const services = settings.hasServices === true ? SETTING_SERVICES : 0;
  return words(settings.generation, judged | redirected | guarded | services);
}

/** The same settings, once there are other entries of Services. */
export function withNextEpoch(settings: Buffer): Buffer {
  const { generation, flags } = decodeSettings(settings);
  const epoch = ((flags >>> SETTING_EPOCH_SHIFT) + 1) & EPOCH_MAX;
  const others = flags & ((1 << SETTING_EPOCH_SHIFT) - 1);
  return words(generation, others | SETTING_SERVICES | (epoch << SETTING_EPOCH_SHIFT));
}

const EPOCH_MAX = 0xff_ffff;

export function encodeInterfaceKey(generation: number, ifindex: number): Buffer {
  return words(generation, ifindex);
}

/** `endpoint` null: an uplink. */
export function encodeInterface(
  endpoint: number | null,
  { adoptsUntilNs = 0n, port = null }: Partial<InterfaceState> = {},
): Buffer {
  const kind = endpoint === null ? words(INTERFACE_UPLINK, 0) : words(INTERFACE_ENDPOINT, endpoint);
  return Buffer.concat([kind, longWord(adoptsUntilNs), encodePortState(port)]);
}

export function encodeOtherInterface(): Buffer {
  return Buffer.concat([words(INTERFACE_OTHER, 0), longWord(0n), encodePortState(null)]);
}

export interface InterfaceState {
  /** Until then (bpf_ktime_get_ns) connections that are older than the programs are taken over. */
  readonly adoptsUntilNs: bigint;
  /** Null: no port of another interface. */
  readonly port: PortState | null;
}

export interface PortState {
  /** The index of the interface whose port it is; 0: it is not known. */
  readonly master: number;
  /** The port's own link address (6 bytes), when its master is a Linux bridge. */
  readonly bridgedAddress: Uint8Array | null;
}

function encodePortState(port: PortState | null): Buffer {
  const address = Buffer.alloc(8);
  if (port === null) return Buffer.concat([words(0, 0), address]);
  const { master, bridgedAddress } = port;
  if (bridgedAddress !== null) address.set(bridgedAddress);
  const bridged = bridgedAddress === null ? 0 : INTERFACE_IS_BRIDGED;
  return Buffer.concat([words(INTERFACE_IS_PORT | bridged, master), address]);
}

export function decodeAdoption(value: Buffer): bigint {
  return value.readBigUInt64LE(INTERFACE_ADOPTION.at);
}

/** Where the time lies in an interface's value. */
export const INTERFACE_ADOPTION = { at: 8, bytes: 8 } as const;

export function encodeAddressKey(generation: number, prefix: IpPrefix): Buffer {
  const key = Buffer.alloc(28);
  key.writeUInt32LE(64 + prefix.length, 0);
  key.writeUInt32LE(generation, 4);
  key.writeUInt32LE(prefix.address.family, 8);
  key.set(prefix.address.bytes, 12);
  return key;
}

export const ADDRESS_IS_NODE = 1;

/** `isNode`: of this node or another. */
export function encodeAddress(side: RecordedSide & { readonly isNode: boolean }): Buffer {
  const flags = side.isNode ? ADDRESS_IS_NODE << 24 : 0;
  return Buffer.concat([words(side.identity, side.endpoint | flags), longWord(side.check)]);
}

export function encodeEndpointKey(generation: number, endpoint: number): Buffer {
  return words(generation, endpoint);
}

export function encodeEndpoint(value: {
  readonly identity: Identity;
  readonly check: bigint;
  readonly egressPolicy: number;
  readonly ingressPolicy: number;
  /** Its interface has the programs. */
  readonly isAttached: boolean;
  /** The first of each family stands for it where a NAT has taken its address away. */
  readonly ips?: readonly string[];
}): Buffer {
  const { identity, check, egressPolicy, ingressPolicy, isAttached, ips = [] } = value;
  const own = Buffer.alloc(32);
  for (const [family, at] of [
    [4, 0],
    [6, 16],
  ] as const) {
    const first = ips.find((ip) => parseIp(ip)?.family === family);
    if (first !== undefined) own.set(bytesOf(first), at);
  }
  const policies = [
    words(identity, egressPolicy),
    longWord(check),
    words(ingressPolicy, Number(isAttached)),
  ];
  return Buffer.concat([...policies, own]);
}

/** `bits`: how many leading bits of `port` count, 16 for one port, 0 for all. */
export function encodePortKey(
  generation: number,
  policy: number,
  range: { readonly protocol: number; readonly port: number; readonly bits: number },
): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(80 + range.bits, 0);
  key.writeUInt32LE(generation, 4);
  key.writeUInt32LE(policy, 8);
  key.writeUInt16BE(range.protocol, 12);
  key.writeUInt16BE(range.port, 14);
  return key;
}

export function encodePort(slot: number, verdict: KernelVerdict): Buffer {
  return words(slot, verdict);
}

export function encodeVerdictKey(generation: number, slot: number, identity: Identity): Buffer {
  return words(generation, slot, identity);
}

export function encodeVerdict(verdict: KernelVerdict): Buffer {
  return words(verdict);
}

/** How many different identities and ports behind one address are asked about. */
export const BEHIND_MAX = 32;
/** Entries of one generation: half of the map. */
export const BEHIND_COUNT_MAX = 131_072;

export const BEHIND_AS_DIALLED = 1;
export const BEHIND_HERE = 2;

const BEHIND_HEAD_BYTES = 16;
const BEHIND_PAIR_BYTES = 8;

/** `address` null: every address of the node. */
export function encodeBehindKey(
  generation: number,
  of: {
    readonly address: IpAddress | null;
    readonly family: 4 | 6;
    readonly port: Port;
    readonly protocol: number;
  },
): Buffer {
  const key = Buffer.alloc(24);
  key.writeUInt32LE(generation, 0);
  if (of.address !== null) key.set(of.address.bytes, 4);
  key.writeUInt16BE(of.port, 20);
  key[22] = of.family;
  key[23] = of.protocol;
  return key;
}

/** `serial`: another one each time that the entry is written again. More than BEHIND_MAX pairs: none is told. */
export function encodeBehind(
  serial: number,
  { pairs, isAskedAsDialled, isHere }: Pick<PlannedBehind, 'pairs' | 'isAskedAsDialled' | 'isHere'>,
): Buffer {
  const value = Buffer.alloc(BEHIND_HEAD_BYTES + BEHIND_MAX * BEHIND_PAIR_BYTES);
  value.writeUInt32LE(serial, 0);
  value.writeUInt32LE(pairs.length, 4);
  value.writeUInt32LE((isAskedAsDialled ? BEHIND_AS_DIALLED : 0) | (isHere ? BEHIND_HERE : 0), 8);
  if (pairs.length > BEHIND_MAX) return value;
  for (const [index, { identity, port }] of pairs.entries()) {
    const at = BEHIND_HEAD_BYTES + index * BEHIND_PAIR_BYTES;
    value.writeUInt32LE(identity, at);
    value.writeUInt16BE(port, at + 4);
  }
  return value;
}

export function decodeBehind(value: Buffer): {
  readonly count: number;
  readonly flags: number;
  readonly pairs: readonly BehindPair[];
} {
  const count = value.readUInt32LE(4);
  const told = count > BEHIND_MAX ? 0 : count;
  const pairs = Array.from({ length: told }, (_, index) => {
    const at = BEHIND_HEAD_BYTES + index * BEHIND_PAIR_BYTES;
    return {
      identity: value.readUInt32LE(at) as Identity,
      port: value.readUInt16BE(at + 4) as Port,
    };
  });
  return { count, flags: value.readUInt32LE(8), pairs };
}

/**
 * A hash of canonical labels: the first 64 bits of SHA-256. A record means whoever has these labels, as each
 * process numbers identities for itself. Whoever may choose labels must not be able to choose somebody
 * else's hash, so no short or homemade one will do.
 */
export function identityCheck(labels: readonly string[]): bigint {
  return createHash('sha256').update(labels.join('\n')).digest().readBigUInt64LE(0);
}

function longWord(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, 4 * index);
  return bytes;
}

function bytesOf(ip: string): Uint8Array {
  const address: IpAddress | null = parseIp(ip);
  if (address === null) throw new TypeError(`"${ip}" is no IP address`);
  return address.bytes;
}
