/**
 * Changes of policies, as they come and until they are taken over: of each object only the newest form counts. What a
 * policy does not say in its spec or to us (its status, who manages it) is cut off, so that a write of it is no change.
 */
import { createHash } from 'node:crypto';
import type { KubeKind } from '../../../kube/kind.ts';
import type { ObjectName, SeenObject } from '../../../kube/seen_object.ts';
import type { PolicyKindName } from '../../../model/kube_policy_kinds.ts';
import { ANNOTATION_PREFIX } from '../../decode/annotations.ts';
import type { ObjectRef } from '../../decode/policy_object.ts';
import { type ApiObject, keyOf, type ObjectKey } from '../objects/object_set.ts';
import type { ObjectHolder } from './kind_versions.ts';

export type PolicyChange =
  | { readonly kind: 'put'; readonly object: ApiObject }
  | { readonly kind: 'removed'; readonly ref: ObjectRef };

export class PolicyQueue {
  readonly #changes = new Map<ObjectKey, PolicyChange>();
  readonly #refs = new Map<ObjectKey, ObjectRef>();

  /** For all versions of a kind. */
  holderOf(apiKind: PolicyKindName): ObjectHolder {
    return {
      put: (seen) => {
        const object = apiObject(apiKind, seen);
        const key = keyOf(object.ref);
        this.#refs.set(key, object.ref);
        this.#changes.set(key, { kind: 'put', object });
      },
      removed: ({ namespace, name }) => {
        const key = keyOf({ apiKind, namespace, name, uid: null });
        const ref = this.#refs.get(key);
        if (!this.#refs.delete(key) || ref === undefined) return;
        this.#changes.set(key, { kind: 'removed', ref });
      },
    };
  }

  take(): readonly PolicyChange[] {
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    return changes;
  }

  /** Objects that there are. */
  get count(): number {
    return this.#refs.size;
  }

  /** Of all objects that there are. */
  refs(): readonly ObjectRef[] {
    return [...this.#refs.values()];
  }
}

/** A kind of policy in the versions in which a cluster may serve it. */
export const POLICY_KUBE_KINDS: Readonly<Record<PolicyKindName, readonly KubeKind[]>> = {
  CiliumNetworkPolicy: [
    {
      group: 'cilium.io',
      version: 'v2',
      plural: 'ciliumnetworkpolicies',
      kind: 'CiliumNetworkPolicy',
      isNamespaced: true,
    },
  ],
  CiliumClusterwideNetworkPolicy: [
    {
      group: 'cilium.io',
      version: 'v2',
      plural: 'ciliumclusterwidenetworkpolicies',
      kind: 'CiliumClusterwideNetworkPolicy',
      isNamespaced: false,
    },
  ],
  // v2 since Cilium 1.18. A cluster that serves both serves the same objects in both.
  CiliumCIDRGroup: ['v2', 'v2alpha1'].map((version) => ({
    group: 'cilium.io',
    version,
    plural: 'ciliumcidrgroups',
    kind: 'CiliumCIDRGroup',
    isNamespaced: false,
  })),
  NetworkPolicy: [
    {
      group: 'networking.k8s.io',
      version: 'v1',
      plural: 'networkpolicies',
      kind: 'NetworkPolicy',
      isNamespaced: true,
    },
  ],
  ClusterNetworkPolicy: [
    {
      group: 'policy.networking.k8s.io',
      version: 'v1alpha2',
      plural: 'clusternetworkpolicies',
      kind: 'ClusterNetworkPolicy',
      isNamespaced: false,
    },
  ],
  AdminNetworkPolicy: [
    {
      group: 'policy.networking.k8s.io',
      version: 'v1alpha1',
      plural: 'adminnetworkpolicies',
      kind: 'AdminNetworkPolicy',
      isNamespaced: false,
    },
  ],
  BaselineAdminNetworkPolicy: [
    {
      group: 'policy.networking.k8s.io',
      version: 'v1alpha1',
      plural: 'baselineadminnetworkpolicies',
      kind: 'BaselineAdminNetworkPolicy',
      isNamespaced: false,
    },
  ],
};

/** The object as its decoder wants it, whichever version it was read in. Items of lists lack their kind. */
export function apiObject(apiKind: PolicyKindName, seen: SeenObject): ApiObject {
  const { namespace, name, uid } = seen;
  const ref = { apiKind, namespace, name, uid };
  const [kind] = POLICY_KUBE_KINDS[apiKind];
  const isReadable = kind !== undefined && isRecord(seen.object);
  const object = isReadable ? strippedOf(seen.object, { namespace, name, kind }) : seen.object;
  // A missing value has no JSON.
  const text = JSON.stringify(object) ?? '';
  return { ref, version: createHash('sha256').update(text).digest('base64'), object };
}

function strippedOf(
  { metadata, status: _status, ...rest }: Readonly<Record<string, unknown>>,
  { kind, namespace, name }: ObjectName & { readonly kind: KubeKind },
): object {
  const { group, version } = kind;
  const given = isRecord(metadata) ? metadata : {};
  const annotations = picked(given['annotations'], (key) =>
    key.toLowerCase().startsWith(ANNOTATION_PREFIX),
  );
  // Rules select CIDR groups by their labels, and other policies by nothing.
  const labels = kind.kind === 'CiliumCIDRGroup' ? picked(given['labels'], () => true) : {};
  return {
    ...rest,
    apiVersion: `${group}/${version}`,
    kind: kind.kind,
    metadata: { name, ...(namespace === null ? {} : { namespace }), annotations, labels },
  };
}

function picked(value: unknown, isMeant: (key: string) => boolean): object {
  if (!isRecord(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([key]) => isMeant(key)));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
