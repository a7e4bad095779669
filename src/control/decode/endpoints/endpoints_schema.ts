/**
 * The endpoints file as a JSON Schema: what is published in `endpoints.schema.json`, and where the
 * decoder takes its field names from, so that the two cannot differ about them.
 */
const TEXT = { type: 'string', minLength: 1 } as const;
const PORT = { type: 'integer', minimum: 1, maximum: 65535 } as const;
const IDENTITY = { type: 'integer', minimum: 1, maximum: 4294967295 } as const;
const IP = { ...TEXT, description: 'An IPv4 or IPv6 address.' } as const;

const LABELS = {
  description: 'A map (source k8s unless the key names one) or a list of "source:key=value" texts.',
  oneOf: [
    { type: 'object', additionalProperties: { type: 'string' } },
    { type: 'array', items: TEXT },
  ],
} as const;

export const SELECTOR_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    matchLabels: { type: 'object', additionalProperties: { type: 'string' } },
    matchExpressions: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['key', 'operator'],
        properties: {
          key: TEXT,
          operator: { enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
          values: { type: 'array', items: { type: 'string' } },
        },
      },
    },
  },
} as const;

export const ENDPOINT_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: { ...TEXT, description: '"namespace/name".', pattern: '^[^/]+/[^/]+$' },
    ip: IP,
    ips: { type: 'array', items: IP },
    labels: LABELS,
    identity: {
      ...IDENTITY,
      description: 'Allocated when absent: the same labels have the same identity.',
    },
    endpointId: { type: 'integer', minimum: 1, maximum: 4294967295 },
    namedPorts: {
      description: 'Port names of the workload, for policies that name a port.',
      type: 'object',
      additionalProperties: {
        oneOf: [
          PORT,
          {
            type: 'object',
            additionalProperties: false,
            required: ['port'],
            properties: { port: PORT, protocol: { enum: ['TCP', 'UDP', 'SCTP'] } },
          },
        ],
      },
    },
    namespaceLabels: {
      description: 'Labels of the namespace: k8s:io.cilium.k8s.namespace.labels.<key>.',
      type: 'object',
      additionalProperties: { type: 'string' },
    },
    serviceAccount: TEXT,
    interface: {
      ...TEXT,
      description: 'Host-side interface of an endpoint on this node, for `sallyport redirect`.',
      maxLength: 15,
      pattern: '^[^\\s/:]+$',
    },
    podUid: {
      ...TEXT,
      description: 'UID of the pod in Kubernetes: its interface is found by its processes.',
      pattern: '^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$',
    },
  },
} as const;

export const IDENTITY_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'labels'],
  properties: { id: IDENTITY, labels: LABELS },
} as const;

export const CIDR_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['cidr'],
  properties: {
    cidr: { ...TEXT, description: 'A prefix, "203.0.113.0/24"; one address is "/32".' },
    identity: IDENTITY,
    labels: LABELS,
  },
} as const;

export const SERVICE_PORT_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['port'],
  properties: {
    name: TEXT,
    port: { ...PORT, description: 'What clients dial.' },
    protocol: { enum: ['TCP', 'UDP', 'SCTP'], default: 'TCP' },
    targetPort: {
      description:
        'The port of each backend, a number or the name of one of its `namedPorts`; the port that clients dial when absent.',
      oneOf: [PORT, TEXT],
    },
    nodePort: { ...PORT, description: 'Dialled at every address of this node.' },
  },
} as const;

export const SERVICE_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: { ...TEXT, description: '"namespace/name".', pattern: '^[^/]+/[^/]+$' },
    labels: LABELS,
    ips: { description: 'Addresses behind the service.', type: 'array', items: IP },
    clusterIPs: {
      description: 'What clients dial: one address of each family that the service has.',
      type: 'array',
      items: IP,
    },
    externalIPs: {
      description: 'Other addresses that clients dial, of a family that has one in `clusterIPs`.',
      type: 'array',
      items: IP,
    },
    ports: { type: 'array', items: SERVICE_PORT_SCHEMA },
    sessionAffinitySeconds: {
      type: 'integer',
      minimum: 1,
      maximum: 86400,
      description: 'How long a client address stays with one backend; it does not when absent.',
    },
    consistentHashing: {
      type: 'boolean',
      default: false,
      description: 'One client address leads to one backend as long as that is there.',
    },
    endpoints: {
      ...SELECTOR_SCHEMA,
      description: "Endpoints of the service's namespace that stand behind it.",
    },
  },
} as const;

export const ENDPOINTS_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Sallyport endpoints file',
  description: 'Who is who: endpoints with labels and addresses, identities, CIDRs, services.',
  type: 'object',
  additionalProperties: false,
  properties: {
    cluster: { ...TEXT, description: "The local cluster's name.", default: 'default' },
    endpoints: { type: 'array', items: ENDPOINT_SCHEMA },
    identities: { type: 'array', items: IDENTITY_SCHEMA },
    cidrs: { type: 'array', items: CIDR_SCHEMA },
    services: { type: 'array', items: SERVICE_SCHEMA },
    listeners: {
      description: 'toPorts.listener name → proxy id of the listener that serves it.',
      type: 'object',
      additionalProperties: { type: 'integer', minimum: 1, maximum: 65535 },
    },
  },
} as const;
