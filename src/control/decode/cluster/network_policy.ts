/**
 * NetworkPolicy (networking.k8s.io/v1) → PolicySpec, as Cilium's agent translates it (pkg/k8s/network_policy.go),
 * and refused for what the API server refuses it for (pkg/apis/networking/validation). It stands in the normal tier
 * beside CiliumNetworkPolicies: what any of them allows is allowed.
 */
import { prefixContains } from '../../../model/address.ts';
import type { Direction, Protocol } from '../../../model/identity.ts';
import { PROTOCOLS } from '../../../model/identity.ts';
import {
  LABEL_SOURCE_K8S,
  NAMESPACE_KEY,
  NAMESPACE_LABELS_PREFIX,
} from '../../../policy/labels.ts';
import type {
  DirectionRule,
  LabelRequirement,
  Peer,
  PolicySpec,
  PortSelector,
  PortsRule,
} from '../../../policy/rule.ts';
import { decodePrefix, selectorPeer } from '../cnp/peers.ts';
import { type DocumentContext, originOf } from '../context.ts';
import type { Field } from '../field.ts';
import { decodeBuiltInSelector, type SelectorParts } from '../label_selector.ts';
import type { Fields } from '../object_reader.ts';

const SPEC_FIELDS = ['podSelector', 'ingress', 'egress', 'policyTypes'] as const;
const POLICY_TYPES = { ingress: 'Ingress', egress: 'Egress' } as const;
const POLICY_TYPE_COUNT_MAX = 2;
const KEY_PREFIX = `${LABEL_SOURCE_K8S}:`;
const NAMESPACE_LABEL = `${KEY_PREFIX}${NAMESPACE_KEY}`;
/** What is not said is anybody. */
const ANY_PEER: readonly Peer[] = [{ kind: 'entity', entity: 'all' }];

/** `context.namespace` is the policy's own. */
export function decodeNetworkPolicy(
  context: DocumentContext,
  document: Fields,
  options: { readonly root: Field; readonly isDryRun: boolean },
): PolicySpec {
  const { reader } = context;
  const spec = document.get('spec');
  const fields: Fields = spec === undefined ? new Map() : reader.object(spec, SPEC_FIELDS);
  const place = spec ?? options.root;
  const podSelector = fields.get('podSelector');
  const types = decodePolicyTypes(context, fields.get('policyTypes'));
  const written = (['ingress', 'egress'] as const).flatMap((direction) =>
    decodeRules(context, fields.get(direction), { direction, types }),
  );
  const rules = [...written, ...isolatingRules(context, place, { types, written })];
  const has = (direction: Direction): boolean => rules.some((rule) => rule.direction === direction);
  return {
    origin: originOf(context, place),
    namespace: context.namespace,
    isDryRun: options.isDryRun,
    subject: { kind: 'endpoints', selector: { requirements: ownPods(context, podSelector) } },
    tier: 'normal',
    priority: 0,
    enableDefaultDeny: { ingress: has('ingress'), egress: has('egress') },
    rules,
  };
}

type PolicyTypes = ReadonlySet<string>;

function decodePolicyTypes(context: DocumentContext, field: Field | undefined): PolicyTypes {
  if (field === undefined) return new Set();
  const { reader } = context;
  const items = reader.list(field);
  if (items.length > POLICY_TYPE_COUNT_MAX) {
    reader.fail(field, `has more than ${POLICY_TYPE_COUNT_MAX} items (found ${items.length})`);
  }
  return new Set(items.flatMap((item) => reader.oneOf(item, Object.values(POLICY_TYPES)) ?? []));
}

interface RulesOptions {
  readonly direction: Direction;
  readonly types: PolicyTypes;
}

function decodeRules(
  context: DocumentContext,
  field: Field | undefined,
  { direction, types }: RulesOptions,
): readonly DirectionRule[] {
  if (field === undefined) return [];
  const { reader } = context;
  const items = reader.list(field);
  const type = POLICY_TYPES[direction];
  // What is not named is added by the API server: Egress when there are egress rules, Ingress always.
  if (items.length > 0 && types.size > 0 && !types.has(type)) {
    reader.warn(
      field,
      `policyTypes does not name ${type}: Kubernetes says that these rules are ignored then, and Cilium enforces them all the same, as is done here`,
    );
  }
  return items.map((item) => decodeRule(context, item, direction));
}

