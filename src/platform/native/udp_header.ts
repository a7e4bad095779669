/** The UDP header of a datagram that leaves by a raw socket (RFC 768, RFC 8200 8.1). */

export const UDP_HEADER_BYTES = 8;

const PROTOCOL_UDP = 17;

export interface UdpEnd {
  /** 4 or 16 bytes. */
  readonly address: Buffer;
  readonly port: number;
}

export interface UdpDatagram {
  readonly from: UdpEnd;
  readonly to: UdpEnd;
  readonly payload: Buffer;
}

export function writeUdpHeader(into: Buffer, at: number, { from, to, payload }: UdpDatagram): void {
  const length = payload.length + UDP_HEADER_BYTES;
  into.writeUInt16BE(from.port, at);
  into.writeUInt16BE(to.port, at + 2);
  into.writeUInt16BE(length, at + 4);
  const pseudo = sumOf(from.address) + sumOf(to.address) + PROTOCOL_UDP + length;
  const sum = fold(pseudo + from.port + to.port + length + sumOf(payload));
  // Zero would say that there is none.
  into.writeUInt16BE(sum === 0xffff ? 0xffff : ~sum & 0xffff, at + 6);
}

/** Of 16-bit words; an odd byte at the end is the upper half of one. */
function sumOf(bytes: Buffer): number {
  let sum = 0;
  const even = bytes.length & ~1;
  for (let i = 0; i < even; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  return even === bytes.length ? sum : sum + ((bytes[even] as number) << 8);
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x1_0000);
  return folded;
}
