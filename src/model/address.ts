/**
 * IP addresses, prefixes and socket addresses, parsed once at the border into canonical form
 * (RFC 5952 text for IPv6; an IPv4-mapped IPv6 address becomes the IPv4 one), so that two texts of
 * one address are one key.
 */
import type { Brand } from './brand.ts';
import { type Port, parsePort } from './identity.ts';

/** Canonical text of an address: usable as a map key. */
export type IpText = Brand<string, 'IpText'>;

export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network order. */
  readonly bytes: Uint8Array;
  readonly text: IpText;
}

export interface IpPrefix {
  readonly address: IpAddress;
  /** Bits that count: 0-32 or 0-128. Bits beyond them are zero in `address`. */
  readonly length: number;
  /** Canonical "address/length". */
  readonly text: string;
}

export interface SocketAddress {
  readonly ip: IpText;
  readonly family: 4 | 6;
  readonly port: Port;
}

/** Null when `text` is no IPv4 or IPv6 address. No zone ids, no leading zeros, no brackets. */
export function parseIp(text: string): IpAddress | null {
  if (text.includes(':')) {
    const groups = parseIpv6Groups(text);
    return groups === null ? null : ipFromBytes(bytesOfGroups(groups));
  }
  const bytes = parseIpv4Bytes(text);
  return bytes === null ? null : ipFromBytes(bytes);
}

/** The address of 4 or 16 bytes in network order; IPv4-mapped IPv6 becomes IPv4. */
export function ipFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 16 && isIpv4Mapped(bytes)) return ipFromBytes(bytes.slice(12));
  if (bytes.length === 4) return { family: 4, bytes, text: bytes.join('.') as IpText };
  return { family: 6, bytes, text: ipv6Text(bytes) as IpText };
}

/** Of a prefix: 16 bytes stay IPv6, also those that begin as an IPv4-mapped address does. */
export function networkFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return ipFromBytes(bytes);
  return { family: 6, bytes, text: ipv6Text(bytes) as IpText };
}

/**
 * Null when `text` is no "address/length". With `allowHostBits` set bits beyond the length are
 * cleared, else they make it invalid. A bare address is a prefix of full length.
 */
export function parsePrefix(
  text: string,
  options: { readonly allowBare: boolean; readonly allowHostBits: boolean },
): IpPrefix | null {
  const slash = text.indexOf('/');
  if (slash === -1 && !options.allowBare) return null;
  const address = parseIp(slash === -1 ? text : text.slice(0, slash));
  if (address === null) return null;
  const bits = address.bytes.length * 8;
  const length = slash === -1 ? bits : parsePrefixLength(text.slice(slash + 1), bits);
  if (length === null) return null;
  const masked = maskBytes(address.bytes, length);
  if (!options.allowHostBits && !sameBytes(masked, address.bytes)) return null;
  const network = ipFromMasked(address, masked);
  return { address: network, length, text: `${network.text}/${length}` };
}

/** True when every address of `inner` is in `outer`. */
export function prefixContains(outer: IpPrefix, inner: IpPrefix): boolean {
  return (
    outer.address.family === inner.address.family &&
    outer.length <= inner.length &&
    sameBytes(maskBytes(inner.address.bytes, outer.length), outer.address.bytes)
  );
}

/** True when only this machine reaches it. */
export function isLoopback(address: Pick<SocketAddress, 'ip' | 'family'>): boolean {
  const prefix = parsePrefix(address.ip, { allowBare: true, allowHostBits: false });
  const loopback = parsePrefix(address.family === 4 ? '127.0.0.0/8' : '::1/128', {
    allowBare: false,
    allowHostBits: false,
  });
  return prefix !== null && loopback !== null && prefixContains(loopback, prefix);
}

/** "1.2.3.4:80" or "[::1]:80"; null when it is neither. */
export function parseSocketAddress(text: string): SocketAddress | null {
  const colon = text.lastIndexOf(':');
  if (colon === -1) return null;
  const portText = text.slice(colon + 1);
  let host = text.slice(0, colon);
  if (host.startsWith('[') && host.endsWith(']')) host = host.slice(1, -1);
  else if (host.includes(':')) return null;
  const ip = parseIp(host);
  const port = /^(0|[1-9][0-9]{0,4})$/.test(portText) ? parsePort(Number(portText)) : null;
  return ip === null || port === null ? null : { ip: ip.text, family: ip.family, port };
}

export function formatSocketAddress(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function parseIpv4Bytes(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] as string;
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return null;
    bytes[i] = Number(part);
  }
  return bytes;
}

/** Eight 16-bit groups (RFC 4291 2.2), or null. */
function parseIpv6Groups(text: string): number[] | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0] as string, halves.length === 1);
  if (head === null) return null;
  if (halves.length === 1) return head.length === 8 ? head : null;
  const tail = parseGroups(halves[1] as string, true);
  if (tail === null || head.length + tail.length > 7) return null;
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string;
    if (mayEndInIpv4 && i === parts.length - 1 && part.includes('.')) {
      const tail = parseIpv4Bytes(part);
      if (tail === null) return null;
      groups.push(((tail[0] as number) << 8) | (tail[1] as number));
      groups.push(((tail[2] as number) << 8) | (tail[3] as number));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return null;
    }
  }
  return groups.length > 8 ? null : groups;
}

function bytesOfGroups(groups: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  });
  return bytes;
}

function isIpv4Mapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** RFC 5952: lower case, the first longest run of two or more zero groups becomes "::". */
function ipv6Text(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) {
    groups.push(((bytes[i] as number) << 8) | (bytes[i + 1] as number));
  }
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const hex = (part: readonly number[]): string =>
    part.map((group) => group.toString(16)).join(':');
  if (bestStart === -1) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}

function parsePrefixLength(text: string, bits: number): number | null {
  if (!/^(0|[1-9][0-9]{0,2})$/.test(text)) return null;
  return Number(text) <= bits ? Number(text) : null;
}

function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, i) => {
    const kept = Math.min(8, Math.max(0, length - 8 * i));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
}

/** Masking must not turn an IPv6 network into an IPv4-mapped one, so the family is kept. */
function ipFromMasked(address: IpAddress, masked: Uint8Array): IpAddress {
  return address.family === 4 ? ipFromBytes(masked) : networkFromBytes(masked);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
