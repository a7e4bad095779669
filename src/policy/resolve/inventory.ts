/**
 * What is known of the cluster besides policies: endpoints with their addresses and labels, numeric
 * identities, CIDRs, services, listeners. The endpoints file is decoded into it; later Kubernetes
 * will be, too. Labels are canonical and complete here (namespace, cluster, service account added).
 */
import type { IpAddress, IpPrefix } from '../../model/address.ts';
import type { Identity, Protocol } from '../../model/identity.ts';
import type { ServiceSlice, ServiceSpec } from '../../model/service_spec.ts';
import type { LabelSelector } from '../rule.ts';

export interface Inventory {
  /** The local cluster's name: what the entity "cluster" means. */
  readonly cluster: string;
  readonly endpoints: readonly InventoryEndpoint[];
  readonly identities: readonly InventoryIdentity[];
  readonly cidrs: readonly InventoryCidr[];
  /** What DNS answers taught, each address once; absent: nothing. */
  readonly learned?: readonly LearnedAddress[];
  readonly services: readonly InventoryService[];
  /** From which pods get their addresses, whether a pod has one or not; absent: nobody says. */
  readonly podPrefixes?: readonly IpPrefix[];
  /** The node that this is; null: it is none of a cluster. */
  readonly here: InventoryNode | null;
  /** `toPorts[].listener.name` → proxy id. */
  readonly listeners: ReadonlyMap<string, number>;
}

export interface InventoryEndpoint {
  /** "namespace/name". */
  readonly name: string;
  readonly ips: readonly IpAddress[];
  readonly labels: readonly string[];
  /** Null: allocated for the labels. */
  readonly identity: Identity | null;
  /** 0: numbered when the policies are resolved. */
  readonly endpointId: number;
  readonly namedPorts: readonly NamedPort[];
  /** Policy is made for it here. Others are only peers: somebody with addresses, an identity and names of ports. */
  readonly isLocal: boolean;
  /** Host-side interface, of one endpoint only, which is local; null: none is named, and the loader may find it. */
  readonly interface: string | null;
  /** Of a pod: by which its processes are known (their cgroup names it). Null: none is known. */
  readonly podUid: string | null;
}

export interface NamedPort {
  /** Lower case, as Cilium compares them. */
  readonly name: string;
  readonly port: number;
  readonly protocol: Protocol;
}

export interface InventoryIdentity {
  readonly identity: Identity;
  readonly labels: readonly string[];
}

export interface InventoryCidr {
  readonly prefix: IpPrefix;
  /** Null: allocated. One that is defined elsewhere makes the prefix an address range of it. */
  readonly identity: Identity | null;
  /** Besides those that every CIDR identity has, such as "fqdn:api.example.com". */
  readonly labels: readonly string[];
}

export interface LearnedAddress {
  readonly address: IpAddress;
  /** Of its names: "fqdn:" and the text of a selector that selects one of them. */
  readonly labels: readonly string[];
}

export interface InventoryNode {
  readonly name: string;
  /** Its label `topology.kubernetes.io/zone`; "": it has none. */
  readonly zone: string;
}

export interface InventoryService {
  /** "namespace/name". */
  readonly namespace: string;
  readonly name: string;
  /** The service's own labels, for `k8sServiceSelector`. */
  readonly labels: readonly string[];
  /** Addresses behind it. */
  readonly ips: readonly IpAddress[];
  /** Null: no endpoints are selected. */
  readonly selector: LabelSelector | null;
  /** What clients dial to reach it; null: it has no address of its own that is translated here. */
  readonly spec: ServiceSpec | null;
  /** What is behind it; null: nobody says so port by port, and its endpoints and `ips` are. */
  readonly slices: readonly ServiceSlice[] | null;
}

export const EMPTY_INVENTORY: Inventory = Object.freeze({
  cluster: 'default',
  endpoints: [],
  identities: [],
  cidrs: [],
  services: [],
  here: null,
  listeners: new Map(),
});
