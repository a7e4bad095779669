/** Who talks to whom: addresses, ports, and who is at them. */
import type { FlowSide } from '../../model/flow.ts';
import { IPVersion } from '../generated/flow/flow_pb.ts';
import type { EndpointInit, IpInit, Layer4Init } from './inits.ts';

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;
const SCTP = 132;
const IGMP = 2;
const VRRP = 112;

const CLUSTER_LABEL = 'k8s:io.cilium.k8s.policy.cluster=';

/** Those that are told of a packet of TCP; of a request there are none. */
export interface TcpFlags {
  readonly SYN: true;
}

export function ipOf(source: FlowSide, destination: FlowSide): IpInit {
  return {
    source: source.ip,
    destination: destination.ip,
    ipVersion: source.ip.includes(':') ? IPVersion.IPv6 : IPVersion.IPv4,
  };
}

export function layer4Of(
  ipProtocol: number,
  source: FlowSide,
  destination: FlowSide,
  flags?: TcpFlags,
): Layer4Init {
  const ports = { sourcePort: source.port, destinationPort: destination.port };
  switch (ipProtocol) {
    case TCP:
      return { protocol: { case: 'TCP', value: flags ? { ...ports, flags } : ports } };
    case UDP:
      return { protocol: { case: 'UDP', value: ports } };
    case SCTP:
      return { protocol: { case: 'SCTP', value: ports } };
    case ICMP:
      return { protocol: { case: 'ICMPv4', value: {} } };
    case ICMPV6:
      return { protocol: { case: 'ICMPv6', value: {} } };
    case VRRP:
      return { protocol: { case: 'VRRP', value: {} } };
    case IGMP:
      return { protocol: { case: 'IGMP', value: {} } };
    default:
      return {};
  }
}

export function endpointOf(side: FlowSide): EndpointInit {
  const { identity, labels, namespace, pod, workload } = side;
  return {
    identity: identity ?? 0,
    labels: [...labels],
    namespace,
    podName: pod,
    workloads: workload === null ? [] : [{ name: workload.name, kind: workload.kind }],
    clusterName: valueAfter(labels, CLUSTER_LABEL),
  };
}

function valueAfter(labels: readonly string[], prefix: string): string {
  return labels.find((label) => label.startsWith(prefix))?.slice(prefix.length) ?? '';
}
