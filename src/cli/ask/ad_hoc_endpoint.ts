/** An endpoint that is in no file, for questions about labels: added to those of the inventory. */

import type { IpAddress } from '../../model/address.ts';
import { parseIp } from '../../model/address.ts';
import { canonicalLabel, NAMESPACE_KEY, parseLabel } from '../../policy/labels.ts';
import { completeLabels } from '../../policy/resolve/endpoint_labels.ts';
import type { Inventory } from '../../policy/resolve/inventory.ts';

export type WithEndpoint =
  | { readonly kind: 'ok'; readonly inventory: Inventory }
  | { readonly kind: 'error'; readonly message: string };

/** Its namespace is the one that a label says, else "default". */
export function adHocName(labels: readonly string[]): string {
  return `${namespaceOf(labels)}/ad-hoc`;
}

export function withAdHocEndpoint(inventory: Inventory, texts: readonly string[]): WithEndpoint {
  const labels: string[] = [];
  for (const text of texts) {
    const label = canonicalLabel(text);
    if (label === null) return failed(`must be a label "source:key=value" (found ${text})`);
    labels.push(label);
  }
  const { endpoints, cluster } = inventory;
  const name = adHocName(texts);
  if (endpoints.some((endpoint) => endpoint.name === name)) {
    return failed(`there is an endpoint ${name} already`);
  }
  const ip = freeIp(inventory);
  if (ip === null) return failed('every address of 192.0.2.0/24 belongs to an endpoint');
  const added = {
    name,
    ips: [ip],
    labels: completeLabels(labels, { namespace: namespaceOf(texts), cluster }),
    identity: null,
    endpointId: 0,
    namedPorts: [],
    isLocal: true,
    interface: null,
    podUid: null,
  };
  return { kind: 'ok', inventory: { ...inventory, endpoints: [...endpoints, added] } };
}

function namespaceOf(labels: readonly string[]): string {
  for (const text of labels) {
    const label = parseLabel(text);
    const isNamespace = label?.key === NAMESPACE_KEY && NAMESPACE_SOURCES.has(label.source);
    if (isNamespace && label.value !== '') return label.value;
  }
  return 'default';
}

const NAMESPACE_SOURCES: ReadonlySet<string> = new Set(['k8s', 'any']);

/** Of TEST-NET-1, which hardly any endpoint has. */
function freeIp({ endpoints }: Inventory): IpAddress | null {
  const taken: ReadonlySet<string> = new Set(
    endpoints.flatMap(({ ips }) => ips.map(({ text }) => text)),
  );
  for (let last = 1; last < 255; last++) {
    const text = `192.0.2.${last}`;
    if (!taken.has(text)) return parseIp(text);
  }
  return null;
}

function failed(message: string): WithEndpoint {
  return { kind: 'error', message };
}
