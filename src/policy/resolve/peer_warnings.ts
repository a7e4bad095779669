/** Peers that are valid and select less than their author may think: what the inventory has to say of them. */
import type { Peer } from '../rule.ts';
import type { KnownIdentities } from './identity_table.ts';
import type { Selections } from './selection.ts';
import type { ServicePeer } from './service_peers.ts';

export function peerWarnings(
  peer: Peer,
  selections: Selections,
  table: KnownIdentities,
): readonly string[] {
  if (peer.kind === 'group') {
    return [`${peer.about}: groups cannot be resolved here, so this peer selects nobody`];
  }
  return peer.kind === 'service' ? serviceWarnings(peer, selections, table) : [];
}

/** Addresses of a Service without selector count as CIDRs, and no CIDR selects an endpoint or a node. */
function serviceWarnings(
  peer: ServicePeer,
  selections: Selections,
  table: KnownIdentities,
): readonly string[] {
  return selections.servicesOf(peer).flatMap((service) => {
    if (service.selector !== null) return [];
    const known = service.ips.flatMap((ip) => {
      const identity = table.ipcache.lookup(ip.text);
      const entry = identity === null ? null : table.entry(identity);
      return entry === null || entry.prefixes.length > 0 || isWorld(entry.set.labels)
        ? []
        : [`${ip.text} (${shownLabels(entry.set.labels)})`];
    });
    if (known.length === 0) return [];
    const rest = known.length > SHOWN_MAX ? ` and ${known.length - SHOWN_MAX} more` : '';
    return [
      `the Service ${service.namespace}/${service.name} has no selector, so its addresses count as CIDRs, which select neither endpoints nor nodes: ${known.slice(0, SHOWN_MAX).join(', ')}${rest} cannot be reached by this rule; name them by toEndpoints or toEntities`,
    ];
  });
}

const SHOWN_MAX = 3;

function isWorld(labels: readonly string[]): boolean {
  return labels.some((label) => label.startsWith('reserved:world'));
}

/** The labels that tell most; those of namespace and cluster are everybody's. */
function shownLabels(labels: readonly string[]): string {
  const own = labels.filter((label) => !label.includes(':io.c') && !label.includes(':io.k'));
  return (own.length > 0 ? own : labels).slice(0, SHOWN_MAX).join(', ') || 'no labels';
}
