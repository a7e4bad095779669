/** Services: whom they stand for, and what clients dial to reach those. */

import { type IpAddress, type IpText, parseIp, parsePrefix } from '../../../model/address.ts';
import type { Port } from '../../../model/identity.ts';
import type { ServicePort, ServiceSpec } from '../../../model/service_spec.ts';
import { k8sLabel, LABEL_SOURCE_K8S, NAMESPACE_KEY, sortedLabels } from '../../../policy/labels.ts';
import type { LabelSelector } from '../../../policy/rule.ts';
import { type Decoded, FactReader, type FactsName, type Labels } from './fact_reader.ts';
import { protocolOf, secondsOf } from './pod.ts';

export interface ServiceFacts {
  /** Canonical. */
  readonly labels: readonly string[];
  /** In its own namespace; null: it selects nobody, and whoever made its slices says what is behind it. */
  readonly selector: LabelSelector | null;
  /** Null: nobody translates its addresses, or somebody else does. */
  readonly spec: ServiceSpec | null;
}

type Fields = Readonly<Record<string, unknown>>;

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
  const isTranslated =
    reader.text(spec['type'], 'spec.type') !== 'ExternalName' && !isLeftAlone(labels);
  return reader.decoded({
    labels: sortedLabels(labels.map(([key, value]) => k8sLabel(key, value))),
    selector: selected.length === 0 ? null : { requirements },
    spec: isTranslated ? specOf(reader, { metadata, spec, status: root['status'] }) : null,
  });
}

/** Those that kube-proxy does not watch: of another proxy, and headless ones. Their slices have the label, too. */
export function isLeftAlone(labels: Labels): boolean {
  return labels.some(([key]) => key === SERVICE_PROXY_NAME || key === HEADLESS);
}

interface Parts {
  readonly metadata: Fields;
  readonly spec: Fields;
  readonly status: unknown;
}

/** Null: it has no address of its own (headless, or none is given yet). */
function specOf(reader: FactReader, { metadata, spec, status }: Parts): ServiceSpec | null {
  const clusterIps = clusterIpsOf(reader, spec);
  if (clusterIps === null) return null;
  const type = reader.text(spec['type'], 'spec.type');
  const externalIps = validIps(reader, spec['externalIPs'], 'spec.externalIPs');
  const isExternal = type === 'LoadBalancer' || type === 'NodePort' || externalIps.length > 0;
  const annotations = reader.object(metadata['annotations'], 'metadata.annotations');
  const loadBalancers = loadBalancerIps(reader, spec, status);
  const ports = reader
    .list(spec['ports'], 'spec.ports', PORT_COUNT_MAX)
    .flatMap((item) => portOf(reader, reader.object(item, 'spec.ports[]')) ?? []);
  const addressCount = clusterIps.length + externalIps.length + loadBalancers.length;
  if (addressCount * ports.length > DIALLED_COUNT_MAX) {
    const all = `${addressCount} addresses with ${ports.length} ports each`;
    reader.fail('spec.ports', `${all} are too many (allowed: ${DIALLED_COUNT_MAX} pairs)`);
  }
  return {
    createdS: secondsOf(reader, metadata['creationTimestamp']),
    clusterIps,
    externalIps,
    loadBalancerIps: loadBalancers,
    ports,
    affinityS: affinityOf(reader, spec),
    isInternalLocal:
      reader.text(spec['internalTrafficPolicy'], 'spec.internalTrafficPolicy') === 'Local',
    isExternalLocal:
      isExternal &&
      reader.text(spec['externalTrafficPolicy'], 'spec.externalTrafficPolicy') === 'Local',
    isConsistentlyHashed: annotations[LB_ALGORITHM] === 'maglev',
  };
}

/** By the families that the Service names, as kube-proxy takes them (GetClusterIPByFamily). */
function clusterIpsOf(reader: FactReader, spec: Fields): readonly IpText[] | null {
  const first = reader.text(spec['clusterIP'], 'spec.clusterIP');
  if (first === '' || first === HEADLESS_IP) return null;
  const families = reader.list(spec['ipFamilies'], 'spec.ipFamilies', FAMILY_COUNT_MAX);
  const listed = reader.list(spec['clusterIPs'], 'spec.clusterIPs', FAMILY_COUNT_MAX);
  const all = families.length === 0 ? [first] : listed.slice(0, families.length);
  const ips: IpAddress[] = [];
  for (const item of all) {
    const ip = reader.ip(item, 'spec.clusterIPs[]');
    if (ip !== null && !ips.some(({ family }) => family === ip.family)) ips.push(ip);
  }
  return ips.map(({ text }) => text);
}

