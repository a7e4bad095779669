/** Services and their EndpointSlices, for `toServices` and to find the API server. */

import { k8sLabel, LABEL_SOURCE_K8S, NAMESPACE_KEY, sortedLabels } from '../../../policy/labels.ts';
import type { LabelSelector } from '../../../policy/rule.ts';
import { type Decoded, FactReader, type FactsName, valueOfLabel } from './fact_reader.ts';

export interface ServiceFacts {
  /** Canonical. */
  readonly labels: readonly string[];
  /** In its own namespace; null: it selects nobody, and whoever made its slices says what is behind it. */
  readonly selector: LabelSelector | null;
}

export interface EndpointSliceFacts {
  /** In the slice's namespace; "": of no service. */
  readonly serviceName: string;
  /** Canonical texts of addresses, joined by commas: few are ever asked for, and there are many. */
  readonly ips: string;
}

export function decodeService(object: unknown, name: FactsName): Decoded<ServiceFacts> {
  const reader = new FactReader('Service', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const spec = reader.object(root['spec'], 'spec');
  const labels = reader.labels(metadata['labels'], 'metadata.labels');
  const selected = reader.labels(spec['selector'], 'spec.selector');
  const requirements = [...selected, [NAMESPACE_KEY, name.namespace ?? ''] as const].map(
    ([key, value]) => ({
      key: `${LABEL_SOURCE_K8S}:${key}`,
      operator: 'in' as const,
      values: [value],
    }),
  );
  return reader.decoded({
    labels: sortedLabels(labels.map(([key, value]) => k8sLabel(key, value))),
    selector: selected.length === 0 ? null : { requirements },
  });
}

/** Ready or not: what a service stands for does not open and close with the health of what is behind it. */
export function decodeEndpointSlice(object: unknown, name: FactsName): Decoded<EndpointSliceFacts> {
  const reader = new FactReader('EndpointSlice', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const labels = reader.labels(metadata['labels'], 'metadata.labels');
  const isForeign = valueOfLabel(labels, MANAGED_BY) === MESH_CONTROLLER;
  const type = reader.text(root['addressType'], 'addressType');
  const ips = new Set<string>();
  if (type === 'IPv4' || type === 'IPv6') {
    for (const item of reader.list(root['endpoints'], 'endpoints', ENDPOINT_COUNT_MAX)) {
      const { addresses } = reader.object(item, 'endpoints[]');
      for (const one of reader.list(addresses, 'endpoints[].addresses', ADDRESS_COUNT_MAX)) {
        const ip = reader.ip(one, 'endpoints[].addresses[]');
        if (ip !== null) ips.add(ip.text);
      }
    }
  }
  return reader.decoded({
    serviceName: isForeign ? '' : (valueOfLabel(labels, SERVICE_NAME) ?? ''),
    ips: [...ips].sort().join(','),
  });
}

const SERVICE_NAME = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
/** Slices of other clusters of a mesh. */
const MESH_CONTROLLER = 'endpointslice-mesh-controller.cilium.io';
/** Those of the API. */
const ENDPOINT_COUNT_MAX = 1000;
const ADDRESS_COUNT_MAX = 100;
