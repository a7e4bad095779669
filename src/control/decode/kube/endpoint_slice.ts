/** EndpointSlices: what is behind a Service. */

import type { IpText } from '../../../model/address.ts';
import type { Port } from '../../../model/identity.ts';
import type { ServiceSlice, SliceEndpoint, SlicePort } from '../../../model/service_spec.ts';
import { type Decoded, FactReader, type FactsName, valueOfLabel } from './fact_reader.ts';
import { protocolOf } from './pod.ts';
import { isLeftAlone } from './service.ts';

export interface EndpointSliceFacts {
  /** In the slice's namespace; "": of no service. */
  readonly serviceName: string;
  /** For `toServices`: canonical texts of addresses, joined by commas; few are ever asked for, and there are many. */
  readonly ips: string;
  /** Null: nobody is sent to these. */
  readonly slice: ServiceSlice | null;
}

type Fields = Readonly<Record<string, unknown>>;

export function decodeEndpointSlice(object: unknown, name: FactsName): Decoded<EndpointSliceFacts> {
  const reader = new FactReader('EndpointSlice', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const labels = reader.labels(metadata['labels'], 'metadata.labels');
  const isOfMesh = valueOfLabel(labels, MANAGED_BY) === MESH_CONTROLLER;
  const type = reader.text(root['addressType'], 'addressType');
  const ips = new Set<IpText>();
  const endpoints: SliceEndpoint[] = [];
  if (type === 'IPv4' || type === 'IPv6') {
    for (const item of reader.list(root['endpoints'], 'endpoints', ENDPOINT_COUNT_MAX)) {
      const fields = reader.object(item, 'endpoints[]');
      const own = addressesOf(reader, fields);
      for (const ip of own) ips.add(ip);
      const endpoint = endpointOf(reader, fields, own);
      if (endpoint !== null) endpoints.push(endpoint);
    }
  }
  const family = type === 'IPv6' ? 6 : 4;
  const ports = portsOf(reader, root);
  return reader.decoded({
    serviceName: valueOfLabel(labels, SERVICE_NAME) ?? '',
    // Cilium's own agent leaves out those of other clusters here.
    ips: isOfMesh ? '' : [...ips].sort().join(','),
    slice: isLeftAlone(labels) ? null : { family, ports, endpoints },
  });
}

function addressesOf(reader: FactReader, { addresses }: Fields): readonly IpText[] {
  return reader
    .list(addresses, 'endpoints[].addresses', ADDRESS_COUNT_MAX)
    .flatMap((one) => reader.ip(one, 'endpoints[].addresses[]')?.text ?? []);
}

/** Its first address counts: whoever makes slices may write no other with a meaning of its own. */
function endpointOf(
  reader: FactReader,
  fields: Fields,
  [ip]: readonly IpText[],
): SliceEndpoint | null {
  const conditions = reader.object(fields['conditions'], 'endpoints[].conditions');
  const hints = reader.object(fields['hints'], 'endpoints[].hints');
  const condition = (name: string, absent: boolean): boolean => {
    const value = conditions[name];
    if (value === undefined || value === null) return absent;
    return reader.boolean(value, `endpoints[].conditions.${name}`);
  };
  const endpoint = {
    node: reader.text(fields['nodeName'], 'endpoints[].nodeName'),
    isReady: condition('ready', true),
    isServing: condition('serving', true),
    isTerminating: condition('terminating', false),
    zones: namesOf(reader, hints, 'forZones'),
    nodes: namesOf(reader, hints, 'forNodes'),
  };
  return ip === undefined ? null : { ip, ...endpoint };
}

function namesOf(reader: FactReader, hints: Fields, name: string): readonly string[] {
  const field = `endpoints[].hints.${name}`;
  const items = reader.list(hints[name], field, HINT_COUNT_MAX);
  if (items.length === 0) return NO_HINTS;
  return items.map((item) =>
    reader.text(reader.object(item, `${field}[]`)['name'], `${field}[].name`),
  );
}

/** One without a number stands for all ports, which no Service can ask for. */
function portsOf(reader: FactReader, root: Fields): readonly SlicePort[] {
  return reader
    .list(root['ports'], 'ports', PORT_COUNT_MAX)
    .flatMap((item): readonly SlicePort[] => {
      const fields = reader.object(item, 'ports[]');
      const port = reader.integer(fields['port'], 'ports[].port', PORTS);
      const name = reader.text(fields['name'], 'ports[].name');
      const protocol = protocolOf(reader, fields, 'ports[]');
      return port === null || port === 0 ? [] : [{ name, protocol, port: port as Port }];
    });
}

const SERVICE_NAME = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
/** Slices of other clusters of a mesh. */
const MESH_CONTROLLER = 'endpointslice-mesh-controller.cilium.io';
const NO_HINTS: readonly string[] = Object.freeze([]);
const PORTS = { min: 0, max: 0xffff } as const;
/** Those of the API. */
const ENDPOINT_COUNT_MAX = 1000;
const ADDRESS_COUNT_MAX = 100;
const PORT_COUNT_MAX = 20_000;
const HINT_COUNT_MAX = 1000;
