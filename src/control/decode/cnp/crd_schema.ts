/**
 * What the API server holds a CiliumNetworkPolicy and a CiliumClusterwideNetworkPolicy to, besides names and types
 * of fields: the validations of the CRD of Cilium 1.19. Both kinds, `spec` and `specs` are held to the same.
 */

export type Schema =
  | ObjectSchema
  | { readonly kind: 'map'; readonly values: Schema }
  | {
      readonly kind: 'list';
      readonly items: Schema;
      readonly min?: number;
      readonly max?: number;
      readonly isSet?: boolean;
    }
  | TextSchema
  /** A whole number; what bounds it is held by the decoder. */
  | { readonly kind: 'other' };

export interface ObjectSchema {
  readonly kind: 'object';
  readonly fields: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  /** Exactly one of these must be there, with whatever value. */
  readonly oneOf?: readonly string[];
}

export interface TextSchema {
  readonly kind: 'text';
  readonly oneOf?: readonly string[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly matches?: (text: string) => boolean;
  /** In words, for `matches`. */
  readonly allowed?: string;
}

const OTHER: Schema = { kind: 'other' };
const TEXT: TextSchema = { kind: 'text' };

function object(fields: ObjectSchema['fields'], rest: Partial<ObjectSchema> = {}): ObjectSchema {
  return { kind: 'object', fields, ...rest };
}

function list(
  items: Schema,
  rest: { readonly min?: number; readonly max?: number; readonly isSet?: boolean } = {},
): Schema {
  return { kind: 'list', items, ...rest };
}

function oneOf(...words: readonly string[]): TextSchema {
  return { kind: 'text', oneOf: words };
}

function text(
  allowed: string,
  matches: (text: string) => boolean,
  rest: Partial<TextSchema> = {},
): TextSchema {
  return { kind: 'text', matches, allowed, ...rest };
}

const NAME_MAX = 255;
const PORT_COUNT_MAX = 40;
const FIELD_COUNT_MAX = 40;

const labelValue = text(
  'letters, digits, "-", "_" and ".", with a letter or digit at both ends',
  (value) => /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/.test(value),
  { maxLength: 63 },
);

const selector = object({
  matchLabels: { kind: 'map', values: labelValue },
  matchExpressions: list(
    object(
      {
        key: TEXT,
        operator: oneOf('In', 'NotIn', 'Exists', 'DoesNotExist'),
        values: list(TEXT),
      },
      { required: ['key', 'operator'] },
    ),
  ),
});

/** ParseCIDR: an address alone is none. */
const cidr = text('an address and a length, such as 10.0.0.0/8', (value) => value.includes('/'));

const cidrSet = list(
  object(
    {
      cidr,
      cidrGroupRef: text(
        'the name of an object',
        (value) =>
          /^[-a-z0-9.]+$/.test(value) &&
          value.split('.').every((part) => /^[a-z0-9]/.test(part) && !part.endsWith('-')),
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
function isDotted(name: string, character: RegExp): boolean {
  const labels = name.split('.');
  if (labels.at(-1) === '' && labels.length > 1) labels.pop();
  return labels.every((label) => label !== '' && character.test(label));
}

const names = list(
  object(
    {
      matchName: text(
        'labels of letters, digits, "-" and "_"',
        (value) => isDotted(value, /^[-a-zA-Z0-9_]+$/),
        { maxLength: NAME_MAX },
      ),
      matchPattern: text(
        'labels of letters, digits, "-", "_" and "*"',
        (value) => isDotted(value, /^[-a-zA-Z0-9_*]+$/),
        { maxLength: NAME_MAX },
      ),
    },
    { oneOf: ['matchName', 'matchPattern'] },
  ),
);

const serverNames = list(
  text(
    'labels of letters, digits, "-" and "_", after "*." or "**." if that is wanted',
    (value) => isDotted(value.replace(/^\*?\*\./, ''), /^[-a-zA-Z0-9_]+$/),
    { maxLength: NAME_MAX },
  ),
  { min: 1, isSet: true },
);

const ports = object({
  port: text('a number or the name of a port', isPort),
  protocol: oneOf('TCP', 'UDP', 'SCTP', 'VRRP', 'IGMP', 'ANY'),
  endPort: OTHER,
});

/** The pattern holds its two halves to one end each, so that whatever begins with a digit is a port. */
function isPort(value: string): boolean {
  return /^[0-9]/.test(value) || /[a-zA-Z](-?[a-zA-Z0-9])*$/.test(value.slice(-PORT_TAIL));
}

const PORT_TAIL = 32;

const secret = object({ name: TEXT, namespace: TEXT }, { required: ['name'] });

const tls = object(
  { secret, trustedCA: TEXT, certificate: TEXT, privateKey: TEXT },
  { required: ['secret'] },
);

const http = object({
  path: TEXT,
  method: TEXT,
  host: TEXT,
  headers: list(TEXT),
  headerMatches: list(
    object(
      {
        name: { kind: 'text', minLength: 1 },
        value: TEXT,
        secret,
        mismatch: oneOf('LOG', 'ADD', 'DELETE', 'REPLACE'),
      },
      { required: ['name'] },
    ),
  ),
});

const toPorts = list(
  object({
    ports: list(ports, { max: PORT_COUNT_MAX }),
    serverNames,
    terminatingTLS: tls,
    originatingTLS: tls,
    listener: object(
      {
        envoyConfig: object(
          {
            kind: oneOf('CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig'),
            name: { kind: 'text', minLength: 1 },
          },
          { required: ['name'] },
        ),
        name: { kind: 'text', minLength: 1 },
        priority: OTHER,
      },
      { required: ['envoyConfig', 'name'] },
    ),
    rules: object(
      { http: list(http), dns: names, kafka: OTHER, l7proto: OTHER },
      { oneOf: ['http', 'kafka', 'dns', 'l7proto'] },
    ),
  }),
);

const icmps = list(
  object({
    fields: list(
      object(
        {
          family: oneOf('IPv4', 'IPv6'),
          // The pattern has this one name with a blank in it.
          type: text('a number or a name of the CRD', (value) => value !== 'ExtendedEchoReply'),
        },
        { required: ['type'] },
      ),
      { max: FIELD_COUNT_MAX },
    ),
  }),
);

const from = {
  fromEndpoints: list(selector),
  fromNodes: list(selector),
  fromCIDR: list(cidr),
  fromCIDRSet: cidrSet,
  fromEntities: entities,
  fromRequires: list(OTHER, { max: 0 }),
  icmps,
};

const to = {
  toEndpoints: list(selector),
  toNodes: list(selector),
  toCIDR: list(cidr),
  toCIDRSet: cidrSet,
  toEntities: entities,
  toRequires: list(OTHER, { max: 0 }),
  toServices: list(
    object({
      k8sService: object({ serviceName: TEXT, namespace: TEXT }),
      k8sServiceSelector: object({ selector, namespace: TEXT }, { required: ['selector'] }),
    }),
  ),
  icmps,
};

const denyPorts = list(object({ ports: list(ports) }));

const authentication = object(
  { mode: oneOf('disabled', 'required', 'test-always-fail') },
  { required: ['mode'] },
);

/** Of a rule: what stands in `spec`, and in each element of `specs`. */
export const RULE_SCHEMA = object(
  {
    endpointSelector: selector,
    nodeSelector: selector,
    ingress: list(object({ ...from, toPorts, authentication })),
    ingressDeny: list(object({ ...from, toPorts: denyPorts })),
    egress: list(object({ ...to, toFQDNs: names, toPorts, authentication })),
    egressDeny: list(object({ ...to, toPorts: denyPorts })),
    labels: list(object({ key: TEXT, value: TEXT, source: TEXT }, { required: ['key'] })),
    description: TEXT,
    log: object({ value: { kind: 'text', maxLength: 32 } }),
  },
  { oneOf: ['endpointSelector', 'nodeSelector'] },
);

/** Of a CiliumCIDRGroup. */
export const CIDR_GROUP_SCHEMA = object(
  { externalCIDRs: list(cidr) },
  { required: ['externalCIDRs'] },
);
