/**
 * The labels that make up the identity of a pod, from its own and those of its namespace, as the agent derives them
 * (SanitizePodLabels, labelsfilter.Filter). What a pod says of its namespace, its service account or its cluster does
 * not count: anybody may write labels of a pod.
 */
import type { LabelFilter } from '../../../policy/label_filter.ts';
import {
  CLUSTER_KEY,
  k8sLabel,
  LABEL_SOURCE_K8S,
  NAMESPACE_KEY,
  NAMESPACE_LABELS_PREFIX,
  SERVICE_ACCOUNT_KEY,
  sortedLabels,
} from '../../../policy/labels.ts';
import type { Labels } from './fact_reader.ts';

/** Keys that begin so are the agent's. */
const AGENT_PREFIX = 'io.cilium.k8s';

/** What the pod itself brings: canonical, sorted. */
export function ownLabelsOfPod(labels: Labels, filter: LabelFilter): readonly string[] {
  const own = labels.filter(([key]) => !key.startsWith(AGENT_PREFIX) && key !== NAMESPACE_KEY);
  return identityLabels(own, filter);
}

/** What its namespace and its cluster add: canonical, sorted. */
export function labelsOfNamespace(
  namespace: { readonly name: string; readonly labels: Labels; readonly cluster: string },
  filter: LabelFilter,
): readonly string[] {
  const { name, labels, cluster } = namespace;
  return identityLabels(
    [
      ...labels.map(([key, value]) => [`${NAMESPACE_LABELS_PREFIX}${key}`, value] as const),
      [NAMESPACE_KEY, name],
      [CLUSTER_KEY, cluster],
    ],
    filter,
  );
}

/** None when there is no account. */
export function labelsOfServiceAccount(name: string, filter: LabelFilter): readonly string[] {
  return name === '' ? [] : identityLabels([[SERVICE_ACCOUNT_KEY, name]], filter);
}

/** Of a workload: the parts are disjoint. */
export function joinedLabels(...parts: readonly (readonly string[])[]): readonly string[] {
  return sortedLabels(parts.flat());
}

function identityLabels(labels: Labels, filter: LabelFilter): readonly string[] {
  return sortedLabels(
    labels.flatMap(([key, value]) =>
      filter.isPartOfIdentity(LABEL_SOURCE_K8S, key) ? [k8sLabel(key, value)] : [],
    ),
  );
}