/**
 * A direction that is isolated and has no rules allows nothing: an element without peers and ports only switches
 * default deny on. Ingress is isolated unless policyTypes names Egress alone.
 */
function isolatingRules(
  context: DocumentContext,
  place: Field,
  policy: { readonly types: PolicyTypes; readonly written: readonly DirectionRule[] },
): readonly DirectionRule[] {
  const { types, written } = policy;
  const isIsolated = {
    ingress: types.has(POLICY_TYPES.ingress) || !types.has(POLICY_TYPES.egress),
    egress: types.has(POLICY_TYPES.egress),
  };
  return (['ingress', 'egress'] as const)
    .filter((one) => isIsolated[one] && !written.some(({ direction }) => direction === one))
    .map((direction) => ({
      origin: originOf(context, place),
      direction,
      action: 'allow',
      peers: null,
      ports: null,
      hasIcmps: false,
    }));
}

function decodeRule(context: DocumentContext, field: Field, direction: Direction): DirectionRule {
  const peerName = direction === 'ingress' ? 'from' : 'to';
  const fields = structFields(context, field, [peerName, 'ports']);
  const peersField = fields.get(peerName);
  const peerItems = peersField === undefined ? [] : context.reader.list(peersField);
  const portsField = fields.get('ports');
  const ports = portsField === undefined ? [] : context.reader.list(portsField);
  return {
    origin: originOf(context, field),
    direction,
    action: 'allow',
    peers:
      peerItems.length === 0
        ? ANY_PEER
        : peerItems.flatMap((item) => decodePeer(context, item) ?? []),
    ports: ports.length === 0 ? null : ports.map((item) => decodePort(context, item)),
    hasIcmps: false,
  };
}

/** A null in a list is a struct without anything in it, as Go reads it. */
function structFields(context: DocumentContext, field: Field, known: readonly string[]): Fields {
  if (!field.isEmpty) return context.reader.object(field, known);
  context.reader.warn(
    field,
    'has no value and so says nothing, as the API server reads it: it restricts nothing',
    'null-pruned',
  );
  return new Map();
}

function decodePeer(context: DocumentContext, field: Field): Peer | null {
  const { reader } = context;
  const fields = structFields(context, field, ['podSelector', 'namespaceSelector', 'ipBlock']);
  const block = fields.get('ipBlock');
  if (fields.size === 0) {
    return reader.fail(
      field,
      'must name a peer (allowed: podSelector, namespaceSelector, both, or ipBlock)',
    );
  }
  if (block !== undefined) {
    return fields.size === 1
      ? decodeBlock(context, block)
      : reader.fail(block, 'ipBlock cannot stand beside another peer');
  }
  const pods = fields.get('podSelector');
  const namespaces = fields.get('namespaceSelector');
  if (namespaces === undefined) {
    return selectorPeer({ requirements: ownPods(context, pods) });
  }
  const { labels, expressions } = selectorParts(context, pods, KEY_PREFIX);
  const requirements = [...namespaceRequirements(context, namespaces), ...labels, ...expressions];
  return selectorPeer({ requirements });
}

/** Labels of a namespace stand on its pods with a prefix; none asked for is any namespace. */
function namespaceRequirements(
  context: DocumentContext,
  field: Field,
): readonly LabelRequirement[] {
  const prefix = `${KEY_PREFIX}${NAMESPACE_LABELS_PREFIX}`;
  const { labels, expressions } = selectorParts(context, field, prefix);
  if (labels.length + expressions.length > 0) return [...labels, ...expressions];
  return [{ key: NAMESPACE_LABEL, operator: 'exists', values: [] }];
}

