/**
 * policy.networking.k8s.io ClusterNetworkPolicy (v1alpha2), as Cilium 1.20 reads it → one PolicySpec:
 * tier Admin or Baseline, ordered rules that accept, deny or pass. L3 and L4 only; HTTP rules come
 * from what the pass goes on to.
 */
import type { Direction, Protocol } from '../../../model/identity.ts';
import {
  LABEL_SOURCE_K8S,
  NAMESPACE_KEY,
  NAMESPACE_LABELS_PREFIX,
} from '../../../policy/labels.ts';
import type {
  DirectionRule,
  LabelRequirement,
  LabelSelector,
  Peer,
  PolicySpec,
  PortSelector,
  PortsRule,
} from '../../../policy/rule.ts';
import { decodePrefix, NEEDS_NODE_LABELS, selectorPeer } from '../cnp/peers.ts';
import { type DocumentContext, originOf } from '../context.ts';
import { DIFFERENCE_TEXTS, tell } from '../differences.ts';
import type { Field } from '../field.ts';
import { decodeSelector } from '../label_selector.ts';
import type { Fields } from '../object_reader.ts';

const PRIORITY_MAX = 1000;
const DOMAIN_MAX = 253;
const DOMAIN = /^(\*\.)?([a-z0-9]([-a-z0-9_]*[a-z0-9])?\.)*[a-z0-9]([-a-z0-9_]*[a-z0-9])?\.?$/i;
const ACTIONS = { Accept: 'allow', Deny: 'deny', Pass: 'pass' } as const;
const TIERS = { Admin: 'admin', Baseline: 'baseline' } as const;

const HAS_NAMESPACE: LabelRequirement = {
  key: `${LABEL_SOURCE_K8S}:${NAMESPACE_KEY}`,
  operator: 'exists',
  values: [],
};

export function decodeClusterNetworkPolicy(
  context: DocumentContext,
  document: Fields,
  options: { readonly root: Field; readonly isDryRun: boolean },
): PolicySpec | null {
  const { reader } = context;
  const spec = document.get('spec');
  if (spec === undefined) return reader.fail(options.root, 'spec is required');
  const fields = reader.object(spec, ['tier', 'priority', 'subject', 'ingress', 'egress']);
  const tierField = fields.get('tier');
  const tier = tierField === undefined ? null : reader.oneOf(tierField, ['Admin', 'Baseline']);
  const priorityField = fields.get('priority');
  const priority =
    priorityField === undefined ? null : reader.integer(priorityField, 0, PRIORITY_MAX);
  const subject = decodeSubject(context, spec, fields.get('subject'));
  const rules = (['ingress', 'egress'] as const).flatMap((direction) => {
    const list = fields.get(direction);
    return list === undefined
      ? []
      : reader.list(list).flatMap((item) => decodeRule(context, item, direction) ?? []);
  });
  if (tierField === undefined) reader.fail(spec, 'tier is required');
  else if (tier === 'Baseline') tell(context, tierField, DIFFERENCE_TEXTS.baseline);
  if (priorityField === undefined) reader.fail(spec, 'priority is required');
  if (tier === null || priority === null || subject === null) return null;
  return {
    origin: originOf(context, spec),
    namespace: null,
    isDryRun: options.isDryRun,
    subject: { kind: 'endpoints', selector: subject },
    tier: TIERS[tier],
    priority,
    // Tiers say nothing about traffic that none of their rules names.
    enableDefaultDeny: { ingress: false, egress: false },
    rules,
  };
}

function decodeSubject(
  context: DocumentContext,
  spec: Field,
  field: Field | undefined,
): LabelSelector | null {
  if (field === undefined) return context.reader.fail(spec, 'subject is required');
  return decodePodsOrNamespaces(
    context,
    field,
    context.reader.object(field, ['namespaces', 'pods']),
  );
}

function decodePodsOrNamespaces(
  context: DocumentContext,
  field: Field,
  fields: Fields,
): LabelSelector | null {
  const { reader } = context;
  const namespaces = fields.get('namespaces');
  const pods = fields.get('pods');
  if ((namespaces === undefined) === (pods === undefined)) {
    return reader.fail(field, 'exactly one of namespaces and pods must be given');
  }
  if (namespaces !== undefined) return namespaceSelector(decodeSelector(context, namespaces));
  const parts = reader.object(pods as Field, ['namespaceSelector', 'podSelector']);
  const namespaceField = parts.get('namespaceSelector');
  const podField = parts.get('podSelector');
  const inNamespace =
    namespaceField === undefined ? { requirements: [] } : decodeSelector(context, namespaceField);
  const ofPod = podField === undefined ? { requirements: [] } : decodeSelector(context, podField);
  const isReserved = ofPod.requirements.some(({ key }) => key.startsWith('reserved:'));
  if (isReserved) return ofPod;
  return {
    requirements: [...namespaceSelector(inNamespace).requirements, ...ofPod.requirements],
  };
}

/** Labels of a namespace stand on its pods with a prefix. */
function namespaceSelector({ requirements }: LabelSelector): LabelSelector {
  return {
    requirements: [
      HAS_NAMESPACE,
      ...requirements.map((requirement) => ({
        ...requirement,
        key: `${LABEL_SOURCE_K8S}:${NAMESPACE_LABELS_PREFIX}${requirement.key.replace(/^any:/, '')}`,
      })),
    ],
  };
}

