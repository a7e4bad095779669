/**
 * The peer fields of one ingress or egress element (pkg/policy/api ingress.go, egress.go): at most one
 * kind of them may say anything. Absent is null (any remote, when there are ports), an empty list
 * selects nobody.
 */
import { type IpPrefix, parsePrefix, prefixContains } from '../../../model/address.ts';
import type { Direction } from '../../../model/identity.ts';
import { fqdnNameProblem, fqdnPatternProblem } from '../../../policy/match/fqdn_pattern.ts';
import { ENTITIES, type LabelSelector, type Peer } from '../../../policy/rule.ts';
import type { DocumentContext } from '../context.ts';
import { DIFFERENCE_TEXTS, tell } from '../differences.ts';
import type { Field } from '../field.ts';
import { decodeSelector, isOfLocalCluster, scopePeer } from '../label_selector.ts';
import type { Fields } from '../object_reader.ts';

export const PEER_FIELDS: Readonly<Record<Direction, readonly string[]>> = {
  ingress: [
    'fromEndpoints',
    'fromRequires',
    'fromCIDR',
    'fromCIDRSet',
    'fromEntities',
    'fromNodes',
    'fromGroups',
  ],
  egress: [
    'toEndpoints',
    'toRequires',
    'toCIDR',
    'toCIDRSet',
    'toEntities',
    'toServices',
    'toNodes',
    'toGroups',
    'toFQDNs',
  ],
};

export interface PeerOptions {
  readonly direction: Direction;
  readonly isDeny: boolean;
  /** The subject is reserved:init, whose peers are not scoped in a clusterwide policy. */
  readonly isInitSubject: boolean;
}

/** Null when no peer field is there. */
export function decodePeers(
  context: DocumentContext,
  fields: Fields,
  options: PeerOptions,
): readonly Peer[] | null {
  const given = PEER_FIELDS[options.direction].flatMap((name) => {
    const field = fields.get(name);
    if (field === undefined) return [];
    const items = context.reader.list(field);
    // 1.19 keeps the field, which must be empty, and then it says nothing.
    return name.endsWith('Requires') && items.length === 0 ? [] : [{ name, field, items }];
  });
  if (given.length === 0) return null;
  const peers: Peer[] = [];
  for (const { name, field, items } of given) {
    const refused = refusedField(context, name, options);
    if (refused !== null) {
      context.reader.fail(field, refused);
      continue;
    }
    if (name === 'toServices' && options.isDeny && items.length > 0) {
      tell(context, field, DIFFERENCE_TEXTS.servicesInDeny);
    }
    const itemOptions = { ...options, kind: name.replace(/^(from|to)/, '') };
    for (const item of items) {
      const peer = decodePeer(context, item, itemOptions);
      if (peer !== null) peers.push(peer);
    }
  }
  const [first, second] = given.filter(({ items }) => items.length > 0).map(({ name }) => name);
  if (first !== undefined && second !== undefined) {
    context.reader.fail(
      fields.get(second) as Field,
      `combining ${first} and ${second} is not supported yet`,
    );
  }
  return peers;
}

/** As the agent refuses it (ErrFromToNodesRequiresNodeSelectorOption); with where to say so here. */
export const NEEDS_NODE_LABELS =
  'rules on nodes are only allowed with enableNodeSelectorLabels: true in the configuration (--enable-node-selector-labels for tools), as in Cilium, where that option is off by default, too';

function refusedField(context: DocumentContext, name: string, options: PeerOptions): string | null {
  if (name.endsWith('Nodes') && context.options.hasNodeLabels !== true) return NEEDS_NODE_LABELS;
  if (name.endsWith('Requires')) {
    return `${name} is deprecated and was removed from Cilium in 1.19; add its requirements to the selectors instead`;
  }
  if (name === 'toFQDNs' && options.isDeny)
    return 'names cannot be denied (allowed: toFQDNs in egress)';
  return null;
}