function portOf(reader: FactReader, fields: Fields): ServicePort | null {
  const port = reader.integer(fields['port'], 'spec.ports[].port', PORTS);
  if (port === null) return null;
  const target = fields['targetPort'];
  return {
    name: reader.text(fields['name'], 'spec.ports[].name'),
    protocol: protocolOf(reader, fields, 'spec.ports[]'),
    port: port as Port,
    // 0: none is wanted.
    nodePort: (reader.integer(fields['nodePort'], 'spec.ports[].nodePort', NODE_PORTS) ||
      null) as Port | null,
    targetPort:
      typeof target === 'string'
        ? reader.text(target, 'spec.ports[].targetPort')
        : ((reader.integer(target, 'spec.ports[].targetPort', NODE_PORTS) || port) as Port),
  };
}

/** A load balancer that is a proxy of its own (`ipMode: Proxy`) is to be asked; the address of any other stays in packets. */
function loadBalancerIps(reader: FactReader, spec: Fields, value: unknown): readonly IpText[] {
  const status = reader.object(value, 'status');
  const loadBalancer = reader.object(status['loadBalancer'], 'status.loadBalancer');
  const field = 'status.loadBalancer.ingress';
  const ips = reader
    .list(loadBalancer['ingress'], field, ADDRESS_COUNT_MAX)
    .flatMap((item): readonly unknown[] => {
      const { ip, ipMode } = reader.object(item, `${field}[]`);
      return ipMode === undefined || ipMode === null || ipMode === 'VIP' ? [ip] : [];
    });
  const restricted = restrictedFamilies(reader, spec);
  return validIps(reader, ips, field).filter((text) => !restricted.has(familyOf(text)));
}

/**
 * Whose load balancer takes connections from some clients only. That is asked where the node translates, by the
 * client's address, so such an address is left to it.
 */
function restrictedFamilies(reader: FactReader, spec: Fields): ReadonlySet<4 | 6> {
  const field = 'spec.loadBalancerSourceRanges';
  const prefixes = reader.list(spec['loadBalancerSourceRanges'], field, RANGE_COUNT_MAX).flatMap(
    (item) =>
      // The API takes spaces around them.
      parsePrefix(reader.text(item, `${field}[]`).trim(), {
        allowBare: false,
        allowHostBits: true,
      }) ?? [],
  );
  return new Set(
    ([4, 6] as const).filter((family) => {
      const own = prefixes.filter(({ address }) => address.family === family);
      return own.length > 0 && own.every(({ length }) => length > 0);
    }),
  );
}

function affinityOf(reader: FactReader, spec: Fields): number | null {
  if (reader.text(spec['sessionAffinity'], 'spec.sessionAffinity') !== 'ClientIP') return null;
  const config = reader.object(spec['sessionAffinityConfig'], 'spec.sessionAffinityConfig');
  const field = 'spec.sessionAffinityConfig.clientIP';
  const { timeoutSeconds } = reader.object(config['clientIP'], field);
  return (
    reader.integer(timeoutSeconds, `${field}.timeoutSeconds`, AFFINITY_S) ?? AFFINITY_DEFAULT_S
  );
}

/** Those that are none are left out, as the API did not always check them. */
function validIps(reader: FactReader, value: unknown, field: string): readonly IpText[] {
  const ips = reader
    .list(value, field, ADDRESS_COUNT_MAX)
    .flatMap((item) => parseIp(reader.text(item, `${field}[]`)) ?? []);
  return [...new Set(ips.map(({ text }) => text))];
}

function familyOf(ip: IpText): 4 | 6 {
  return ip.includes(':') ? 6 : 4;
}

const SERVICE_PROXY_NAME = 'service.kubernetes.io/service-proxy-name';
const HEADLESS = 'service.kubernetes.io/headless';
const HEADLESS_IP = 'None';
/** Of Cilium: how a backend is chosen. */
const LB_ALGORITHM = 'service.cilium.io/lb-algorithm';
const PORTS = { min: 1, max: 0xffff } as const;
const NODE_PORTS = { min: 0, max: 0xffff } as const;
/** Those of the API. */
const AFFINITY_S = { min: 1, max: 86_400 } as const;
const AFFINITY_DEFAULT_S = 10_800;
/** The API has one of each. */
const FAMILY_COUNT_MAX = 16;
/** The API has no bound but the size of an object. */
const PORT_COUNT_MAX = 1000;
const ADDRESS_COUNT_MAX = 1000;
const RANGE_COUNT_MAX = 10_000;
/** Each is kept on each node: an object of 100 kB could ask for a million of them. */
const DIALLED_COUNT_MAX = 10_000;
