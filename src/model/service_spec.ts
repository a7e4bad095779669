/**
 * A Service as its own object says it, and what its EndpointSlices say is behind it. Texts and numbers only: it is kept
 * on disk and sent as it is. What a client on one node meets is made of it in `control/service/`.
 */
import type { IpText } from './address.ts';
import type { Port, Protocol } from './identity.ts';

export interface ServiceSpec {
  /** Seconds since the epoch: of two that claim one address, the older one has it. */
  readonly createdS: number;
  /** At most one of each family. A family without one is not translated at all. */
  readonly clusterIps: readonly IpText[];
  readonly externalIps: readonly IpText[];
  /** Those that packets keep as their destination (`ipMode: VIP`). */
  readonly loadBalancerIps: readonly IpText[];
  readonly ports: readonly ServicePort[];
  /** Session affinity by client address; null: none. */
  readonly affinityS: number | null;
  readonly isInternalLocal: boolean;
  readonly isExternalLocal: boolean;
  /** See `ServiceFrontend`. */
  readonly isConsistentlyHashed: boolean;
}

export interface ServicePort {
  /** "": it has none. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: Port;
  readonly nodePort: Port | null;
  /** A number, or the name of a port of each endpoint. Counts where no slice says which port it is. */
  readonly targetPort: Port | string;
}

export interface ServiceSlice {
  readonly family: 4 | 6;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SlicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: Port;
}

export interface SliceEndpoint {
  readonly ip: IpText;
  /** "": not told. */
  readonly node: string;
  /** Said of one that is not ready, too, where the Service publishes those. */
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
  /** For clients in which zones, and on which nodes, it is meant; empty: no hint is given. */
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}
