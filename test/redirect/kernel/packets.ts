/** Frames, byte by byte, and what is read back out of them. */
import { parseIp } from '../../../src/model/address.ts';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;

const SOURCE_MAC = Buffer.from('020000000001', 'hex');
const DESTINATION_MAC = Buffer.from('020000000002', 'hex');

export interface PacketPlan {
  readonly from: string;
  readonly to: string;
  /** IP protocol number. */
  readonly protocol: number;
  /** The transport header and what follows. */
  readonly payload: Buffer;
  readonly ttl?: number;
  /** IPv4: bytes of options, a multiple of four. */
  readonly options?: Buffer;
  /** IPv4: the field of flags and offset. */
  readonly fragment?: number;
  readonly id?: number;
  /** IPv6: headers before the transport, `protocol` being the type of the first. */
  readonly totalLength?: number;
  readonly etherType?: number;
}

export function frame(plan: PacketPlan): Buffer {
  const ip = plan.from.includes(':') ? ip6(plan) : ip4(plan);
  return ethernet(plan.etherType ?? (plan.from.includes(':') ? 0x86dd : 0x0800), ip);
}

export function ethernet(etherType: number, body: Buffer): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(etherType);
  return Buffer.concat([DESTINATION_MAC, SOURCE_MAC, type, body]);
}

function ip4(plan: PacketPlan): Buffer {
  const options = plan.options ?? Buffer.alloc(0);
  const header = Buffer.concat([Buffer.alloc(20), options]);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(plan.totalLength ?? header.length + plan.payload.length, 2);
  header.writeUInt16BE(plan.id ?? 0, 4);
  header.writeUInt16BE(plan.fragment ?? 0, 6);
  header[8] = plan.ttl ?? 64;
  header[9] = plan.protocol;
  header.set(bytesOf(plan.from), 12);
  header.set(bytesOf(plan.to), 16);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, withChecksum(plan)]);
}

function ip6(plan: PacketPlan): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(plan.totalLength ?? plan.payload.length, 4);
  header[6] = plan.protocol;
  header[7] = plan.ttl ?? 64;
  header.set(bytesOf(plan.from), 8);
  header.set(bytesOf(plan.to), 24);
  return Buffer.concat([header, withChecksum(plan)]);
}

export interface ArpPlan {
  readonly senderIp: string;
  readonly targetIp: string;
  /** 1 asks, 2 answers. */
  readonly operation?: 1 | 2;
  readonly hardware?: number;
}

export function arp({ senderIp, targetIp, operation = 1, hardware = 1 }: ArpPlan): Buffer {
  const head = Buffer.from([0, hardware, 8, 0, 6, 4, 0, operation]);
  const parts = [head, SOURCE_MAC, bytesOf(senderIp), Buffer.alloc(6), bytesOf(targetIp)];
  return ethernet(0x0806, Buffer.concat([...parts, Buffer.alloc(18)]));
}

/** Where the checksum of a protocol stands, and how long its header is; others' are never looked at here. */
const CHECKSUMS: ReadonlyMap<number, readonly [at: number, headBytes: number]> = new Map([
  [6, [16, 20]],
  [17, [6, 8]],
  [58, [2, 8]],
]);

function withChecksum(plan: PacketPlan): Buffer {
  const [at, headBytes] = CHECKSUMS.get(plan.protocol) ?? [0, Number.POSITIVE_INFINITY];
  if (plan.payload.length < headBytes) return plan.payload;
  const payload = Buffer.from(plan.payload);
  payload.writeUInt16BE(0, at);
  payload.writeUInt16BE(checksum(Buffer.concat([pseudoHeader(plan), payload])), at);
  return payload;
}

function pseudoHeader(plan: PacketPlan): Buffer {
  const tail = Buffer.alloc(4);
  tail[1] = plan.protocol;
  tail.writeUInt16BE(plan.payload.length, 2);
  return Buffer.concat([bytesOf(plan.from), bytesOf(plan.to), tail]);
}

export interface TcpPlan {
  readonly from: number;
  readonly to: number;
  readonly flags: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly data?: string;
}

export function tcp(plan: TcpPlan): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(plan.from, 0);
  header.writeUInt16BE(plan.to, 2);
  header.writeUInt32BE(plan.seq ?? 1000, 4);
  header.writeUInt32BE(plan.ack ?? (plan.flags & ACK ? 2000 : 0), 8);
  header[12] = 0x50;
  header[13] = plan.flags;
  header.writeUInt16BE(65_535, 14);
  return Buffer.concat([header, Buffer.from(plan.data ?? '')]);
}

export function udp(from: number, to: number, data = 'x'): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  header.writeUInt16BE(8 + data.length, 4);
  return Buffer.concat([header, Buffer.from(data)]);
}

export function sctp(from: number, to: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  return header;
}

/** `rest`: what follows the first eight bytes. */
export function icmp(type: number, code: number, id = 0, rest: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(8);
  header[0] = type;
  header[1] = code;
  header.writeUInt16BE(id, 4);
  return Buffer.concat([header, rest]);
}

/** An IPv6 extension header of `bytes` (a multiple of eight) that is followed by `next`. */
export function extension(next: number, bytes = 8): Buffer {
  const header = Buffer.alloc(bytes);
  header[0] = next;
  header[1] = bytes / 8 - 1;
  header[2] = 1; // PadN over all of it
  header[3] = bytes - 4;
  return header;
}

export function fragment6(next: number, id: number, offset: number, more: boolean): Buffer {
  const header = Buffer.alloc(8);
  header[0] = next;
  header.writeUInt16BE((offset << 3) | (more ? 1 : 0), 2);
  header.writeUInt32BE(id, 4);
  return header;
}

export interface ReadTcp {
  readonly from: string;
  readonly to: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly length: number;
  readonly isChecksumRight: boolean;
}

export function readTcp(packet: Buffer): ReadTcp {
  const isIp4 = packet.readUInt16BE(12) === 0x0800;
  const at = isIp4 ? 34 : 54;
  const addresses = isIp4 ? packet.subarray(26, 34) : packet.subarray(22, 54);
  const half = addresses.length / 2;
  const segment = packet.subarray(at);
  const tail = Buffer.from([0, 6, segment.length >> 8, segment.length & 0xff]);
  return {
    from: textOf(addresses.subarray(0, half)),
    to: textOf(addresses.subarray(half)),
    sourcePort: segment.readUInt16BE(0),
    destinationPort: segment.readUInt16BE(2),
    seq: segment.readUInt32BE(4),
    ack: segment.readUInt32BE(8),
    flags: segment[13] ?? 0,
    length: packet.length,
    isChecksumRight:
      checksum(Buffer.concat([addresses, tail, segment])) === 0 &&
      (!isIp4 || checksum(packet.subarray(14, 34)) === 0),
  };
}

function textOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return parseIp(groups.join(':'))?.text ?? '';
}

export function bytesOf(ip: string): Buffer {
  const address = parseIp(ip);
  if (address === null) throw new Error(`"${ip}" is no address`);
  // A mapped address is parsed to IPv4, and is wanted as it stands here.
  if (ip.startsWith('::ffff:') && address.bytes.length === 4)
    return Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), address.bytes]);
  return Buffer.from(address.bytes);
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
