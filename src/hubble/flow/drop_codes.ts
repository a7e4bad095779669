/** Why something was refused, in the codes of Cilium's datapath: clients of Hubble know no other words. */
import type { DropReason } from '../../model/drop_reason.ts';
import type { ProxyFlow } from '../../model/flow.ts';
import { DropReason as Code } from '../generated/flow/flow_pb.ts';

const KERNEL_CODES: Readonly<Record<DropReason, number>> = {
  'denied-egress': Code.POLICY_DENIED,
  'denied-ingress': Code.POLICY_DENIED,
  'no-generation': Code.DROP_EP_NOT_READY,
  'unknown-interface': Code.NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION,
  'foreign-source': Code.INVALID_SOURCE_IP,
  malformed: Code.INVALID_PACKET_DROPPED,
  fragment: Code.FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND,
  vlan: Code.VLAN_FILTERED,
  'not-ip': Code.UNSUPPORTED_L3_PROTOCOL,
  stale: Code.UNKNOWN_CONNECTION_TRACKING_STATE,
  'no-listener': Code.SOCKET_LOOKUP_FAILED,
  'rate-limited': Code.DROP_RATE_LIMITED,
  unredirectable: Code.PROXY_REDIRECTION_NOT_SUPPORTED_FOR_PROTOCOL,
  'record-lost': Code.FAILED_TO_INSERT_INTO_PROXYMAP,
  'unknown-sender': Code.UNKNOWN_SENDER,
  'foreign-neighbour': Code.INVALID_SOURCE_IP,
  'no-backend': Code.SERVICE_BACKEND_NOT_FOUND,
  'too-many-backends': Code.POLICY_DENIED,
};

export function kernelDropCode(reason: DropReason): number {
  return KERNEL_CODES[reason];
}

/** Of a connection that the proxy refused. */
export function dropCodeOf({ decision }: ProxyFlow): number {
  switch (decision?.reason) {
    case 'denied-by-rule':
      return Code.POLICY_DENY;
    case 'identity-changed':
      return Code.INVALID_IDENTITY;
    case 'service-without-backend':
      return Code.SERVICE_BACKEND_NOT_FOUND;
    default:
      return Code.POLICY_DENIED;
  }
}
