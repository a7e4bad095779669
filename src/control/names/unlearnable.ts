/**
 * Addresses that no answer can give to a name: a server, or who forges its answers, could make a pod, a node or the
 * machine itself "the world by name" (DNS rebinding).
 */
import {
  type IpAddress,
  type IpPrefix,
  type IpText,
  ipFromBytes,
  prefixContains,
} from '../../model/address.ts';
import type { UnlearnableReason } from '../../model/name_counts.ts';
import { fullPrefix, knownPrefix } from '../../policy/resolve/prefixes.ts';

/** Not of one host out in the network (RFC 6890, RFC 4291). Private ones are: people have names for them. */
const SPECIAL: readonly IpPrefix[] = [
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'],
  // ::/96 has ::, ::1 and IPv4 addresses that nothing translates (RFC 4291 2.5.5.1).
  ...['::/96', 'fe80::/10', 'ff00::/8'],
  // Where clouds tell a machine its secrets, beside 169.254.0.0/16: Alibaba's, Oracle's, Amazon's, Google's.
  ...['100.100.100.200/32', '192.0.0.192/32', 'fd00:ec2::254/128', 'fd20:ce::254/128'],
].map(knownPrefix);

/** Routers send what goes there to the IPv4 address at that byte: NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056). */
const EMBEDDING: readonly { readonly prefix: IpPrefix; readonly at: number }[] = [
  { prefix: knownPrefix('64:ff9b::/96'), at: 12 },
  { prefix: knownPrefix('64:ff9b:1::/48'), at: 12 },
  { prefix: knownPrefix('2002::/16'), at: 2 },
];

export interface ClusterAddresses {
  /** Of pods, nodes and services. */
  readonly ips: { has(ip: IpText): boolean };
  /** From which pods and services get theirs. */
  readonly prefixes: readonly IpPrefix[];
}

/** Null: it can be learned. */
export function whyUnlearnable(
  address: IpAddress,
  cluster: ClusterAddresses,
): UnlearnableReason | null {
  const host = fullPrefix(address);
  if (SPECIAL.some((prefix) => prefixContains(prefix, host))) return 'special';
  if (cluster.ips.has(address.text)) return 'cluster';
  if (cluster.prefixes.some((prefix) => prefixContains(prefix, host))) return 'cluster';
  const embedded = EMBEDDING.find(({ prefix }) => prefixContains(prefix, host));
  if (embedded === undefined) return null;
  const { at } = embedded;
  return whyUnlearnable(ipFromBytes(address.bytes.slice(at, at + 4)), cluster);
}
