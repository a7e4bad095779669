/** A Node and Cilium's own object of it: whose addresses are hosts. */
import {
  type IpAddress,
  type IpPrefix,
  ipFromBytes,
  parseIp,
  parsePrefix,
} from '../../../model/address.ts';
import { type Decoded, FactReader, type FactsName, type Labels, uniqueIps } from './fact_reader.ts';
import { secondsOf } from './pod.ts';

export interface NodeFacts {
  readonly labels: Labels;
  readonly createdS: number;
  /** InternalIP and ExternalIP; names are no addresses. */
  readonly ips: readonly IpAddress[];
  /** Of the interfaces that a CNI plugin has there, by which the host is seen from pods and from other nodes. */
  readonly tunnelIps: readonly IpAddress[];
  /** From which its pods get their addresses; none where the cluster does not give them out by nodes. */
  readonly podPrefixes: readonly IpPrefix[];
}

export interface CiliumNodeFacts {
  readonly createdS: number;
  /** Those of the node, and that of Cilium's own interface. */
  readonly ips: readonly IpAddress[];
  /** Of the endpoint that checks whether nodes reach each other. */
  readonly healthIps: readonly IpAddress[];
  /** From which Ingress and Gateway traffic comes. */
  readonly ingressIps: readonly IpAddress[];
  /** From which Cilium gives addresses to its pods (IPAM by cluster pool, or by what the node has). */
  readonly podPrefixes: readonly IpPrefix[];
}

export function decodeNode(object: unknown, name: FactsName): Decoded<NodeFacts> {
  const reader = new FactReader('Node', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const status = reader.object(root['status'], 'status');
  const spec = reader.object(root['spec'], 'spec');
  const annotations = reader.object(metadata['annotations'], 'metadata.annotations');
  const isFlannel = annotations[FLANNEL] === 'true';
  const podPrefixes = podPrefixesOf(reader, spec, { field: 'spec.podCIDRs', isNeeded: isFlannel });
  return reader.decoded({
    labels: reader.labels(metadata['labels'], 'metadata.labels'),
    createdS: secondsOf(reader, metadata['creationTimestamp']),
    ips: addresses(reader, status['addresses'], { field: 'status.addresses', ip: 'address' }),
    tunnelIps: tunnelIps(annotations, isFlannel ? podPrefixes : []),
    podPrefixes,
  });
}

export function decodeCiliumNode(object: unknown, name: FactsName): Decoded<CiliumNodeFacts> {
  const reader = new FactReader('CiliumNode', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const spec = reader.object(root['spec'], 'spec');
  return reader.decoded({
    createdS: secondsOf(reader, metadata['creationTimestamp']),
    ips: addresses(reader, spec['addresses'], { field: 'spec.addresses', ip: 'ip' }),
    healthIps: pair(reader, spec['health'], 'spec.health'),
    ingressIps: pair(reader, spec['ingress'], 'spec.ingress'),
    podPrefixes: podPrefixesOf(reader, reader.object(spec['ipam'], 'spec.ipam'), {
      field: 'spec.ipam.podCIDRs',
      isNeeded: false,
    }),
  });
}

function addresses(
  reader: FactReader,
  value: unknown,
  names: { readonly field: string; readonly ip: string },
): readonly IpAddress[] {
  const ips: IpAddress[] = [];
  for (const item of reader.list(value, names.field, ADDRESS_COUNT_MAX)) {
    const fields = reader.object(item, `${names.field}[]`);
    const type = reader.text(fields['type'], `${names.field}[].type`);
    if (!ADDRESS_TYPES.has(type)) continue;
    const ip = reader.ip(fields[names.ip], `${names.field}[].${names.ip}`);
    if (ip !== null) ips.push(ip);
  }
  return uniqueIps(ips);
}

/** `isNeeded`: a host has addresses of them. A node without the others is better than no node. */
function podPrefixesOf(
  reader: FactReader,
  holder: Readonly<Record<string, unknown>>,
  { field, isNeeded }: { readonly field: string; readonly isNeeded: boolean },
): readonly IpPrefix[] {
  return reader
    .list(holder['podCIDRs'], field, POD_CIDR_COUNT_MAX)
    .flatMap((item): readonly IpPrefix[] => {
      const text = reader.text(item, `${field}[]`);
      const prefix = parsePrefix(text, { allowBare: false, allowHostBits: true });
      if (prefix !== null) return [prefix];
      if (isNeeded) reader.fail(`${field}[]`, `must be a prefix (found "${text}")`);
      return [];
    });
}

/**
 * Calico names them. Flannel takes the first two addresses of what the node has for pods: its own interface and the
 * bridge. Others are not guessed, as elsewhere a pod may have those addresses.
 */
function tunnelIps(
  annotations: Readonly<Record<string, unknown>>,
  flannelPrefixes: readonly IpPrefix[],
): readonly IpAddress[] {
  const texts = CALICO_ADDRESSES.map((name) => annotations[name]);
  const ips = texts.flatMap((text) => (typeof text === 'string' ? (parseIp(text) ?? []) : []));
  return uniqueIps([...ips, ...flannelPrefixes.flatMap(firstTwoOf)]);
}

function firstTwoOf({ address, length }: IpPrefix): readonly IpAddress[] {
  if (length >= address.bytes.length * 8) return [address];
  const next = address.bytes.slice();
  // The last bit is no part of the prefix, so it is not set.
  next[next.length - 1] = (next.at(-1) ?? 0) + 1;
  return [address, ipFromBytes(next)];
}

/** `{ ipv4, ipv6 }`, as Cilium's objects have it. */
export function pair(reader: FactReader, value: unknown, field: string): readonly IpAddress[] {
  const fields = reader.object(value, field);
  const ips = [
    reader.ip(fields['ipv4'], `${field}.ipv4`),
    reader.ip(fields['ipv6'], `${field}.ipv6`),
  ];
  return uniqueIps(ips.filter((ip) => ip !== null));
}

const ADDRESS_TYPES: ReadonlySet<string> = new Set([
  'InternalIP',
  'ExternalIP',
  'CiliumInternalIP',
]);
const ADDRESS_COUNT_MAX = 1000;
/** The API of nodes allows one of each family; Cilium gives a node more when it needs them. */
const POD_CIDR_COUNT_MAX = 1000;

const FLANNEL = 'flannel.alpha.coreos.com/kube-subnet-manager';
const CALICO_ADDRESSES = [
  'projectcalico.org/IPv4IPIPTunnelAddr',
  'projectcalico.org/IPv4VXLANTunnelAddr',
  'projectcalico.org/IPv6VXLANTunnelAddr',
  'projectcalico.org/IPv4WireguardInterfaceAddr',
  'projectcalico.org/IPv6WireguardInterfaceAddr',
];
