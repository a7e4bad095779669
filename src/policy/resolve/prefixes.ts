/**
 * Every prefix that a policy set names: each gets an identity of its own, so that an address in an
 * exception (or in another rule's narrower prefix) is told from the rest by longest-prefix match.
 */
import { type IpAddress, type IpPrefix, parsePrefix } from '../../model/address.ts';
import type { CidrGroup, Peer, PolicySpec } from '../rule.ts';
import type { InventoryService } from './inventory.ts';
import { ServicePeers } from './service_peers.ts';

export interface PrefixSources {
  readonly specs: readonly PolicySpec[];
  readonly cidrGroups: readonly CidrGroup[];
  readonly services: readonly InventoryService[];
}

/** Without repetition, sorted. */
export function namedPrefixes(sources: PrefixSources): readonly IpPrefix[] {
  const byText = new Map<string, IpPrefix>();
  const add = (prefix: IpPrefix): void => {
    byText.set(prefix.text, prefix);
    if (prefix.length === 0) for (const whole of WHOLE_FAMILIES) byText.set(whole.text, whole);
  };
  for (const { prefixes } of sources.cidrGroups) prefixes.forEach(add);
  const peers = new ServicePeers(sources.specs);
  for (const service of sources.services) {
    // One with a selector stands for endpoints; see `Selections`.
    if (service.selector !== null || !peers.select(service)) continue;
    for (const ip of service.ips) add(fullPrefix(ip));
  }
  for (const spec of sources.specs) {
    for (const { peers } of spec.rules) for (const peer of peers ?? []) addPeer(peer, add);
  }
  return [...byText.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
}

function addPeer(peer: Peer, add: (prefix: IpPrefix) => void): void {
  if (peer.kind === 'cidr') add(peer.prefix);
  if (peer.kind === 'cidr' || peer.kind === 'cidr-group' || peer.kind === 'cidr-group-selector') {
    peer.except.forEach(add);
  }
  if (peer.kind === 'entity' && (peer.entity === 'world-ipv4' || peer.entity === 'world-ipv6')) {
    for (const whole of WHOLE_FAMILIES) add(whole);
  }
}

/** One address as a prefix. */
export function fullPrefix(address: IpAddress): IpPrefix {
  const length = address.bytes.length * 8;
  return { address, length, text: `${address.text}/${length}` };
}

/** Of a text that is one: of ours, or held against it before. */
export function knownPrefix(text: string): IpPrefix {
  const prefix = parsePrefix(text, { allowBare: true, allowHostBits: false });
  if (prefix === null) throw new Error(`not a prefix: ${text}`);
  return prefix;
}

/**
 * Once one family's world is told from the other's, both must be known by address: an unknown
 * IPv6 address would else be plain world, which a rule on 0.0.0.0/0 selects.
 */
const WHOLE_FAMILIES: readonly IpPrefix[] = [knownPrefix('0.0.0.0/0'), knownPrefix('::/0')];
