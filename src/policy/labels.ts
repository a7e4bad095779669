/**
 * Labels as Cilium writes them (pkg/labels): "source:key=value", the "=" left out when the value is
 * empty, as in "reserved:host" or "cidr:10.0.0.0/8". Canonical text is the key under which two
 * label sets are the same set.
 */
import type { IpPrefix } from '../model/address.ts';

export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

export const LABEL_SOURCE_K8S = 'k8s';
export const LABEL_SOURCE_RESERVED = 'reserved';
export const LABEL_SOURCE_CIDR = 'cidr';
export const LABEL_SOURCE_FQDN = 'fqdn';
/** In a selector's key only: matches a label of any source. */
export const LABEL_SOURCE_ANY = 'any';

/** Sources that a label can have (labels.go); anything else before a colon is no source. */
const LABEL_SOURCES: ReadonlySet<string> = new Set([
  LABEL_SOURCE_ANY,
  LABEL_SOURCE_K8S,
  LABEL_SOURCE_RESERVED,
  LABEL_SOURCE_CIDR,
  LABEL_SOURCE_FQDN,
  'cidrgroup',
  'node',
  'cni',
  'gen',
  'unspec',
  'directory',
  'container',
]);

export const NAMESPACE_KEY = 'io.kubernetes.pod.namespace';
export const CLUSTER_KEY = 'io.cilium.k8s.policy.cluster';
export const SERVICE_ACCOUNT_KEY = 'io.cilium.k8s.policy.serviceaccount';
export const NAMESPACE_LABELS_PREFIX = 'io.cilium.k8s.namespace.labels.';

/**
 * Null when there is no key or the source is unknown. A text without a source is a Kubernetes
 * label: what people mean who write "app=api".
 */
export function parseLabel(text: string): Label | null {
  const equals = text.indexOf('=');
  const colon = text.indexOf(':');
  const hasSource = colon !== -1 && (equals === -1 || colon < equals);
  const source = hasSource ? text.slice(0, colon) : LABEL_SOURCE_K8S;
  const rest = hasSource ? text.slice(colon + 1) : text;
  if (!LABEL_SOURCES.has(source)) return null;
  const split = rest.indexOf('=');
  const key = split === -1 ? rest : rest.slice(0, split);
  return key === '' ? null : { source, key, value: split === -1 ? '' : rest.slice(split + 1) };
}

export function formatLabel(label: Label): string {
  const name = `${label.source}:${label.key}`;
  return label.value === '' ? name : `${name}=${label.value}`;
}

/** Canonical text of one label; null when it is none. */
export function canonicalLabel(text: string): string | null {
  const label = parseLabel(text);
  return label === null ? null : formatLabel(label);
}

/** Sorted, without repetition. The texts must be labels already. */
export function sortedLabels(labels: Iterable<string>): readonly string[] {
  if (Array.isArray(labels) && isSorted(labels)) return labels;
  return [...new Set(labels)].sort(compareText);
}

/** As most are that a source hands over: tens of thousands of endpoints are asked again and again. */
function isSorted(labels: readonly string[]): boolean {
  for (let i = 1; i < labels.length; i++) {
    if ((labels[i - 1] as string) >= (labels[i] as string)) return false;
  }
  return true;
}

/** One text for one set of labels. */
export function labelSetKey(labels: Iterable<string>): string {
  return sortedLabels(labels).join(';');
}

export function k8sLabel(key: string, value: string): string {
  return formatLabel({ source: LABEL_SOURCE_K8S, key, value });
}

export function reservedLabel(name: string): string {
  return `${LABEL_SOURCE_RESERVED}:${name}`;
}

/** IPv6 colons become dashes, as a colon separates the source (labels/cidr). */
export function cidrLabel(prefix: IpPrefix): string {
  return `${LABEL_SOURCE_CIDR}:${prefix.text.replaceAll(':', '-')}`;
}

/** By code unit, so that the order is the same in every locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
