/** The labels that Cilium adds to those of a workload: namespace, cluster, namespace's name. */
import {
  CLUSTER_KEY,
  k8sLabel,
  LABEL_SOURCE_K8S,
  NAMESPACE_KEY,
  NAMESPACE_LABELS_PREFIX,
  parseLabel,
  sortedLabels,
} from '../labels.ts';

/** Every namespace of Kubernetes has this label, with its own name. */
const NAMESPACE_NAME_KEY = `${NAMESPACE_LABELS_PREFIX}kubernetes.io/metadata.name`;

export interface LabelPlace {
  /** For labels that name no namespace; null: those stay without one. */
  readonly namespace: string | null;
  readonly cluster: string;
}

/**
 * Canonical labels, completed. Sets with labels of other sources (reserved, cidr, fqdn) are no
 * workloads of a namespace and stay as they are.
 */
export function completeLabels(labels: readonly string[], place: LabelPlace): readonly string[] {
  const values = new Map<string, string>();
  for (const text of labels) {
    const label = parseLabel(text);
    if (label === null || OTHER_SOURCES.has(label.source)) return sortedLabels(labels);
    if (label.source === LABEL_SOURCE_K8S) values.set(label.key, label.value);
  }
  const namespace = values.get(NAMESPACE_KEY) ?? place.namespace;
  if (namespace === null) return sortedLabels(labels);
  const added: string[] = [];
  for (const [key, value] of [
    [NAMESPACE_KEY, namespace],
    [NAMESPACE_NAME_KEY, namespace],
    [CLUSTER_KEY, place.cluster],
  ] as const) {
    if (!values.has(key)) added.push(k8sLabel(key, value));
  }
  return sortedLabels([...labels, ...added]);
}

const OTHER_SOURCES: ReadonlySet<string> = new Set(['reserved', 'cidr', 'cidrgroup', 'fqdn']);