function decodeRule(
  context: DocumentContext,
  field: Field,
  direction: Direction,
): DirectionRule | null {
  const { reader } = context;
  const peerName = direction === 'ingress' ? 'from' : 'to';
  const fields = reader.object(field, ['name', 'action', peerName, 'protocols']);
  const actionField = fields.get('action');
  if (actionField === undefined) return reader.fail(field, 'action is required');
  const action = reader.oneOf(actionField, ['Accept', 'Deny', 'Pass']);
  const name = fields.get('name');
  if (name !== undefined) reader.text(name);
  const peersField = fields.get(peerName);
  if (peersField === undefined) return reader.fail(field, `${peerName} is required`);
  if (action === null) return null;
  const peers = someItems(context, peersField).flatMap((item) =>
    decodePeer(context, item, { direction, action }),
  );
  const protocols = fields.get('protocols');
  const ports = protocols === undefined ? null : decodeProtocols(context, protocols);
  return {
    origin: originOf(context, field),
    direction,
    action: ACTIONS[action],
    peers,
    ports,
    hasIcmps: false,
  };
}

/** The API asks for at least one item; an empty list would read as all or as none. */
function someItems(context: DocumentContext, field: Field): readonly Field[] {
  const items = context.reader.list(field);
  if (items.length === 0) context.reader.fail(field, 'must have at least one item');
  return items;
}

function decodePeer(
  context: DocumentContext,
  field: Field,
  rule: { readonly direction: Direction; readonly action: string },
): Peer[] {
  const { reader } = context;
  const { direction, action } = rule;
  const known =
    direction === 'ingress'
      ? ['namespaces', 'pods']
      : ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'];
  const fields = reader.object(field, known);
  if (fields.size !== 1) {
    reader.fail(field, `exactly one of ${known.join(', ')} must be given`);
    return [];
  }
  const networks = fields.get('networks');
  if (networks !== undefined) {
    return someItems(context, networks).flatMap((item) => {
      const prefix = decodePrefix(context, item, { allowBare: false });
      return prefix === null ? [] : [{ kind: 'cidr' as const, prefix, except: [] }];
    });
  }
  const names = fields.get('domainNames');
  if (names !== undefined) {
    if (action !== 'Accept')
      reader.fail(names, 'names can be accepted only (allowed: action Accept)');
    return someItems(context, names).flatMap((item) => domainPeer(context, item) ?? []);
  }
  const nodes = fields.get('nodes');
  if (nodes !== undefined && context.options.hasNodeLabels !== true) {
    return reader.fail(nodes, NEEDS_NODE_LABELS) ?? [];
  }
  if (nodes !== undefined) {
    // The agent selects reserved:host beside reserved:remote-node here, other than for toNodes.
    return [{ kind: 'nodes', selector: decodeSelector(context, nodes), hasHost: true }];
  }
  const selector = decodePodsOrNamespaces(context, field, fields);
  return selector === null ? [] : [selectorPeer(selector)];
}

/** "*.example.com" stands for one or more labels in the Kubernetes API, as "**." does in Cilium. */
function domainPeer(context: DocumentContext, field: Field): Peer | null {
  const name = context.reader.text(field);
  if (name === null) return null;
  if (name.length > DOMAIN_MAX || !DOMAIN.test(name)) {
    return context.reader.fail(
      field,
      `is no domain name (found ${field.shown}; allowed: such as example.com or *.example.com)`,
    );
  }
  if (!name.includes('*')) return { kind: 'fqdn', matchName: name, matchPattern: null };
  return { kind: 'fqdn', matchName: null, matchPattern: name.replace(/^\*\./, '**.') };
}

function decodeProtocols(context: DocumentContext, field: Field): readonly PortsRule[] {
  const { reader } = context;
  return someItems(context, field).map((item) => {
    const fields = reader.object(item, ['tcp', 'udp', 'sctp', 'destinationNamedPort']);
    if (fields.size !== 1) {
      reader.fail(item, 'exactly one of tcp, udp, sctp and destinationNamedPort must be given');
    }
    const selectors = [...fields].flatMap(([name, value]) => decodeProtocol(context, name, value));
    return {
      origin: originOf(context, item),
      ports: selectors,
      serverNames: [],
      listener: null,
      isTlsTerminated: false,
      isTlsOriginated: false,
      l7: { kind: 'none' },
    };
  });
}

function decodeProtocol(context: DocumentContext, name: string, field: Field): PortSelector[] {
  const { reader } = context;
  if (name === 'destinationNamedPort') {
    const text = reader.text(field);
    if (text === '') return reader.fail(field, 'must not be empty') ?? [];
    return text === null
      ? []
      : [{ port: 0, endPort: 0, name: text.toLowerCase(), protocols: ['TCP', 'UDP', 'SCTP'] }];
  }
  const protocols: readonly Protocol[] = [name.toUpperCase() as Protocol];
  const destination = reader.object(field, ['destinationPort']).get('destinationPort');
  if (destination === undefined) return [{ port: 0, endPort: 0, name: null, protocols }];
  const fields = reader.object(destination, ['number', 'range']);
  const number = fields.get('number');
  if (fields.size > 1) reader.fail(destination, 'number and range exclude each other');
  if (number !== undefined) {
    const port = reader.integer(number, 1, 65_535);
    return port === null ? [] : [{ port, endPort: port, name: null, protocols }];
  }
  const range = fields.get('range');
  if (range === undefined) return reader.fail(destination, 'number or range is required') ?? [];
  const ends = reader.object(range, ['start', 'end']);
  const startField = ends.get('start');
  const endField = ends.get('end');
  if (startField === undefined || endField === undefined) {
    return reader.fail(range, 'start and end are required') ?? [];
  }
  const port = reader.integer(startField, 1, 65_535);
  const endPort = reader.integer(endField, 1, 65_535);
  if (port === null || endPort === null) return [];
  if (endPort < port) return reader.fail(endField, `must not be less than start ${port}`) ?? [];
  return [{ port, endPort, name: null, protocols }];
}