/** Pods of the own namespace, whatever its matchLabels say of it; none asked for is all of them. */
function ownPods(context: DocumentContext, field: Field | undefined): readonly LabelRequirement[] {
  const { labels, expressions } = selectorParts(context, field, KEY_PREFIX);
  return [
    ...labels.filter(({ key }) => key !== NAMESPACE_LABEL),
    ...expressions,
    { key: NAMESPACE_LABEL, operator: 'in', values: [context.namespace ?? ''] },
  ];
}

function selectorParts(
  context: DocumentContext,
  field: Field | undefined,
  keyPrefix: string,
): SelectorParts {
  return field === undefined
    ? { labels: [], expressions: [] }
    : decodeBuiltInSelector(context, field, keyPrefix);
}

function decodeBlock(context: DocumentContext, field: Field): Peer | null {
  const { reader } = context;
  const fields = reader.object(field, ['cidr', 'except']);
  const cidr = fields.get('cidr');
  if (cidr === undefined) return reader.fail(field, 'cidr is required');
  const prefix = decodePrefix(context, cidr, { allowBare: false });
  const exceptField = fields.get('except');
  const except = (exceptField === undefined ? [] : reader.list(exceptField)).flatMap((item) => {
    const inner = decodePrefix(context, item, { allowBare: false });
    if (inner === null || prefix === null) return [];
    if (prefixContains(prefix, inner) && inner.length > prefix.length) return [inner];
    return reader.fail(item, `is not within ${prefix.text} (found ${item.shown})`) ?? [];
  });
  return prefix === null ? null : { kind: 'cidr', prefix, except };
}

function decodePort(context: DocumentContext, field: Field): PortsRule {
  const { reader } = context;
  const fields = structFields(context, field, ['protocol', 'port', 'endPort']);
  const protocolField = fields.get('protocol');
  const protocol = protocolField === undefined ? 'TCP' : reader.oneOf(protocolField, PROTOCOLS);
  const portField = fields.get('port');
  const endField = fields.get('endPort');
  const protocols: readonly Protocol[] = protocol === null ? [] : [protocol];
  const selector = decodePortNumber(context, portField, protocols);
  if (endField !== undefined) checkEndPort(context, endField, { portField, selector });
  const endPort =
    endField === undefined || typeof endField.value !== 'number' || selector.name !== null
      ? selector.endPort
      : Math.max(selector.port, endField.value);
  return {
    origin: originOf(context, field),
    ports: [{ ...selector, endPort }],
    serverNames: [],
    listener: null,
    isTlsTerminated: false,
    isTlsOriginated: false,
    l7: { kind: 'none' },
  };
}

/** A number, or the name of a port (IsValidPortName); none is every port of the protocol. */
function decodePortNumber(
  context: DocumentContext,
  field: Field | undefined,
  protocols: readonly Protocol[],
): PortSelector {
  const { reader } = context;
  if (field === undefined) return { port: 0, endPort: 0, name: null, protocols };
  if (typeof field.value !== 'string') {
    const port = reader.integer(field, 1, 65_535) ?? 0;
    return { port, endPort: port, name: null, protocols };
  }
  const isName =
    field.value.length <= 15 &&
    /^[a-z0-9](-?[a-z0-9])*$/.test(field.value) &&
    /[a-z]/.test(field.value);
  if (!isName) {
    const hint = /^[0-9]+$/.test(field.value) ? '; a number stands without quotes' : '';
    reader.fail(
      field,
      `is no port (found ${field.shown}${hint}; allowed: 1 to 65535, or a name of at most 15 lower-case letters, digits and "-" with at least one letter)`,
    );
  }
  return { port: 0, endPort: 0, name: field.value, protocols };
}

function checkEndPort(
  context: DocumentContext,
  field: Field,
  range: { readonly portField: Field | undefined; readonly selector: PortSelector },
): void {
  const { reader } = context;
  const end = reader.integer(field, 1, 65_535);
  const { port, name } = range.selector;
  if (range.portField === undefined) reader.fail(field, 'endPort needs port beside it');
  else if (name !== null) reader.fail(field, 'a named port has no range');
  else if (end !== null && end < port) {
    reader.fail(field, `must not be less than port ${port} (found ${end})`);
  }
}
