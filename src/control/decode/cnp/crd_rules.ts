/**
 * What the API server holds a CiliumNetworkPolicy and a CiliumClusterwideNetworkPolicy to: names and types of fields,
 * the validations of the CRD of Cilium 1.19, and as `own` what Sallyport refuses besides.
 */
import {
  atMostOneFilled,
  EXPRESSION_VALUES,
  enumOf,
  exactlyOne,
  filled,
  given,
  HEADER,
  HEADER_MATCH,
  HOST_L7,
  ICMP_TYPE,
  LABEL_KEY,
  LABEL_VALUE,
  l7Parts,
  not,
  notTogether,
  PORT,
  PORT_PARTS,
} from './crd_own.ts';
import {
  integer,
  list,
  map,
  type ObjectSchema,
  type OpenApi,
  object,
  oneOf,
  patternText,
  type Schema,
  TEXT,
  type TextSchema,
} from './crd_schema.ts';
import { PEER_FIELDS } from './peers.ts';

const NAME_MAX = 255;
const PORT_COUNT_MAX = 40;
const FIELD_COUNT_MAX = 40;
const ICMP_TYPE_MAX = 255;
const PORT_MAX = 65_535;
const LISTENER_PRIORITY_MAX = 100;

const labelValue = patternText(
  'letters, digits, "-", "_" and ".", with a letter or digit at both ends',
  /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/,
  { maxLength: LABEL_VALUE.maxLength },
);

const selector = object({
  matchLabels: map(labelValue, {
    keys: {
      pattern: LABEL_KEY.pattern,
      allowed: 'an optional source, DNS name and "/", and a name',
    },
  }),
  matchExpressions: list(
    object(
      {
        key: { ...TEXT, own: [LABEL_KEY] },
        operator: oneOf('In', 'NotIn', 'Exists', 'DoesNotExist'),
        values: list({ ...TEXT, own: [LABEL_VALUE] }),
      },
      { required: ['key', 'operator'], own: [EXPRESSION_VALUES] },
    ),
  ),
});

/** ParseCIDR: an address alone is none. */
const cidr: TextSchema = {
  kind: 'text',
  matches: (value) => value.includes('/'),
  allowed: 'an address and a length, such as 10.0.0.0/8',
  // The format takes leading zeros.
  own: [{ format: 'cidr' }, not({ pattern: '(^|[.:])0[0-9]+\\.|\\.0[0-9]+/|/0[0-9]' })],
};

const cidrSet = list(
  object(
    {
      cidr,
      cidrGroupRef: patternText(
        'the name of an object',
        /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
        { maxLength: 253 },
      ),
      cidrGroupSelector: selector,
      except: list(cidr),
    },
    { oneOf: ['cidr', 'cidrGroupRef', 'cidrGroupSelector'] },
  ),
);

const entities = list(
  oneOf(
    'all',
    'world',
    'cluster',
    'host',
    'init',
    'ingress',
    'unmanaged',
    'remote-node',
    'health',
    'none',
    'kube-apiserver',
  ),
);

/** Labels with a dot between them; a dot at the end may stand. */
const names = list(
  object(
    {
      matchName: patternText(
        'labels of letters, digits, "-" and "_"',
        /^[-a-zA-Z0-9_]+(\.[-a-zA-Z0-9_]+)*\.?$/,
        { maxLength: NAME_MAX },
      ),
      matchPattern: patternText(
        'labels of letters, digits, "-", "_" and "*"',
        /^[-a-zA-Z0-9_*]+(\.[-a-zA-Z0-9_*]+)*\.?$/,
        { maxLength: NAME_MAX },
      ),
    },
    { oneOf: ['matchName', 'matchPattern'] },
  ),
);

const serverNames = list(
  patternText(
    'labels of letters, digits, "-" and "_", after "*." or "**." if that is wanted',
    /^(\*?\*\.)?[-a-zA-Z0-9_]+(\.[-a-zA-Z0-9_]+)*\.?$/,
    { maxLength: NAME_MAX, own: [not({ pattern: '\\.$' })] },
  ),
  { min: 1, isSet: true },
);

const ports = object(
  {
    port: {
      kind: 'text',
      matches: isPort,
      allowed: 'a number or the name of a port',
      own: PORT,
    },
    protocol: oneOf('TCP', 'UDP', 'SCTP', 'VRRP', 'IGMP', 'ANY'),
    endPort: integer(0, PORT_MAX),
  },
  { own: PORT_PARTS },
);

/** The pattern holds its two halves to one end each, so that whatever begins with a digit is a port. */
function isPort(value: string): boolean {
  return /^[0-9]/.test(value) || /[a-zA-Z](-?[a-zA-Z0-9])*$/.test(value.slice(-PORT_TAIL));
}

const PORT_TAIL = 32;

const nonEmpty: TextSchema = { kind: 'text', minLength: 1 };

const secret = object(
  { name: { ...TEXT, own: [{ minLength: 1 }] }, namespace: TEXT },
  { required: ['name'] },
);

const tls = object(
  { secret, trustedCA: TEXT, certificate: TEXT, privateKey: TEXT },
  { required: ['secret'] },
);

const http = object({
  path: TEXT,
  method: TEXT,
  host: TEXT,
  headers: list({ ...TEXT, own: [HEADER] }),
  headerMatches: list(
    object(
      {
        name: { ...nonEmpty, own: [{ pattern: '^[^\\x00\\r\\n]*$' }] },
        value: TEXT,
        secret,
        mismatch: oneOf('LOG', 'ADD', 'DELETE', 'REPLACE'),
      },
      { required: ['name'], own: HEADER_MATCH },
    ),
  ),
});

