/** Names in the place of numbers: endpoints, labels, protocols, reasons. */
import { DROP_REASONS } from '../../model/drop_reason.ts';
import type { Identity } from '../../model/identity.ts';
import { PROTOCOLS } from '../../model/identity.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { KernelArea, KernelTable } from '../../policy/kernel/kernel_table.ts';
import { CLUSTER_KEY, NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX } from '../../policy/labels.ts';
import type { CounterName } from '../../redirect/layout.ts';

export interface Names {
  /** "shop/web 10.0.0.8", or labels and address of a side that is no endpoint. */
  side(ip: string, identity: number): string;
  /** "app=web, shop". */
  labels(identity: number): string;
}

export interface RedirectedRow {
  readonly endpoint: string;
  readonly direction: 'egress' | 'ingress';
  readonly protocol: string;
  readonly ports: string;
  /** Who is redirected, in words. */
  readonly remotes: readonly string[];
}

export function namesOf(snapshot: PolicySnapshot): Names {
  const labels = (identity: number): string =>
    shortLabels(snapshot.labels.labelsOf(identity as Identity)) || `identity ${identity}`;
  return {
    labels,
    side: (ip, identity) => {
      const { name, isKnown } = snapshot.endpoint(ip);
      return `${isKnown ? name : labels(identity)} ${ip}`;
    },
  };
}

/** Every (endpoint, direction, port) of which some remote goes to the proxy. */
export function redirectedRows(table: KernelTable, names: Names): RedirectedRow[] {
  return table.endpoints.flatMap(({ name, egressPolicy, ingressPolicy }) =>
    (['egress', 'ingress'] as const).flatMap((direction) => {
      const policy = table.policies[(direction === 'egress' ? egressPolicy : ingressPolicy) - 1];
      return (policy?.areas ?? [])
        .filter(({ protocol }) => PROTOCOLS.some((one) => one === protocol))
        .map((area) => ({ area, remotes: redirectedRemotes(area, table, names) }))
        .filter(({ remotes }) => remotes.length > 0)
        .map(({ area, remotes }) => ({
          endpoint: name,
          direction,
          protocol: area.protocol,
          ports: portsText(area),
          remotes,
        }));
    }),
  );
}

function redirectedRemotes(area: KernelArea, table: KernelTable, names: Names): string[] {
  const exceptions = [...(table.slots[area.slot - 1] ?? [])];
  if (area.verdict === 'redirect') {
    const others = exceptions.map(([identity, verdict]) => `${names.labels(identity)}: ${verdict}`);
    return ['everybody', ...others.map((text) => `but ${text}`)];
  }
  return exceptions
    .filter(([, verdict]) => verdict === 'redirect')
    .map(([identity]) => names.labels(identity));
}

function portsText({ first, last }: KernelArea): string {
  if (first === 0) return 'all others';
  return first === last ? String(first) : `${first}-${last}`;
}

/** Labels that every workload has tell nobody apart, but for the namespace. */
function shortLabels(labels: readonly string[]): string {
  const namespaceLabel = `k8s:${NAMESPACE_KEY}=`;
  const own = labels.filter(
    (label) =>
      !label.startsWith(`k8s:${NAMESPACE_LABELS_PREFIX}`) &&
      !label.startsWith(`k8s:${CLUSTER_KEY}=`) &&
      !label.startsWith(namespaceLabel),
  );
  const namespace = labels.find((label) => label.startsWith(namespaceLabel));
  const texts = own.map((label) => (label.startsWith('k8s:') ? label.slice(4) : label));
  if (namespace !== undefined) texts.push(`in ${namespace.slice(namespaceLabel.length)}`);
  return texts.join(' ');
}

const IP_PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'ICMP'],
  [6, 'TCP'],
  [17, 'UDP'],
  [58, 'ICMPv6'],
  [132, 'SCTP'],
]);

/** "TCP 80", "ICMP type 8", "protocol 47". */
export function trafficText(protocol: number, port: number): string {
  const name = IP_PROTOCOL_NAMES.get(protocol) ?? `protocol ${protocol}`;
  if (name.startsWith('ICMP')) return `${name} type ${port >> 8}`;
  return name.startsWith('protocol') ? name : `${name} ${port}`;
}

/** Why a packet was refused, in words: the answer to "why was this denied?". */
export const REASONS: Readonly<Record<CounterName, string>> = {
  ...DROP_REASONS,
  passed: 'it passed',
  redirected: 'it was redirected',
  owned: 'the proxy has the connection',
  'from-proxy': 'it came from the proxy',
  'from-host': 'it came from the host',
  assigned: 'it was given to a listener',
  'resets-sent': 'a reset was sent',
  displaced: 'its connection had to give up its seat to a newer one of the same endpoint',
};