/** One prefix of `except` or a CIDR list. A bare address was accepted until 1.19. */
export function decodePrefix(
  context: DocumentContext,
  field: Field,
  options: { readonly allowBare: boolean },
): IpPrefix | null {
  const text = context.reader.text(field);
  if (text === null) return null;
  const prefix = parsePrefix(text, { allowBare: options.allowBare, allowHostBits: true });
  if (prefix === null) {
    return context.reader.fail(
      field,
      `is no CIDR (found ${field.shown}; allowed: an address and a length, such as 10.0.0.0/8 or fd00::/64)`,
    );
  }
  if (!text.includes('/')) {
    context.reader.warn(
      field,
      `an address without a length is refused from Cilium 1.20 on: write ${prefix.text}`,
    );
  }
  return prefix;
}

/** Of labels, in the local cluster unless they name one. */
export function selectorPeer(selector: LabelSelector): Peer {
  return { kind: 'selector', selector, isLocalCluster: isOfLocalCluster(selector) };
}

interface OnePeerOptions extends PeerOptions {
  /** The field's name without "from" or "to". */
  readonly kind: string;
}

function decodePeer(context: DocumentContext, field: Field, options: OnePeerOptions): Peer | null {
  switch (options.kind) {
    case 'Endpoints':
      return selectorPeer(scopePeer(context, decodeSelector(context, field), options));
    case 'CIDR': {
      const prefix = decodePrefix(context, field, { allowBare: true });
      return prefix === null ? null : { kind: 'cidr', prefix, except: [] };
    }
    case 'CIDRSet':
      return decodeCidrSet(context, field);
    case 'Entities':
      return decodeEntity(context, field);
    case 'Nodes':
      return {
        kind: 'nodes',
        selector: remoteNodes(decodeSelector(context, field)),
        hasHost: false,
      };
    case 'Services':
      return decodeService(context, field);
    case 'FQDNs':
      return decodeFqdn(context, field);
    default:
      return decodeGroup(context, field);
  }
}

function decodeEntity(context: DocumentContext, field: Field): Peer | null {
  const entity = context.reader.oneOf(field, ENTITIES);
  return entity === null ? null : { kind: 'entity', entity };
}

function decodeCidrSet(context: DocumentContext, field: Field): Peer | null {
  const { reader } = context;
  const fields = reader.object(field, ['cidr', 'cidrGroupRef', 'cidrGroupSelector', 'except']);
  // An empty text is as good as none (Sanitize of CIDRRule).
  const named = ['cidr', 'cidrGroupRef', 'cidrGroupSelector'].filter(
    (name) => fields.has(name) && fields.get(name)?.value !== '',
  );
  if (named.length !== 1) {
    return reader.fail(
      field,
      `exactly one of cidr, cidrGroupRef and cidrGroupSelector must be given (found ${named.join(' and ') || 'none'})`,
    );
  }
  const exceptField = fields.get('except');
  const except = (exceptField === undefined ? [] : reader.list(exceptField)).flatMap((item) => {
    const prefix = decodePrefix(context, item, { allowBare: false });
    return prefix === null ? [] : [{ item, prefix }];
  });
  const prefixes = except.map(({ prefix }) => prefix);
  const cidr = fields.get('cidr');
  if (cidr !== undefined && named[0] === 'cidr') {
    const prefix = decodePrefix(context, cidr, { allowBare: false });
    if (prefix === null) return null;
    for (const { item, prefix: inner } of except) {
      if (!prefixContains(prefix, inner))
        reader.fail(item, `is not within ${prefix.text} (found ${item.shown})`);
    }
    return { kind: 'cidr', prefix, except: prefixes };
  }
  const ref = fields.get('cidrGroupRef');
  if (ref !== undefined && named[0] === 'cidrGroupRef') {
    const name = reader.text(ref);
    return name === null ? null : { kind: 'cidr-group', name, except: prefixes };
  }
  const selector = decodeSelector(context, fields.get('cidrGroupSelector') as Field);
  return { kind: 'cidr-group-selector', selector, except: prefixes };
}

