/** An inventory → the text of an endpoints file that decodes into it again. JSON, which is YAML. */
import type { ServiceSpec } from '../../../model/service_spec.ts';
import { NAMESPACE_KEY } from '../../../policy/labels.ts';
import type {
  Inventory,
  InventoryEndpoint,
  InventoryService,
  NamedPort,
} from '../../../policy/resolve/inventory.ts';
import type { LabelRequirement } from '../../../policy/rule.ts';

export function printEndpoints(inventory: Inventory): string {
  const { cluster, endpoints, identities, cidrs, services, listeners } = inventory;
  return JSON.stringify({
    cluster,
    endpoints: endpoints.map(endpointValue),
    identities: identities.map(({ identity, labels }) => ({ id: identity, labels })),
    cidrs: cidrs.map(({ prefix, identity, labels }) => ({
      cidr: prefix.text,
      identity: identity ?? undefined,
      labels,
    })),
    services: services.map(serviceValue),
    listeners: Object.fromEntries(listeners),
  });
}

function endpointValue(endpoint: InventoryEndpoint): object {
  const { name, ips, labels, identity, endpointId, namedPorts } = endpoint;
  return {
    name,
    ips: ips.map(({ text }) => text),
    labels,
    identity: identity ?? undefined,
    endpointId: endpointId === 0 ? undefined : endpointId,
    namedPorts: Object.fromEntries(namedPortEntries(namedPorts)),
    interface: endpoint.interface ?? undefined,
    podUid: endpoint.podUid ?? undefined,
  };
}

/** Names are compared without regard to case: one that stands for several ports is written in several ways. */
function namedPortEntries(ports: readonly NamedPort[]): readonly (readonly [string, object])[] {
  const counts = new Map<string, number>();
  return ports.map(({ name, port, protocol }) => {
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return [inCase(name, count), { port, protocol }];
  });
}

/** The letters whose bit is set are written as capitals. */
function inCase(name: string, bits: number): string {
  let rest = bits;
  return [...name]
    .map((letter) => {
      if (letter.toUpperCase() === letter) return letter;
      const isCapital = rest % 2 === 1;
      rest = Math.floor(rest / 2);
      return isCapital ? letter.toUpperCase() : letter;
    })
    .join('');
}

/** What slices say is no part of it: here endpoints are found by the selector. */
function serviceValue(service: InventoryService): object {
  const { namespace, name, labels, ips, selector, spec } = service;
  return {
    name: `${namespace}/${name}`,
    labels,
    ips: ips.map(({ text }) => text),
    ...(spec === null ? {} : dialledValue(spec)),
    endpoints:
      selector === null
        ? undefined
        : { matchExpressions: withoutScope(selector.requirements, namespace).map(expression) },
  };
}

function dialledValue(spec: ServiceSpec): object {
  return {
    clusterIPs: spec.clusterIps,
    externalIPs: spec.externalIps,
    ports: spec.ports.map(({ name, nodePort, ...port }) => ({
      ...port,
      name: name === '' ? undefined : name,
      nodePort: nodePort ?? undefined,
    })),
    sessionAffinitySeconds: spec.affinityS ?? undefined,
    consistentHashing: spec.isConsistentlyHashed,
  };
}

/** The decoder adds the service's own namespace at the end. */
function withoutScope(
  requirements: readonly LabelRequirement[],
  namespace: string,
): readonly LabelRequirement[] {
  const last = requirements.at(-1);
  const isScope = last?.key === `k8s:${NAMESPACE_KEY}` && last.values.join() === namespace;
  return isScope ? requirements.slice(0, -1) : requirements;
}

function expression({ key, operator, values }: LabelRequirement): object {
  const written = OPERATORS[operator];
  if (written === null) throw new Error(`an endpoints file cannot say ${operator}`);
  return { key, operator: written, ...(values.length === 0 ? {} : { values }) };
}

const OPERATORS: Readonly<Record<LabelRequirement['operator'], string | null>> = {
  in: 'In',
  'not-in': 'NotIn',
  exists: 'Exists',
  'does-not-exist': 'DoesNotExist',
  gt: null,
  lt: null,
};
