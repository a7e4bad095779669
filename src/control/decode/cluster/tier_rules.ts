/**
 * What the kinds of policy.networking.k8s.io share: a subject, and ordered rules for pods, namespaces, nodes, networks
 * and names. They differ in the words for actions and in how ports are written.
 */
import type { Direction } from '../../../model/identity.ts';
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
  PortSelector,
  PortsRule,
} from '../../../policy/rule.ts';
import { decodePrefix, NEEDS_NODE_LABELS, selectorPeer } from '../cnp/peers.ts';
import { type DocumentContext, originOf } from '../context.ts';
import type { Field } from '../field.ts';
import { decodeSelector } from '../label_selector.ts';
import type { Fields } from '../object_reader.ts';

/** How one kind writes its rules. */
export interface TierDialect {
  readonly actions: ReadonlyMap<string, DirectionRule['action']>;
  /** The one that allows. */
  readonly allowing: string;
  /** The field that says which ports a rule is about. */
  readonly portsField: 'protocols' | 'ports';
  decodePorts(context: DocumentContext, item: Field): readonly PortSelector[];
}

export const PRIORITY_MAX = 1000;

const DOMAIN_MAX = 253;
const DOMAIN = /^(\*\.)?([a-z0-9]([-a-z0-9_]*[a-z0-9])?\.)*[a-z0-9]([-a-z0-9_]*[a-z0-9])?\.?$/i;

const HAS_NAMESPACE: LabelRequirement = {
  key: `${LABEL_SOURCE_K8S}:${NAMESPACE_KEY}`,
  operator: 'exists',
  values: [],
};

export function decodeTierRules(
  context: DocumentContext,
  spec: Fields,
  dialect: TierDialect,
): readonly DirectionRule[] {
  return (['ingress', 'egress'] as const).flatMap((direction) => {
    const list = spec.get(direction);
    if (list === undefined) return [];
    return context.reader
      .list(list)
      .flatMap((item) => decodeRule(context, item, { direction, dialect }) ?? []);
  });
}

export function decodeSubject(
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
  options: { readonly direction: Direction; readonly dialect: TierDialect },
): DirectionRule | null {
  const { reader } = context;
  const { direction, dialect } = options;
  const peerName = direction === 'ingress' ? 'from' : 'to';
  const fields = reader.object(field, ['name', 'action', peerName, dialect.portsField]);
  const actionField = fields.get('action');
  if (actionField === undefined) return reader.fail(field, 'action is required');
  const action = reader.oneOf(actionField, [...dialect.actions.keys()]);
  const name = fields.get('name');
  if (name !== undefined) reader.text(name);
  const peersField = fields.get(peerName);
  if (peersField === undefined) return reader.fail(field, `${peerName} is required`);
  const does = action === null ? undefined : dialect.actions.get(action);
  if (does === undefined) return null;
  const peers = someItems(context, peersField).flatMap((item) =>
    decodePeer(context, item, { direction, does, dialect }),
  );
  const portsField = fields.get(dialect.portsField);
  const ports = portsField === undefined ? null : decodePortsRules(context, portsField, dialect);
  return {
    origin: originOf(context, field),
    direction,
    action: does,
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
  rule: {
    readonly direction: Direction;
    readonly does: DirectionRule['action'];
    readonly dialect: TierDialect;
  },
): Peer[] {
  const { reader } = context;
  const { direction, does, dialect } = rule;
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
    if (does !== 'allow') {
      reader.fail(names, `names can be accepted only (allowed: action ${dialect.allowing})`);
    }
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

function decodePortsRules(
  context: DocumentContext,
  field: Field,
  dialect: TierDialect,
): readonly PortsRule[] {
  return someItems(context, field).map((item) => ({
    origin: originOf(context, item),
    ports: dialect.decodePorts(context, item),
    serverNames: [],
    listener: null,
    isTlsTerminated: false,
    isTlsOriginated: false,
    l7: { kind: 'none' },
  }));
}
