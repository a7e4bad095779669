/** A Pod, as far as policy needs it. */
import type { IpAddress } from '../../../model/address.ts';
import { PROTOCOLS, type Protocol } from '../../../model/identity.ts';
import { compareText } from '../../../policy/labels.ts';
import type { NamedPort } from '../../../policy/resolve/inventory.ts';
import { type Decoded, FactReader, type FactsName, type Labels, uniqueIps } from './fact_reader.ts';

export interface PodFacts {
  readonly labels: Labels;
  /** "": none. */
  readonly serviceAccount: string;
  /** "": not on a node yet. */
  readonly nodeName: string;
  readonly isHostNetwork: boolean;
  /** Succeeded or Failed: its addresses may be another pod's already, long before it is deleted. */
  readonly isFinished: boolean;
  /** It is being deleted, and runs until it is gone. */
  readonly isTerminating: boolean;
  /** Of a pod from a file of its node, which the kubelet knows by another UID than the API does. */
  readonly staticUid: string | null;
  /** Seconds since the epoch; 0: not told. */
  readonly createdS: number;
  /** Sorted, each once. */
  readonly ips: readonly IpAddress[];
  readonly namedPorts: readonly NamedPort[];
}

export function decodePod(object: unknown, name: FactsName): Decoded<PodFacts> {
  const reader = new FactReader('Pod', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const spec = reader.object(root['spec'], 'spec');
  const status = reader.object(root['status'], 'status');
  const phase = reader.text(status['phase'], 'status.phase');
  return reader.decoded({
    labels: reader.labels(metadata['labels'], 'metadata.labels'),
    serviceAccount: reader.text(spec['serviceAccountName'], 'spec.serviceAccountName'),
    nodeName: reader.text(spec['nodeName'], 'spec.nodeName'),
    isHostNetwork: reader.boolean(spec['hostNetwork'], 'spec.hostNetwork'),
    isFinished: phase === 'Succeeded' || phase === 'Failed',
    isTerminating: isPresent(metadata['deletionTimestamp']),
    staticUid: staticUid(reader, metadata),
    createdS: secondsOf(reader, metadata['creationTimestamp']),
    ips: podIps(reader, status),
    namedPorts: namedPortsOf(reader, spec),
  });
}

/** Addresses of a pod whose other facts cannot be read: nobody else is to be found there. */
export function readablePodIps(object: unknown, name: FactsName): readonly IpAddress[] {
  const reader = new FactReader('Pod', name);
  return podIps(reader, reader.object(reader.object(object, '')['status'], 'status'));
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/**
 * Anybody may write the annotation into a pod of his own. As the hash of a file looks unlike the UID of any other pod,
 * he cannot name one of those.
 */
function staticUid(reader: FactReader, metadata: Readonly<Record<string, unknown>>): string | null {
  const annotations = reader.object(metadata['annotations'], 'metadata.annotations');
  const hash = annotations['kubernetes.io/config.mirror'];
  return typeof hash === 'string' && /^[0-9a-f]{32}$/.test(hash) ? hash : null;
}

export function secondsOf(reader: FactReader, value: unknown): number {
  const text = reader.text(value, 'metadata.creationTimestamp');
  const ms = text === '' ? 0 : Date.parse(text);
  return Number.isFinite(ms) ? Math.floor(ms / 1000) : 0;
}

function podIps(
  reader: FactReader,
  status: Readonly<Record<string, unknown>>,
): readonly IpAddress[] {
  const ips = [reader.ip(status['podIP'], 'status.podIP')];
  for (const item of reader.list(status['podIPs'], 'status.podIPs', POD_IP_COUNT_MAX)) {
    ips.push(reader.ip(reader.object(item, 'status.podIPs[]')['ip'], 'status.podIPs[].ip'));
  }
  return uniqueIps(ips.filter((ip) => ip !== null));
}

/**
 * Of containers, and of init containers that run as long as the pod does. One name is one port, and of two containers
 * with one name the later one counts, as in the agent (AddPort).
 */
function namedPortsOf(
  reader: FactReader,
  spec: Readonly<Record<string, unknown>>,
): readonly NamedPort[] {
  const ports = new Map<string, NamedPort>();
  for (const field of ['initContainers', 'containers'] as const) {
    const path = `spec.${field}`;
    for (const item of reader.list(spec[field], path, CONTAINER_COUNT_MAX)) {
      const container = reader.object(item, `${path}[]`);
      if (field === 'initContainers' && container['restartPolicy'] !== 'Always') continue;
      for (const one of reader.list(container['ports'], `${path}[].ports`, PORT_COUNT_MAX)) {
        const port = namedPort(reader, one, `${path}[].ports[]`);
        if (port !== null) ports.set(port.name, port);
      }
    }
  }
  return [...ports.values()].sort((a, b) => compareText(a.name, b.name));
}

function namedPort(reader: FactReader, value: unknown, path: string): NamedPort | null {
  const fields = reader.object(value, path);
  const name = reader.text(fields['name'], `${path}.name`).toLowerCase();
  if (name === '') return null;
  const port = reader.integer(fields['containerPort'], `${path}.containerPort`, PORTS);
  return port === null ? null : { name, port, protocol: protocolOf(reader, fields, path) };
}

/** TCP when it is absent. */
export function protocolOf(
  reader: FactReader,
  fields: Readonly<Record<string, unknown>>,
  path: string,
): Protocol {
  const text = reader.text(fields['protocol'], `${path}.protocol`);
  if (text === '') return 'TCP';
  const protocol = PROTOCOLS.find((known) => known === text);
  if (protocol === undefined) {
    reader.fail(`${path}.protocol`, `must be one of ${PROTOCOLS.join(', ')}`);
  }
  return protocol ?? 'TCP';
}

const PORTS = { min: 1, max: 0xffff } as const;
/** The API allows one of each family. */
const POD_IP_COUNT_MAX = 16;
const CONTAINER_COUNT_MAX = 1000;
const PORT_COUNT_MAX = 1000;
