/** Both ends of a datagram as the kernel writes them (struct sockaddr, IP_PKTINFO, IP_ORIGDSTADDR), and back. */
import { type IpText, ipFromBytes, parseIp, type SocketAddress } from '../../model/address.ts';
import { type Port, parsePort } from '../../model/identity.ts';
import { CONTROL_BYTES, type MessageBatch, NAME_BYTES } from './message_batch.ts';

/** Texts of addresses: most of what comes is from whom there was something before. */
const KNOWN_COUNT_MAX = 4096;

/** struct cmsghdr, then what it says: [level, type] of linux/in.h, linux/in6.h. */
const CONTROL_LEVEL_AT = 8;
const CONTROL_TYPE_AT = 12;
const CONTROL_DATA_AT = 16;
const LEVEL_IP4 = 0;
const LEVEL_IP6 = 41;
const PKTINFO4 = 8;
const PKTINFO6 = 50;
const DESTINATION4 = 20;
const DESTINATION6 = 74;

/** CMSG_LEN and CMSG_SPACE of struct in_pktinfo, in6_pktinfo. */
const PKTINFO_LENGTH = { 4: 28, 6: 36 } as const;
const PKTINFO_SPACE = { 4: 32, 6: 40 } as const;

export const NAME_LENGTH = { 4: 16, 6: 28 } as const;
/** Room for a control message of either kind. */
export const CONTROL_ROOM = CONTROL_BYTES;

export class Ends {
  readonly #family: 4 | 6;
  /** By the address as a number, or as its bytes. */
  readonly #texts = new Map<number | string, IpText>();
  readonly #bytes = new Map<string, Buffer>();

  constructor(family: 4 | 6) {
    this.#family = family;
  }

  /** Null: not to be read, as from port 0, which cannot be answered. */
  source({ names }: MessageBatch, index: number): SocketAddress | null {
    const at = index * NAME_BYTES;
    return this.#address(names, at + (this.#family === 4 ? 4 : 8), names.readUInt16BE(at + 2));
  }

  /** `port`: where there is only the address. Null: the kernel did not tell. */
  destination(batch: MessageBatch, index: number, port: Port): SocketAddress | null {
    if (batch.controlBytesOf(index) < CONTROL_DATA_AT) return null;
    const { controls } = batch;
    const at = index * CONTROL_BYTES;
    const level = controls.readInt32LE(at + CONTROL_LEVEL_AT);
    const type = controls.readInt32LE(at + CONTROL_TYPE_AT);
    const data = at + CONTROL_DATA_AT;
    if (this.#family === 4 && level === LEVEL_IP4) {
      // ipi_addr, which is behind the interface and the local address.
      if (type === PKTINFO4) return this.#address(controls, data + 8, port);
      if (type === DESTINATION4)
        return this.#address(controls, data + 4, controls.readUInt16BE(data + 2));
    }
    if (this.#family === 6 && level === LEVEL_IP6) {
      if (type === PKTINFO6) return this.#address(controls, data, port);
      if (type === DESTINATION6)
        return this.#address(controls, data + 8, controls.readUInt16BE(data + 2));
    }
    return null;
  }

  /** Where it goes. Of raw sockets the port is not the kernel's to know. */
  writeName({ names }: MessageBatch, index: number, to: SocketAddress, isRaw: boolean): number {
    const at = index * NAME_BYTES;
    names.writeUInt16LE(this.#family === 4 ? 2 : 10, at);
    names.writeUInt16BE(isRaw ? 0 : to.port, at + 2);
    this.#bytesOf(to.ip).copy(names, at + (this.#family === 4 ? 4 : 8));
    return NAME_LENGTH[this.#family];
  }

  /** From which address it goes, as PKTINFO. The length of the control message. */
  writeSource({ controls }: MessageBatch, index: number, from: IpText): number {
    const at = index * CONTROL_BYTES;
    controls.fill(0, at, at + PKTINFO_SPACE[this.#family]);
    controls.writeUInt32LE(PKTINFO_LENGTH[this.#family], at);
    controls.writeInt32LE(this.#family === 4 ? LEVEL_IP4 : LEVEL_IP6, at + CONTROL_LEVEL_AT);
    controls.writeInt32LE(this.#family === 4 ? PKTINFO4 : PKTINFO6, at + CONTROL_TYPE_AT);
    // ipi_spec_dst, which is behind the interface.
    this.#bytesOf(from).copy(controls, at + CONTROL_DATA_AT + (this.#family === 4 ? 4 : 0));
    return PKTINFO_SPACE[this.#family];
  }

  /** 4 or 16 bytes. */
  bytesOf(ip: IpText): Buffer {
    return this.#bytesOf(ip);
  }

  #address(from: Buffer, at: number, port: number): SocketAddress | null {
    const parsed = parsePort(port);
    if (parsed === null || parsed === 0) return null;
    const family = this.#family;
    const end = at + (family === 4 ? 4 : 16);
    const key = family === 4 ? from.readUInt32BE(at) : from.toString('latin1', at, end);
    let ip = this.#texts.get(key);
    if (ip === undefined) {
      const read = ipFromBytes(new Uint8Array(from.subarray(at, end)));
      // An IPv4 address in an IPv6 packet is nobody's.
      if (read.family !== family) return null;
      ip = read.text;
      remember(this.#texts, key, ip);
    }
    return { ip, family, port: parsed };
  }

  #bytesOf(ip: IpText): Buffer {
    let bytes = this.#bytes.get(ip);
    if (bytes === undefined) {
      const read = parseIp(ip);
      if (read === null || read.family !== this.#family)
        throw new TypeError(`${ip} is no address of IPv${this.#family}`);
      bytes = Buffer.from(read.bytes);
      remember(this.#bytes, ip, bytes);
    }
    return bytes;
  }
}

function remember<Key, Value>(known: Map<Key, Value>, key: Key, value: Value): void {
  if (known.size >= KNOWN_COUNT_MAX) known.clear();
  known.set(key, value);
}
