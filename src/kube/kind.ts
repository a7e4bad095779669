/** A kind of object, as the API serves it. */
export interface KubeKind {
  /** "cilium.io"; "" for the core group. */
  readonly group: string;
  /** "v2". */
  readonly version: string;
  /** "ciliumnetworkpolicies", as paths have it. */
  readonly plural: string;
  /** "CiliumNetworkPolicy". */
  readonly kind: string;
  readonly isNamespaced: boolean;
}

/** "/api/v1/pods", "/apis/cilium.io/v2/namespaces/shop/ciliumnetworkpolicies". `namespace` null: of all of them. */
export function pathOf(
  { group, version, plural, isNamespaced }: KubeKind,
  namespace: string | null = null,
): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const scope = isNamespaced && namespace !== null ? `/namespaces/${namespace}` : '';
  return `${root}${scope}/${plural}`;
}