/** Of the policies of namespaces, and of clusterwide ones. */
type Scope = 'namespaced' | 'clusterwide';

function toPorts(direction: 'ingress' | 'egress', scope: Scope): Schema {
  const kinds = ['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig'] as const;
  const envoyKind = oneOf(...kinds);
  const ownKind = scope === 'clusterwide' ? { own: [enumOf(kinds[1])] } : {};
  return list(
    object(
      {
        ports: list(ports, { max: PORT_COUNT_MAX }),
        serverNames,
        terminatingTLS: tls,
        originatingTLS: tls,
        listener: object(
          {
            envoyConfig: object(
              { kind: { ...envoyKind, ...ownKind }, name: nonEmpty },
              { required: ['name'] },
            ),
            name: nonEmpty,
            priority: integer(1, LISTENER_PRIORITY_MAX),
          },
          { required: ['envoyConfig', 'name'] },
        ),
        rules: object(
          { http: list(http), dns: names, kafka: { kind: 'any' }, l7proto: { kind: 'any' } },
          {
            oneOf: ['http', 'kafka', 'dns', 'l7proto'],
            refused: ['kafka', 'l7proto', 'l7'],
          },
        ),
      },
      { own: l7Parts(direction) },
    ),
  );
}

const icmps = list(
  object({
    fields: list(
      object(
        {
          family: oneOf('IPv4', 'IPv6'),
          type: {
            kind: 'text',
            // The pattern of Cilium's CRD has this one name with a blank in it.
            matches: (value) => value !== 'ExtendedEchoReply',
            allowed: 'a number or a name of the CRD',
            own: [not({ enum: ['ExtendedEchoReply'] })],
            orInteger: { min: 0, max: ICMP_TYPE_MAX },
          },
        },
        { required: ['type'], own: [ICMP_TYPE] },
      ),
      { max: FIELD_COUNT_MAX },
    ),
  }),
);

const groups = list(
  object(
    {
      aws: object({
        labels: map(TEXT),
        securityGroupsIds: list(TEXT),
        securityGroupsNames: list(TEXT),
        region: TEXT,
      }),
    },
    { own: [given('aws')] },
  ),
);

const from = {
  fromEndpoints: list(selector),
  fromNodes: list(selector),
  fromCIDR: list(cidr),
  fromCIDRSet: cidrSet,
  fromEntities: entities,
  fromRequires: list({ kind: 'any' }, { max: 0 }),
  fromGroups: groups,
  icmps,
};

const to = {
  toEndpoints: list(selector),
  toNodes: list(selector),
  toCIDR: list(cidr),
  toCIDRSet: cidrSet,
  toEntities: entities,
  toRequires: list({ kind: 'any' }, { max: 0 }),
  toServices: list(
    object(
      {
        k8sService: object({ serviceName: TEXT, namespace: TEXT }),
        k8sServiceSelector: object({ selector, namespace: TEXT }, { required: ['selector'] }),
      },
      { own: [exactlyOne('k8sService', 'k8sServiceSelector')] },
    ),
  ),
  toGroups: groups,
  icmps,
};

const denyPorts = list(
  object(
    { ports: list(ports, { own: [{ maxItems: PORT_COUNT_MAX }] }) },
    { refused: ['rules', 'terminatingTLS', 'originatingTLS', 'serverNames', 'listener'] },
  ),
);

const authentication = object(
  { mode: { ...oneOf('disabled', 'required', 'test-always-fail'), own: [enumOf('disabled')] } },
  { required: ['mode'] },
);

const ingressParts: readonly OpenApi[] = [
  atMostOneFilled(PEER_FIELDS.ingress),
  notTogether(filled('toPorts'), filled('icmps')),
];
const egressParts: readonly OpenApi[] = [
  atMostOneFilled(PEER_FIELDS.egress),
  notTogether(filled('toPorts'), filled('icmps')),
];

/** Of a rule: what stands in `spec`, and in each element of `specs`. */
export function ruleSchema(scope: Scope): ObjectSchema {
  const ingressPorts = toPorts('ingress', scope);
  const egressPorts = toPorts('egress', scope);
  return object(
    {
      endpointSelector: selector,
      nodeSelector: selector,
      ingress: list(
        object({ ...from, toPorts: ingressPorts, authentication }, { own: ingressParts }),
      ),
      ingressDeny: list(object({ ...from, toPorts: denyPorts }, { own: ingressParts })),
      egress: list(
        object(
          { ...to, toFQDNs: names, toPorts: egressPorts, authentication },
          { own: egressParts },
        ),
      ),
      egressDeny: list(
        object({ ...to, toPorts: denyPorts }, { own: egressParts, refused: ['toFQDNs'] }),
      ),
      labels: list(object({ key: TEXT, value: TEXT, source: TEXT }, { required: ['key'] })),
      enableDefaultDeny: object({ ingress: { kind: 'boolean' }, egress: { kind: 'boolean' } }),
      description: TEXT,
      log: object({ value: { kind: 'text', maxLength: 32, own: [{ pattern: '^\\PC*$' }] } }),
    },
    {
      oneOf: ['endpointSelector', 'nodeSelector'],
      own: scope === 'clusterwide' ? [HAS_RULES, HOST_L7] : [HAS_RULES, not(given('nodeSelector'))],
    },
  );
}

const HAS_RULES: OpenApi = {
  anyOf: ['ingress', 'ingressDeny', 'egress', 'egressDeny'].map((name) => filled(name)),
};

export const RULE_SCHEMA = ruleSchema('clusterwide');

/** Of a CiliumCIDRGroup. */
export const CIDR_GROUP_SCHEMA = object(
  { externalCIDRs: list(cidr) },
  { required: ['externalCIDRs'] },
);
