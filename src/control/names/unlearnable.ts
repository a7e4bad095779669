/**
 * Addresses that no answer can give to a name: a server, or who forges its answers, could make a pod, a node or the
 * machine itself "the world by name" (DNS rebinding).
 */
import {
  type IpAddress,
  type IpPrefix,
  type IpText,
  parsePrefix,
  prefixContains,
} from '../../model/address.ts';

import { fullPrefix } from '../../policy/resolve/prefixes.ts';

export type UnlearnableReason = 'special' | 'cluster';

/** Not of one host out in the network (RFC 6890, RFC 4291). Private ones are: people have names for them. */
const SPECIAL: readonly IpPrefix[] = [
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'],
  ...['::/128', '::1/128', 'fe80::/10', 'ff00::/8'],
].map(prefixOf);

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
  return cluster.prefixes.some((prefix) => prefixContains(prefix, host)) ? 'cluster' : null;
}

function prefixOf(text: string): IpPrefix {
  const prefix = parsePrefix(text, { allowBare: true, allowHostBits: false });
  if (prefix === null) throw new Error(`unreachable: "${text}" is a prefix`);
  return prefix;
}
