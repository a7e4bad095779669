/**
 * Does one selector, list of peers or list of ports cover another one whatever endpoints there are? A
 * "yes" is certain, a "no" may be a "not known": who asks tells of what is certain only.
 */
import type { LabelRequirement, LabelSelector, Peer, PortSelector } from '../rule.ts';

/** Whatever `inner` selects, `outer` selects, too. */
export function selectorCovers(outer: LabelSelector, inner: LabelSelector): boolean {
  return outer.requirements.every((requirement) => isImplied(requirement, inner));
}

function isImplied(wanted: LabelRequirement, { requirements }: LabelSelector): boolean {
  return requirements.some((given) => {
    if (given.key !== wanted.key) return false;
    const isGivenValue = given.operator === 'in';
    switch (wanted.operator) {
      case 'in':
        return isGivenValue && given.values.every((value) => wanted.values.includes(value));
      case 'exists':
        return isGivenValue || given.operator === 'exists';
      case 'not-in':
        if (given.operator === 'does-not-exist') return true;
        if (isGivenValue) return !given.values.some((value) => wanted.values.includes(value));
        return (
          given.operator === 'not-in' &&
          wanted.values.every((value) => given.values.includes(value))
        );
      default:
        return given.operator === wanted.operator && given.values.join() === wanted.values.join();
    }
  });
}

/** Null peers = any remote. */
export function peersCover(outer: readonly Peer[] | null, inner: readonly Peer[] | null): boolean {
  if (isAnyRemote(outer)) return true;
  if (outer === null || inner === null) return false;
  return inner.length > 0 && inner.every((peer) => outer.some((other) => peerCovers(other, peer)));
}

export function isAnyRemote(peers: readonly Peer[] | null): boolean {
  return peers === null || peers.some((peer) => peer.kind === 'entity' && peer.entity === 'all');
}

function peerCovers(outer: Peer, inner: Peer): boolean {
  if (outer.kind === 'selector' && inner.kind === 'selector') {
    return selectorCovers(outer.selector, inner.selector);
  }
  if (outer.kind === 'entity' && inner.kind === 'entity') return outer.entity === inner.entity;
  if (outer.kind === 'fqdn' && inner.kind === 'fqdn') {
    return outer.matchName === inner.matchName && outer.matchPattern === inner.matchPattern;
  }
  if (outer.kind === 'cidr' && inner.kind === 'cidr') {
    return outer.prefix.text === inner.prefix.text && outer.except.length === 0;
  }
  return false;
}

/** Null = every port. */
export function portsCover(
  outer: readonly PortSelector[] | null,
  inner: readonly PortSelector[] | null,
): boolean {
  if (outer === null) return true;
  if (inner === null) return false;
  return inner.every((port) => outer.some((other) => portCovers(other, port)));
}

function portCovers(outer: PortSelector, inner: PortSelector): boolean {
  if (!inner.protocols.every((protocol) => outer.protocols.includes(protocol))) return false;
  if (outer.name !== null || inner.name !== null) return outer.name === inner.name;
  if (outer.port === 0) return true;
  return outer.port <= inner.port && inner.endPort <= outer.endPort;
}
