/** One Service as its frontends, as kube-proxy makes them: the cluster's addresses, others, load balancers, node ports. */
import { type IpAddress, type IpText, parseIp } from '../../model/address.ts';
import type { Port } from '../../model/identity.ts';
import type {
  FrontendKind,
  ServiceBackend,
  ServiceFrontend,
} from '../../model/service_frontend.ts';
import type {
  ServicePort,
  ServiceSlice,
  ServiceSpec,
  SliceEndpoint,
} from '../../model/service_spec.ts';
import { compareText } from '../../policy/labels.ts';
import type { InventoryNode, InventoryService } from '../../policy/resolve/inventory.ts';
import { anyNodesLocalEndpoints, clusterEndpoints, localEndpoints } from './usable_endpoints.ts';

export interface ServicePlace {
  /** Null: it is not known on which node the client is, and he may be sent where any client may. */
  readonly here: InventoryNode | null;
  /** Instead of a service's own, which says nothing port by port. */
  readonly slices: readonly ServiceSlice[];
}

export function frontendsOfService(
  service: InventoryService,
  { here, slices }: ServicePlace,
): readonly ServiceFrontend[] {
  const { spec } = service;
  if (spec === null) return [];
  const name = `${service.namespace}/${service.name}`;
  return spec.clusterIps.flatMap((clusterIp) => {
    const family = clusterIp.includes(':') ? 6 : 4;
    const own = slices.filter((slice) => slice.family === family);
    return spec.ports.flatMap((port) => {
      const backends = new PortBackends(endpointsOf(own, port, here), { spec, here });
      return dialledOf(spec, { clusterIp, family, port }).map(
        ({ kind, address, dialledPort }): ServiceFrontend => ({
          service: name,
          portName: port.name,
          kind,
          protocol: port.protocol,
          family,
          address,
          port: dialledPort,
          ...(kind === 'ClusterIP' ? backends.internal : backends.external),
          servingBackends: backends.serving,
          affinityMs: spec.affinityS === null ? null : spec.affinityS * 1000,
          isConsistentlyHashed: spec.isConsistentlyHashed,
        }),
      );
    });
  });
}

interface Dialled {
  readonly kind: FrontendKind;
  readonly address: IpAddress | null;
  readonly dialledPort: Port;
}

interface DialledPort {
  readonly clusterIp: IpText;
  readonly family: 4 | 6;
  readonly port: ServicePort;
}

function dialledOf(
  spec: ServiceSpec,
  { clusterIp, family, port: { port, nodePort } }: DialledPort,
): readonly Dialled[] {
  const at = (kind: FrontendKind, texts: readonly IpText[]): readonly Dialled[] =>
    texts.flatMap((text) => {
      const address = parseIp(text);
      return address?.family === family ? [{ kind, address, dialledPort: port }] : [];
    });
  const all = [
    ...at('ClusterIP', [clusterIp]),
    ...at('ExternalIP', spec.externalIps),
    ...at('LoadBalancer', spec.loadBalancerIps),
  ];
  // One address may stand there in several ways.
  const byAddress = new Map(all.toReversed().map((one) => [one.address?.text, one]));
  const dialled = all.filter((one) => byAddress.get(one.address?.text) === one);
  if (nodePort === null) return dialled;
  return [...dialled, { kind: 'NodePort', address: null, dialledPort: nodePort }];
}

/** An endpoint with the number that the port has there. */
interface PortEndpoint extends SliceEndpoint {
  readonly port: Port;
}

/** In the order of their texts. Of one that is there several times the first counts, or the last that is of this node. */
function endpointsOf(
  slices: readonly ServiceSlice[],
  { name, protocol }: ServicePort,
  here: InventoryNode | null,
): readonly PortEndpoint[] {
  const found = new Map<string, PortEndpoint>();
  for (const { ports, endpoints } of slices) {
    for (const own of ports) {
      if (own.name !== name || own.protocol !== protocol) continue;
      for (const endpoint of endpoints) {
        const key = `${endpoint.ip} ${own.port}`;
        const isHere = endpoint.node !== '' && endpoint.node === here?.name;
        if (isHere || !found.has(key)) found.set(key, { ...endpoint, port: own.port });
      }
    }
  }
  return [...found].sort(([a], [b]) => compareText(a, b)).map(([, one]) => one);
}

type Backends = Pick<ServiceFrontend, 'backends' | 'allBackends'>;

class PortBackends {
  readonly internal: Backends;
  readonly serving: readonly ServiceBackend[];
  /**
   * From pods and from the host of the node: whatever the external policy says, they are sent as policy Cluster sends,
   * since nothing hides where they come from. From elsewhere, policy Local may send to others.
   */
  readonly external: Backends;
  readonly #made = new Map<PortEndpoint, ServiceBackend>();

  constructor(
    all: readonly PortEndpoint[],
    { spec, here }: { readonly spec: ServiceSpec; readonly here: InventoryNode | null },
  ) {
    const anyCluster = clusterEndpoints(all, null);
    const anyLocal = anyNodesLocalEndpoints(all);
    const cluster = here === null ? anyCluster : clusterEndpoints(all, here);
    const local = here === null ? anyLocal : localEndpoints(all, here);
    this.internal = spec.isInternalLocal
      ? this.#backends(local, anyLocal)
      : this.#backends(cluster, anyCluster);
    const either = new Set([...anyCluster, ...anyLocal]);
    const reached = spec.isExternalLocal ? all.filter((one) => either.has(one)) : anyCluster;
    this.external = this.#backends(cluster, reached);
    const serving = all.filter(({ isReady, isServing }) => isReady || isServing);
    this.serving = this.#backends(serving, serving).allBackends;
  }

  #backends(usable: readonly PortEndpoint[], all: readonly PortEndpoint[]): Backends {
    const allBackends = all.map((one) => this.#backend(one));
    const isAll = usable.length === all.length;
    return { backends: isAll ? allBackends : usable.map((one) => this.#backend(one)), allBackends };
  }

  #backend(endpoint: PortEndpoint): ServiceBackend {
    const known = this.#made.get(endpoint);
    if (known !== undefined) return known;
    const { ip, port, node: nodeName } = endpoint;
    const backend = { address: parseIp(ip) as IpAddress, port, nodeName };
    this.#made.set(endpoint, backend);
    return backend;
  }
}
