/** What is behind a service of the endpoints file, as slices would say it: who it selects, or its addresses. */
import type { IpAddress } from '../../model/address.ts';
import type { Port } from '../../model/identity.ts';
import type { ServicePort, ServiceSlice, SliceEndpoint } from '../../model/service_spec.ts';
import type { InventoryEndpoint, InventoryService } from '../../policy/resolve/inventory.ts';
import { LabelSet, selectorMatches } from '../../policy/selector.ts';

/** One for each endpoint and family, as each may have other ports. */
export function selectedSlices(
  service: InventoryService,
  endpoints: readonly InventoryEndpoint[],
): readonly ServiceSlice[] {
  const { spec, selector } = service;
  if (spec === null) return [];
  if (selector === null) {
    return slicesOf(service.ips, (port) => (typeof port === 'number' ? port : null), spec.ports);
  }
  return endpoints.flatMap((endpoint) => {
    if (!selectorMatches(selector, new LabelSet(endpoint.labels))) return [];
    return slicesOf(
      endpoint.ips,
      (port, { protocol }) => portOf(endpoint, port, protocol),
      spec.ports,
    );
  });
}

type PortFinder = (target: Port | string, of: ServicePort) => Port | null;

function slicesOf(
  ips: readonly IpAddress[],
  find: PortFinder,
  all: readonly ServicePort[],
): readonly ServiceSlice[] {
  const ports = all.flatMap((one) => {
    const port = find(one.targetPort, one);
    return port === null ? [] : [{ name: one.name, protocol: one.protocol, port }];
  });
  return ([4, 6] as const).flatMap((family) => {
    const own = ips.filter((ip) => ip.family === family);
    return own.length === 0 ? [] : [{ family, ports, endpoints: own.map(readyAt) }];
  });
}

function portOf(
  { namedPorts }: InventoryEndpoint,
  target: Port | string,
  protocol: ServicePort['protocol'],
): Port | null {
  if (typeof target === 'number') return target;
  const named = namedPorts.find((one) => one.name === target && one.protocol === protocol);
  return named === undefined ? null : (named.port as Port);
}

function readyAt({ text }: IpAddress): SliceEndpoint {
  return {
    ...{ ip: text, node: '', zones: [], nodes: [] },
    ...{ isReady: true, isServing: true, isTerminating: false },
  };
}
