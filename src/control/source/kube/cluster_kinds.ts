/** Kinds of objects that say who and what is in a cluster, besides policies and secrets. */
import type { KubeKind } from '../../../kube/kind.ts';

export type ClusterKind =
  | 'Pod'
  | 'Namespace'
  | 'Node'
  | 'Service'
  | 'EndpointSlice'
  | 'CiliumIdentity'
  | 'CiliumEndpoint'
  | 'CiliumEndpointSlice'
  | 'CiliumNode';

/** The first is preferred, where the API serves several. */
export const CLUSTER_KINDS: Readonly<Record<ClusterKind, readonly KubeKind[]>> = {
  Pod: [core('Pod', 'pods', true)],
  Namespace: [core('Namespace', 'namespaces', false)],
  Node: [core('Node', 'nodes', false)],
  Service: [core('Service', 'services', true)],
  EndpointSlice: [
    {
      group: 'discovery.k8s.io',
      version: 'v1',
      kind: 'EndpointSlice',
      plural: 'endpointslices',
      isNamespaced: true,
    },
  ],
  CiliumIdentity: [cilium('v2', 'CiliumIdentity', 'ciliumidentities', false)],
  CiliumEndpoint: [cilium('v2', 'CiliumEndpoint', 'ciliumendpoints', true)],
  CiliumEndpointSlice: [
    cilium('v2', 'CiliumEndpointSlice', 'ciliumendpointslices', false),
    cilium('v2alpha1', 'CiliumEndpointSlice', 'ciliumendpointslices', false),
  ],
  CiliumNode: [cilium('v2', 'CiliumNode', 'ciliumnodes', false)],
};

/** Whose numbers identities have. */
export type IdentitySource = 'own' | 'cilium';

export function clusterKindsOf(identities: IdentitySource): readonly ClusterKind[] {
  return identities === 'own' ? OWN_KINDS : [...OWN_KINDS, ...CILIUM_KINDS];
}

const OWN_KINDS: readonly ClusterKind[] = ['Namespace', 'Node', 'Service', 'EndpointSlice', 'Pod'];
const CILIUM_KINDS: readonly ClusterKind[] = [
  'CiliumIdentity',
  'CiliumNode',
  'CiliumEndpoint',
  'CiliumEndpointSlice',
];

function core(kind: string, plural: string, isNamespaced: boolean): KubeKind {
  return { group: '', version: 'v1', kind, plural, isNamespaced };
}

function cilium(version: string, kind: string, plural: string, isNamespaced: boolean): KubeKind {
  return { group: 'cilium.io', version, kind, plural, isNamespaced };
}
