/**
 * The PROXY protocol header, versions 1 and 2, that a load balancer or a redirect puts before the
 * first byte of a connection. Read only on listeners that demand it; nothing is guessed: what is not
 * exactly one of the two forms is malformed. TLVs are checked for their lengths, a CRC32c is
 * verified where there is one, and the others are left out.
 */

import { ipFromBytes, parseIp, type SocketAddress } from '../model/address.ts';
import { type Cause, causeOf, type Detail } from '../model/fault_detail.ts';
import { parsePort } from '../model/identity.ts';
import { DEFAULT_LIMITS } from '../model/limits.ts';
import { crc32c } from './crc32c.ts';
import { latin1 } from './http1/syntax.ts';

export type ProxyHeader =
  | { readonly kind: 'need-more' }
  | {
      readonly kind: 'proxied';
      readonly source: SocketAddress;
      readonly destination: SocketAddress;
      readonly byteLength: number;
    }
  /** The sender speaks for itself (v2 LOCAL, v1 UNKNOWN): the socket's own addresses count. */
  | { readonly kind: 'local'; readonly byteLength: number }
  | { readonly kind: 'malformed'; readonly cause: Cause };

const V1_SIGNATURE = Buffer.from('PROXY ', 'latin1');
const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
/** The longest line of version 1, its CRLF included. */
const V1_BYTES_MAX = 107;
const V2_HEADER_BYTES = 16;
const V2_LOCAL = 0x20;
const V2_PROXY = 0x21;
const UNSPECIFIED = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;
const TLV_CRC32C = 0x03;
const TLV_HEADER_BYTES = 3;
const NEED_MORE: ProxyHeader = Object.freeze({ kind: 'need-more' });

/**
 * `bytes` is everything read so far. A header is never longer than `bytesMax`; one that says it is,
 * is malformed, so the caller need not wait for it.
 */
export function parseProxyHeader(
  bytes: Buffer,
  bytesMax: number = DEFAULT_LIMITS.proxyProtocolBytesMax,
): ProxyHeader {
  if (startsLike(bytes, V2_SIGNATURE)) return parseVersion2(bytes, bytesMax);
  if (startsLike(bytes, V1_SIGNATURE)) return parseVersion1(bytes);
  return malformed('proxy-missing');
}

/** True when `bytes` begins with `signature`, or with as much of it as is there. */
function startsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.compare(signature, 0, length, 0, length) === 0;
}

/** `PROXY TCP4 1.2.3.4 5.6.7.8 1 2` CRLF: one space each, canonical decimal numbers. */
function parseVersion1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf('\r\n', 0, 'latin1');
  if (end === -1) {
    return bytes.length < V1_BYTES_MAX ? NEED_MORE : malformed('proxy-too-long');
  }
  const byteLength = end + 2;
  const words = latin1(bytes, V1_SIGNATURE.length, end).split(' ');
  if (words[0] === 'UNKNOWN') return { kind: 'local', byteLength };
  const family = words[0] === 'TCP4' ? 4 : words[0] === 'TCP6' ? 6 : 0;
  if (family === 0) return malformed('proxy-family');
  if (words.length !== 5) return malformed('proxy-form');
  const source = addressOfText(words[1] as string, words[3] as string, family);
  const destination = addressOfText(words[2] as string, words[4] as string, family);
  if (source === null || destination === null) return malformed('proxy-address');
  return { kind: 'proxied', source, destination, byteLength };
}

function addressOfText(ipText: string, portText: string, family: 4 | 6): SocketAddress | null {
  if (ipText.includes(':') !== (family === 6)) return null;
  const ip = parseIp(ipText);
  if (ip === null || !/^(?:0|[1-9][0-9]{0,4})$/.test(portText)) return null;
  const port = parsePort(Number(portText));
  return port === null ? null : { ip: ip.text, family: ip.family, port };
}

function parseVersion2(bytes: Buffer, bytesMax: number): ProxyHeader {
  const command = bytes[12];
  if (command !== undefined && command !== V2_LOCAL && command !== V2_PROXY) {
    return malformed('proxy-command');
  }
  if (bytes.length < V2_HEADER_BYTES) return NEED_MORE;
  const family = bytes[13] as number;
  const byteLength = V2_HEADER_BYTES + bytes.readUInt16BE(14);
  if (byteLength > bytesMax) return malformed('proxy-too-long');
  if (bytes.length < byteLength) return NEED_MORE;
  // The receiver of LOCAL skips whatever addresses stand there.
  if (command === V2_LOCAL) return { kind: 'local', byteLength };
  if (family === UNSPECIFIED) return { kind: 'local', byteLength };
  if (family !== TCP4 && family !== TCP6) return malformed('proxy-family');
  const ipBytes = family === TCP4 ? 4 : 16;
  const addressesEnd = V2_HEADER_BYTES + 2 * ipBytes + 4;
  if (byteLength < addressesEnd) return malformed('proxy-too-short');
  const wrong = tlvDetail(bytes.subarray(0, byteLength), addressesEnd);
  if (wrong !== null) return malformed(wrong);
  const ports = V2_HEADER_BYTES + 2 * ipBytes;
  const source = addressOfBytes(bytes, { at: V2_HEADER_BYTES, ipBytes, portAt: ports });
  const destination = addressOfBytes(bytes, {
    at: V2_HEADER_BYTES + ipBytes,
    ipBytes,
    portAt: ports + 2,
  });
  return { kind: 'proxied', source, destination, byteLength };
}

function addressOfBytes(
  bytes: Buffer,
  where: { readonly at: number; readonly ipBytes: number; readonly portAt: number },
): SocketAddress {
  const ip = ipFromBytes(Uint8Array.from(bytes.subarray(where.at, where.at + where.ipBytes)));
  const port = parsePort(bytes.readUInt16BE(where.portAt));
  if (port === null) throw new Error('unreachable: 16 bits are a port');
  return { ip: ip.text, family: ip.family, port };
}

/** What is wrong with the TLVs from `start` on, or null. */
function tlvDetail(header: Buffer, start: number): Detail | null {
  let at = start;
  let hasChecksum = false;
  while (at < header.length) {
    if (header.length - at < TLV_HEADER_BYTES) return 'proxy-tlv';
    const length = header.readUInt16BE(at + 1);
    const valueAt = at + TLV_HEADER_BYTES;
    if (length > header.length - valueAt) return 'proxy-tlv';
    if (header[at] === TLV_CRC32C) {
      if (length !== 4 || hasChecksum) return 'proxy-checksum';
      hasChecksum = true;
      const zeroed = Buffer.from(header);
      zeroed.fill(0, valueAt, valueAt + length);
      if (crc32c(zeroed) !== header.readUInt32BE(valueAt)) return 'proxy-checksum';
    }
    at = valueAt + length;
  }
  return null;
}

function malformed(detail: Detail): ProxyHeader {
  return { kind: 'malformed', cause: causeOf(detail) };
}
