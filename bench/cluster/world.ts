/** A cluster for `bench/cluster.ts`: pods of deployments in namespaces, services, nodes and policies. */
import type { ApiObject } from '../../src/control/source/objects/object_set.ts';
import { ipFromBytes } from '../../src/model/address.ts';
import { type Identity, RESERVED_IDENTITIES } from '../../src/model/identity.ts';
import { sortedLabels } from '../../src/policy/labels.ts';
import {
  EMPTY_INVENTORY,
  type Inventory,
  type InventoryCidr,
  type InventoryEndpoint,
  type InventoryService,
} from '../../src/policy/resolve/inventory.ts';

export interface Sizes {
  readonly pods: number;
  readonly nodes: number;
  readonly services: number;
  readonly policies: number;
  readonly namespaces: number;
  readonly podsPerDeployment: number;
}

export const LOCAL_PODS = 50;
const NAMED_PORTS = [{ name: 'http', port: 8080, protocol: 'TCP' }] as const;

/** The first `LOCAL_PODS` are on this node. */
export function inventoryOf(sizes: Sizes): Inventory {
  return {
    ...EMPTY_INVENTORY,
    endpoints: Array.from({ length: sizes.pods }, (_, index) => podOf(index, sizes)),
    services: Array.from({ length: sizes.services }, (_, index) => serviceOf(index, sizes)),
    cidrs: Array.from({ length: sizes.nodes }, (_, index) => nodeOf(index)),
  };
}

/** Each has labels of its own, as a source has that interns nothing. `version`: another one has other labels. */
export function podOf(index: number, sizes: Sizes, version = 1): InventoryEndpoint {
  const deployment = index % Math.ceil(sizes.pods / sizes.podsPerDeployment);
  const namespace = `team-${deployment % sizes.namespaces}`;
  const isLocal = index < LOCAL_PODS;
  return {
    name: `${namespace}/app-${deployment}-${index}`,
    ips: [ipFromBytes(Uint8Array.of(10, index >> 16, (index >> 8) & 255, index & 255))],
    labels: labelsOf(deployment, namespace, version),
    identity: null,
    endpointId: 0,
    namedPorts: NAMED_PORTS,
    isLocal,
    interface: isLocal ? `veth${index}` : null,
    podUid: null,
  };
}

export function serviceOf(index: number, sizes: Sizes, version = 1): InventoryService {
  const namespace = `team-${index % sizes.namespaces}`;
  const requirement = { key: 'k8s:app', operator: 'in', values: [`app-${index}`] } as const;
  return {
    namespace,
    name: `app-${index}`,
    labels: [`k8s:app=app-${index}`],
    ips: [ipFromBytes(Uint8Array.of(172, 16 + version, index >> 8, index & 255))],
    selector: { requirements: [requirement] },
    spec: null,
    slices: null,
  };
}

export function nodeOf(index: number): InventoryCidr {
  const address = ipFromBytes(Uint8Array.of(192, 168, index >> 8, index & 255));
  return {
    prefix: { address, length: 32, text: `${address.text}/32` },
    identity: RESERVED_IDENTITIES['remote-node'] as Identity,
    labels: [],
  };
}

/** Each selects a deployment; of ten one names CIDRs, one names, one a service, and one ports by name. */
export function policyOf(index: number, sizes: Sizes): ApiObject {
  const namespace = `team-${index % sizes.namespaces}`;
  const name = `p${index}`;
  const peer = { matchLabels: { app: `app-${index + sizes.namespaces}` } };
  const http = [{ method: 'GET', path: `/api/p${index}/.*` }, { path: '/healthz' }];
  const ports = [{ port: '8080', protocol: 'TCP' }];
  const egress = [
    [
      {
        toCIDRSet: [{ cidr: `100.64.${index & 255}.0/24`, except: [`100.64.${index & 255}.8/29`] }],
      },
    ],
    [{ toFQDNs: [{ matchName: `api-${index}.example.com` }] }],
    [{ toServices: [{ k8sService: { serviceName: `app-${index}`, namespace } }] }],
    [{ toEndpoints: [peer], toPorts: [{ ports: [{ port: 'http', protocol: 'TCP' }] }] }],
  ][index % 10];
  return {
    ref: { apiKind: 'CiliumNetworkPolicy', namespace, name, uid: `uid-${index}` },
    version: '1',
    object: {
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      metadata: { name, namespace },
      spec: {
        endpointSelector: { matchLabels: { app: `app-${index}` } },
        ingress: [
          { fromEndpoints: [peer], toPorts: [{ ports, rules: { http } }] },
          { fromEndpoints: [{ matchLabels: { tier: 'front' } }] },
        ],
        ...(egress === undefined ? {} : { egress }),
      },
    },
  };
}

function labelsOf(deployment: number, namespace: string, version: number): readonly string[] {
  return sortedLabels([
    `k8s:app=app-${deployment}`,
    `k8s:app.kubernetes.io/name=app-${deployment}`,
    `k8s:app.kubernetes.io/part-of=product-${deployment % 40}`,
    `k8s:app.kubernetes.io/version=1.${version}`,
    `k8s:tier=${deployment % 7 === 0 ? 'front' : 'back'}`,
    `k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=${namespace}`,
    `k8s:io.cilium.k8s.namespace.labels.team=${namespace}`,
    'k8s:io.cilium.k8s.policy.cluster=default',
    `k8s:io.cilium.k8s.policy.serviceaccount=app-${deployment}`,
    `k8s:io.kubernetes.pod.namespace=${namespace}`,
  ]);
}
