/**
 * Keys and values of Cilium's own maps, as its proxy reads them (cilium/proxy conntrack.cc, ipcache.cc).
 * Packed; addresses and ports in network order, the rest in the machine's (little-endian where we run).
 */
import type { IpAddress, SocketAddress } from '../model/address.ts';
import { type Direction, type Identity, parseIdentity } from '../model/identity.ts';

/** BPF_MAP_TYPE_*: what each of the maps may be. */
export const CONNTRACK_TYPES: readonly number[] = [1, 9]; // HASH, LRU_HASH
export const IPCACHE_TYPES: readonly number[] = [11]; // LPM_TRIE

export const CONNTRACK_KEY_BYTES = { 4: 14, 6: 38 } as const;
export const CONNTRACK_VALUE_BYTES = 56;
export const IPCACHE_KEY_BYTES = 24;
export const IPCACHE_VALUE_BYTES_MIN = 4;
export const IPCACHE_VALUE_BYTES_MAX = 64;

const PROTOCOL_TCP = 6;
/** TUPLE_F_OUT and TUPLE_F_IN: the direction relative to the endpoint. */
const FLAGS: Readonly<Record<Direction, number>> = { egress: 0, ingress: 1 };
/** Other users of this layout depend on it, so it does not move. */
const SOURCE_IDENTITY_OFFSET = 44;
/** Pad and family come before the address and always count. */
const IPCACHE_PREFIX_BITS = 32;
const IPCACHE_FAMILIES = { 4: 1, 6: 2 } as const;

export interface Tuple {
  readonly source: SocketAddress & { readonly bytes: Uint8Array };
  readonly destination: SocketAddress & { readonly bytes: Uint8Array };
}

/** Both sides are of one family. */
export function encodeConntrackKey(tuple: Tuple, direction: Direction): Buffer {
  const { source, destination } = tuple;
  const addressBytes = source.family === 4 ? 4 : 16;
  const key = Buffer.alloc(CONNTRACK_KEY_BYTES[source.family]);
  key.set(source.bytes, 0);
  key.set(destination.bytes, addressBytes);
  key.writeUInt16BE(destination.port, 2 * addressBytes);
  key.writeUInt16BE(source.port, 2 * addressBytes + 2);
  key[2 * addressBytes + 4] = PROTOCOL_TCP;
  key[2 * addressBytes + 5] = FLAGS[direction];
  return key;
}

/** Null: Cilium did not know it, either. */
export function decodeConntrackSource(value: Buffer): Identity | null {
  return knownIdentity(value.readUInt32LE(SOURCE_IDENTITY_OFFSET));
}

/** Asks for the longest prefix that covers the address. */
export function encodeIpcacheKey(address: IpAddress): Buffer {
  const key = Buffer.alloc(IPCACHE_KEY_BYTES);
  key.writeUInt32LE(IPCACHE_PREFIX_BITS + (address.family === 4 ? 32 : 128), 0);
  key[7] = IPCACHE_FAMILIES[address.family];
  key.set(address.bytes, 8);
  return key;
}

export function decodeIpcacheIdentity(value: Buffer): Identity | null {
  return knownIdentity(value.readUInt32LE(0));
}

function knownIdentity(value: number): Identity | null {
  return value === 0 ? null : parseIdentity(value);
}
