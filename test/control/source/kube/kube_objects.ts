/** Objects of the Kubernetes API, as JSON.parse gives them, with as little in them as a test needs. */
import type { SeenObject } from '../../../../src/kube/seen_object.ts';

type Texts = Readonly<Record<string, string>>;

export interface PodSpec {
  readonly uid?: string;
  readonly labels?: Texts;
  readonly ips?: readonly string[];
  readonly node?: string;
  readonly account?: string;
  readonly phase?: string;
  readonly isHostNetwork?: boolean;
  readonly isTerminating?: boolean;
  /** Seconds since the epoch. */
  readonly created?: number;
  readonly ports?: Readonly<Record<string, number>>;
  readonly mirror?: string;
}

function seen(namespace: string | null, name: string, object: object, uid = ''): SeenObject {
  // What crosses the wire has no undefined in it, and no other prototype.
  return {
    namespace,
    name,
    uid: uid === '' ? null : uid,
    version: '1',
    object: JSON.parse(JSON.stringify(object)),
  };
}

export function timeOf(created: number): string {
  return new Date(created * 1000).toISOString();
}

export function pod(fullName: string, spec: PodSpec = {}): SeenObject {
  const [namespace = '', name = ''] = fullName.split('/');
  const [first] = spec.ips ?? [];
  const object = {
    metadata: {
      name,
      namespace,
      uid: spec.uid,
      labels: spec.labels,
      annotations:
        spec.mirror === undefined ? undefined : { 'kubernetes.io/config.mirror': spec.mirror },
      creationTimestamp: timeOf(spec.created ?? 1_700_000_000),
      deletionTimestamp: spec.isTerminating === true ? timeOf(1_800_000_000) : undefined,
    },
    spec: {
      nodeName: spec.node,
      serviceAccountName: spec.account,
      hostNetwork: spec.isHostNetwork,
      containers: [
        {
          name: 'main',
          ports: Object.entries(spec.ports ?? {}).map(([port, containerPort]) => ({
            name: port,
            containerPort,
            protocol: 'TCP',
          })),
        },
      ],
    },
    status: {
      phase: spec.phase ?? 'Running',
      podIP: first,
      podIPs: spec.ips?.map((ip) => ({ ip })),
    },
  };
  return seen(namespace, name, object, spec.uid);
}

export function namespace(name: string, labels: Texts = {}): SeenObject {
  return seen(null, name, {
    metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ...labels } },
  });
}

export interface NodeSpec {
  readonly ips?: readonly string[];
  readonly labels?: Texts;
  readonly annotations?: Texts;
  readonly podCidrs?: readonly string[];
  readonly created?: number;
}

export function node(name: string, spec: NodeSpec = {}): SeenObject {
  const { labels, annotations, ips = [], created = 1_600_000_000 } = spec;
  return seen(null, name, {
    metadata: { name, labels, annotations, creationTimestamp: timeOf(created) },
    spec: { podCIDRs: spec.podCidrs },
    status: {
      addresses: [
        ...ips.map((address) => ({ type: 'InternalIP', address })),
        { type: 'Hostname', address: name },
      ],
    },
  });
}

export interface ServiceObject {
  readonly labels?: Texts;
  readonly selector?: Texts;
  readonly created?: number;
  readonly annotations?: Texts;
  /** In place of an address of the cluster alone. */
  readonly spec?: object;
  readonly status?: object;
}

export function service(fullName: string, object: ServiceObject = {}): SeenObject {
  const [ns = '', name = ''] = fullName.split('/');
  const { labels, annotations, selector, created, spec, status } = object;
  const creationTimestamp = created === undefined ? undefined : timeOf(created);
  return seen(ns, name, {
    metadata: { name, namespace: ns, labels, annotations, creationTimestamp },
    spec: { selector, ...(spec ?? { clusterIP: '10.96.0.9' }) },
    status,
  });
}

export interface SliceObject {
  readonly service: string;
  readonly ips?: readonly string[];
  readonly type?: string;
  readonly labels?: Texts;
  readonly ports?: readonly object[];
  /** In place of ready ones at `ips`. */
  readonly endpoints?: readonly object[];
}

export function endpointSlice(fullName: string, object: SliceObject): SeenObject {
  const [ns = '', name = ''] = fullName.split('/');
  const { ips = [], labels, ports, type } = object;
  return seen(ns, name, {
    metadata: {
      ...{ name, namespace: ns },
      labels: { 'kubernetes.io/service-name': object.service, ...labels },
    },
    addressType: type ?? 'IPv4',
    ports,
    endpoints:
      object.endpoints ?? ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
  });
}

export function ciliumIdentity(id: number, labels: Texts, created = 1_650_000_000): SeenObject {
  return seen(null, String(id), {
    metadata: { name: String(id), creationTimestamp: timeOf(created) },
    'security-labels': labels,
  });
}

export interface CiliumEndpointSpec {
  readonly id?: number;
  readonly ips: readonly string[];
  readonly uid?: string;
  readonly created?: number;
}

export function ciliumEndpoint(fullName: string, spec: CiliumEndpointSpec): SeenObject {
  const [ns = '', name = ''] = fullName.split('/');
  return seen(ns, name, {
    metadata: {
      name,
      namespace: ns,
      creationTimestamp: timeOf(spec.created ?? 1_700_000_100),
      ownerReferences: spec.uid === undefined ? undefined : [{ kind: 'Pod', uid: spec.uid }],
    },
    status: {
      identity: spec.id === undefined ? undefined : { id: spec.id, labels: [] },
      networking: { addressing: spec.ips.map(addressing), node: '10.0.0.1' },
    },
  });
}

export function ciliumEndpointSlice(
  name: string,
  ns: string,
  endpoints: Readonly<Record<string, CiliumEndpointSpec>>,
): SeenObject {
  return seen(null, name, {
    metadata: { name },
    namespace: ns,
    endpoints: Object.entries(endpoints).map(([pod, { id, ips, uid }]) => ({
      name: pod,
      id,
      'pod-uid': uid,
      networking: { addressing: ips.map(addressing), node: '10.0.0.1' },
    })),
  });
}

export function ciliumNode(
  name: string,
  spec: {
    readonly ips?: readonly string[];
    readonly health?: string;
    readonly ingress?: string;
    readonly podCidrs?: readonly string[];
  },
): SeenObject {
  return seen(null, name, {
    metadata: { name },
    spec: {
      addresses: (spec.ips ?? []).map((ip) => ({ type: 'CiliumInternalIP', ip })),
      health: spec.health === undefined ? undefined : { ipv4: spec.health },
      ingress: spec.ingress === undefined ? undefined : { ipv4: spec.ingress },
      ipam: spec.podCidrs === undefined ? undefined : { podCIDRs: spec.podCidrs },
    },
  });
}

function addressing(ip: string): object {
  return ip.includes(':') ? { ipv6: ip } : { ipv4: ip };
}
