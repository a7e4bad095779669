/** Which objects of a kind. */
import type { KubeRequest } from '../client.ts';
import { type KubeKind, pathOf } from '../kind.ts';

export interface Selection {
  /** Absent: of all namespaces. */
  readonly namespace?: string;
  /** "app=api,tier in (a, b)". */
  readonly labelSelector?: string;
  /** "metadata.name=certs", "spec.nodeName=node-7". */
  readonly fieldSelector?: string;
}

export function requestOf(
  kind: KubeKind,
  { namespace, labelSelector, fieldSelector }: Selection,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): KubeRequest {
  const fields = new Map(Object.entries(query));
  if (labelSelector !== undefined) fields.set('labelSelector', labelSelector);
  if (fieldSelector !== undefined) fields.set('fieldSelector', fieldSelector);
  return { method: 'GET', path: pathOf(kind, namespace ?? null), query: fields, signal };
}
