import type { Brand } from './brand.ts';

/**
 * Numeric security identities as Cilium has them (pkg/identity): 0 unknown, 1-255 reserved and
 * well known, 256 and up allocated for a set of labels, bit 24 marks node-local (CIDR, FQDN) ones.
 */
export type Identity = Brand<number, 'Identity'>;

/** A listener's id (`proxy_id`); 0 is a listener without one. */
export type ProxyId = Brand<number, 'ProxyId'>;

/** A TCP or UDP port, 0 to 65535; 0 stands for "any" in a policy. */
export type Port = Brand<number, 'Port'>;

export type Direction = 'ingress' | 'egress';

/** Transport protocols that a policy can name and a connection can have. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const satisfies readonly Protocol[];

/**
 * Protocols that the kernel alone judges, as no proxy ever sees them. `other` is every IP protocol that
 * has no rules of its own.
 */
export type KernelProtocol = 'ICMP' | 'ICMPv6' | 'other';

export const KERNEL_PROTOCOLS = [
  'ICMP',
  'ICMPv6',
  'other',
] as const satisfies readonly KernelProtocol[];

export type PolicyProtocol = Protocol | KernelProtocol;

export const POLICY_PROTOCOLS: readonly PolicyProtocol[] = [...PROTOCOLS, ...KERNEL_PROTOCOLS];

export function isKernelProtocol(protocol: PolicyProtocol): protocol is KernelProtocol {
  return KERNEL_PROTOCOLS.some((one) => one === protocol);
}

export const LOCAL_IDENTITY_FLAG = 1 << 24;

/** First identity that is allocated for labels (1-255 are reserved or well known). */
export const ALLOCATED_IDENTITY_MIN = 256;

/** Reserved identities (numericidentity.go), by the value of their `reserved:` label. */
export const RESERVED_IDENTITIES = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  'remote-node': 6,
  'kube-apiserver': 7,
  ingress: 8,
  'world-ipv4': 9,
  'world-ipv6': 10,
} as const satisfies Record<string, number>;

export const IDENTITY_WORLD = 2 as Identity;

/** Null when `value` is no identity: an integer from 0 to 2^32 - 1. */
export function parseIdentity(value: unknown): Identity | null {
  return isIntegerWithin(value, 0, 0xffff_ffff) ? (value as Identity) : null;
}

/** Null when `value` is no port: an integer from 0 to 65535. */
export function parsePort(value: unknown): Port | null {
  return isIntegerWithin(value, 0, 0xffff) ? (value as Port) : null;
}

/** Null when `value` is no proxy id: an integer from 0 to 65535. */
export function parseProxyId(value: unknown): ProxyId | null {
  return isIntegerWithin(value, 0, 0xffff) ? (value as ProxyId) : null;
}

/** Identity 0 (unknown) is judged as world, as bpf_metadata.cc resolvePolicyId does. */
export function effectiveIdentity(identity: Identity): Identity {
  return identity === 0 ? IDENTITY_WORLD : identity;
}

function isIntegerWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}
