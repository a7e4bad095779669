/**
 * Keys and values of the maps of Services: the twin of `bpf/services/layout.h`, which draws how they hang together.
 * Numbers are in the machine's order (little-endian on all that we run on), ports and addresses in network order.
 */
import { createHash } from 'node:crypto';
import type { IpAddress } from '../../model/address.ts';
import type { Port } from '../../model/identity.ts';
import type { ServiceFrontend } from '../../model/service_frontend.ts';
import type { MapEntry } from '../kernel/api.ts';

export const SERVICES_LAYOUT_VERSION = 1;

export const SCOPE_ADDRESS = 0;
export const SCOPE_NODE = 1;
export const FRONTEND_HASHED = 1;

/** In the order of `enum counter`. */
export const SERVICE_COUNTERS = [
  'connected',
  'sent',
  'refused',
  'kept',
  'chosen-anew',
  'forgotten',
  'unsettled',
] as const;

export type ServiceCounter = (typeof SERVICE_COUNTERS)[number];

export const SERVICE_MAPS = [
  'settings',
  'frontends',
  'slots',
  'backends',
  'node_addresses',
  'affinity',
  'connected',
  'talks',
  'counters',
] as const;

export type ServiceMapName = (typeof SERVICE_MAPS)[number];

/** Protocols at whose sockets a hook stands: SCTP's connect() has none. */
const IP_PROTOCOLS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17 };

export function encodeServiceSettings(hostNetns: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(hostNetns);
  return bytes;
}

/** Null: sockets of this protocol cannot be translated. */
export function encodeFrontendKey(frontend: ServiceFrontend): Buffer | null {
  const protocol = IP_PROTOCOLS[frontend.protocol];
  if (protocol === undefined) return null;
  const { address, port, family } = frontend;
  const scope = address === null ? SCOPE_NODE : SCOPE_ADDRESS;
  const key = Buffer.concat([place({ address, port, family, protocol }), Buffer.alloc(4)]);
  key.writeUInt32LE(scope, PLACE_BYTES);
  return key;
}

export interface FrontendSettings {
  /** See `affinityGroup`. */
  readonly group: bigint;
  readonly affinityMs: number;
  readonly isHashed: boolean;
}

export function encodeFrontend(
  table: number,
  count: number,
  { group, affinityMs, isHashed }: FrontendSettings,
): Buffer {
  const value = Buffer.alloc(24);
  value.writeUInt32LE(table, 0);
  value.writeUInt32LE(count, 4);
  value.writeBigUInt64LE(group, 8);
  value.writeUInt32LE(affinityMs, 16);
  value.writeUInt32LE(isHashed ? FRONTEND_HASHED : 0, 20);
  return value;
}

export function decodeFrontend(value: Buffer): { readonly table: number; readonly count: number } {
  return { table: value.readUInt32LE(0), count: value.readUInt32LE(4) };
}

/**
 * Affinity is that of a Service's port: a client that dials the ClusterIP, and then the node's address, is the same. By
 * name, so that it is the same number after a restart.
 */
export function affinityGroup({ service, portName, protocol, family }: ServiceFrontend): bigint {
  const name = [service, portName, protocol, family].join('\n');
  return createHash('sha256').update(name).digest().readBigUInt64LE(0);
}

export function encodeSlot(table: number, slot: number, backend: number): MapEntry {
  return [encodeSlotKey(table, slot), word(backend)];
}

export function encodeSlotKey(table: number, slot: number): Buffer {
  // There are tens of thousands of them: out of the pool, and written whole.
  const key = Buffer.allocUnsafe(8);
  key.writeUInt32LE(table, 0);
  key.writeUInt32LE(slot, 4);
  return key;
}

export function decodeSlot([key, value]: MapEntry): {
  readonly table: number;
  readonly slot: number;
  readonly backend: number;
} {
  return {
    table: key.readUInt32LE(0),
    slot: key.readUInt32LE(4),
    backend: value.readUInt32LE(0),
  };
}

export function encodeBackendKey(backend: number): Buffer {
  return word(backend);
}

export function decodeBackendKey(key: Buffer): number {
  return key.readUInt32LE(0);
}

export function encodeBackend(address: IpAddress, port: Port): Buffer {
  return place({ address, port, family: address.family, protocol: 0 });
}

export function encodeNodeAddress(address: IpAddress): Buffer {
  const key = Buffer.alloc(20);
  key.set(address.bytes, 0);
  key.writeUInt32LE(address.family, 16);
  return key;
}

/** What a socket that is connected is remembered with: whom it dialled, as keys of maps, and what it got. */
export function decodeConnection(value: Buffer): {
  readonly frontendKey: Buffer;
  readonly nodePortKey: Buffer;
  readonly nodeAddress: Buffer;
  readonly isLoopback: boolean;
  readonly backend: Buffer;
} {
  const dialled = value.subarray(0, PLACE_BYTES);
  const ip = dialled.subarray(0, IP_BYTES);
  const family = dialled[FAMILY_AT] ?? 0;
  const isOfNode = word(SCOPE_NODE);
  return {
    frontendKey: Buffer.concat([dialled, word(SCOPE_ADDRESS)]),
    nodePortKey: Buffer.concat([Buffer.alloc(IP_BYTES), dialled.subarray(IP_BYTES), isOfNode]),
    nodeAddress: Buffer.concat([ip, word(family)]),
    isLoopback: family === 4 && ip[0] === 127,
    backend: value.subarray(PLACE_BYTES, 2 * PLACE_BYTES),
  };
}

/** An entry that is there says it all. */
export const PRESENT = word(1);

const PLACE_BYTES = 20;
const IP_BYTES = 16;
const FAMILY_AT = 18;

function place(of: {
  readonly address: IpAddress | null;
  readonly port: Port;
  readonly family: 4 | 6;
  readonly protocol: number;
}): Buffer {
  const bytes = Buffer.allocUnsafe(PLACE_BYTES).fill(0);
  if (of.address !== null) bytes.set(of.address.bytes, 0);
  bytes.writeUInt16BE(of.port, 16);
  bytes[FAMILY_AT] = of.family;
  bytes[19] = of.protocol;
  return bytes;
}

function word(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