function decodeService(context: DocumentContext, field: Field): Peer | null {
  const { reader } = context;
  const fields = reader.object(field, ['k8sService', 'k8sServiceSelector']);
  const named = fields.get('k8sService');
  const selected = fields.get('k8sServiceSelector');
  if ((named === undefined) === (selected === undefined)) {
    return reader.fail(field, 'exactly one of k8sService and k8sServiceSelector must be given');
  }
  if (named !== undefined) {
    const service = reader.object(named, ['serviceName', 'namespace']);
    return {
      kind: 'service',
      namespace: serviceNamespace(context, service),
      name: optionalText(context, service.get('serviceName')),
      selector: null,
    };
  }
  const service = reader.object(selected as Field, ['selector', 'namespace']);
  const selector = service.get('selector');
  if (selector === undefined) return reader.fail(selected as Field, 'selector is required');
  return {
    kind: 'service',
    namespace: serviceNamespace(context, service),
    name: null,
    selector: decodeSelector(context, selector),
  };
}

/** None: any namespace, not that of the policy (serviceRefMatches, serviceSelectorMatches). */
function serviceNamespace(context: DocumentContext, service: Fields): string | null {
  const namespace = optionalText(context, service.get('namespace'));
  return namespace === '' ? null : namespace;
}

function decodeFqdn(context: DocumentContext, field: Field): Peer | null {
  const { reader } = context;
  const fields = reader.object(field, ['matchName', 'matchPattern']);
  const given = [...fields].filter(([, { value }]) => value !== '').map(([name]) => name);
  if (given.length !== 1) {
    return reader.fail(
      field,
      `exactly one of matchName and matchPattern must be given (found ${given.join(' and ') || 'none'})`,
    );
  }
  const { matchName, matchPattern } = decodeNames(context, fields);
  if (matchName === null && matchPattern === null) return null;
  return { kind: 'fqdn', matchName, matchPattern };
}

/** matchName and matchPattern, each checked, empty ones as absent; shared with rules.dns. */
export function decodeNames(
  context: DocumentContext,
  fields: Fields,
): { readonly matchName: string | null; readonly matchPattern: string | null } {
  const read = (name: string, problemOf: (text: string) => string | null): string | null => {
    const field = fields.get(name);
    const text = field === undefined ? null : context.reader.text(field);
    if (field === undefined || text === null || text === '') return null;
    const problem = problemOf(text);
    return problem === null
      ? text
      : context.reader.fail(field, `${problem} (found ${field.shown})`);
  };
  return {
    matchName: read('matchName', fqdnNameProblem),
    matchPattern: read('matchPattern', fqdnPatternProblem),
  };
}

function decodeGroup(context: DocumentContext, field: Field): Peer {
  const { reader } = context;
  const fields = reader.object(field, ['aws']);
  const aws = fields.get('aws');
  if (aws === undefined) {
    reader.fail(field, 'aws is required');
  } else {
    checkAws(context, aws);
  }
  reader.warn(field, 'cloud groups cannot be looked up here: they select nobody');
  return { kind: 'group', about: 'aws' };
}

function checkAws(context: DocumentContext, field: Field): void {
  const { reader } = context;
  const known = ['labels', 'securityGroupsIds', 'securityGroupsNames', 'region'];
  for (const [name, value] of reader.object(field, known)) {
    if (name === 'region') reader.text(value);
    else if (name === 'labels') checkTexts(context, value);
    else reader.texts(value);
  }
}

/** Values of a map; one without a value is removed by the API server. */
function checkTexts(context: DocumentContext, field: Field): void {
  for (const value of context.reader.map(field).values()) {
    if (!value.isEmpty) context.reader.text(value);
  }
}

/** Node selectors select nodes only (`reserved:remote-node Exists` is added). */
function remoteNodes(selector: LabelSelector): LabelSelector {
  return {
    requirements: [
      ...selector.requirements,
      { key: 'reserved:remote-node', operator: 'exists', values: [] },
    ],
  };
}

function optionalText(context: DocumentContext, field: Field | undefined): string | null {
  return field === undefined ? null : context.reader.text(field);
}
