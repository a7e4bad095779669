/**
 * What a Service looks like from one node: addresses that clients dial, and what stands behind each of them there.
 * Made by `control/service/` from what is known of the cluster; put into the kernel by `redirect/services/`.
 *
 *     Service, EndpointSlices, this node ──control/service──► ServiceFrontend[] ─┬─► redirect/services: translated at the socket
 *                                                                                ├─► the redirect's tables, and workers: judged by its backends
 *                                                                                └─► `service list`, flows
 *
 * A frontend that did not change stays the very same object, so what is behind this border does work only for what differs.
 */
import type { IpAddress, IpText, SocketAddress } from './address.ts';
import type { Port, Protocol } from './identity.ts';

export interface ServiceFrontend {
  /** "namespace/name". */
  readonly service: string;
  /** Of the Service's port; "": it has none. */
  readonly portName: string;
  readonly kind: FrontendKind;
  readonly protocol: Protocol;
  readonly family: 4 | 6;
  /** Null: every address of this node, of this family (a NodePort). */
  readonly address: IpAddress | null;
  readonly port: Port;
  /** Those that a client on this node may be sent to, in a stable order. Empty: the client is refused at once. */
  readonly backends: readonly ServiceBackend[];
  /** Every one that some node may send a client to, for a packet that is translated after it was judged. */
  readonly allBackends: readonly ServiceBackend[];
  /** Every one that answers still, also who is sent no new client: what is connected stays so. */
  readonly servingBackends: readonly ServiceBackend[];
  /** Session affinity by client address; null: none. */
  readonly affinityMs: number | null;
  /** One client address leads to one backend as long as that is there. */
  readonly isConsistentlyHashed: boolean;
}

export type FrontendKind = 'ClusterIP' | 'ExternalIP' | 'LoadBalancer' | 'NodePort';

export interface ServiceBackend {
  readonly address: IpAddress;
  readonly port: Port;
  /** Of the same family as the frontend. "": not told. */
  readonly nodeName: string;
}

/**
 * Identities and ports behind one address that a verdict is asked about; of more it is a denial. Whoever writes a Service
 * chooses what is behind it, and others pay for the verdict. The kernel's programs ask about no more, either.
 */
export const BEHIND_ASKED_MAX = 32;

/** A frontend for those who judge it and do not translate: whoever dials it may reach any of these. */
export interface JudgedFrontend
  extends Pick<ServiceFrontend, 'service' | 'kind' | 'protocol' | 'family' | 'port'> {
  /** As `ServiceFrontend.address`. */
  readonly ip: IpText | null;
  /** As `ServiceFrontend.allBackends`. */
  readonly backends: readonly SocketAddress[];
}
