/**
 * CRDs for clusters without Cilium, and for each a policy of the API server that refuses fields which nobody knows. As a program it writes
 * what the chart ships:
 *
 *     node src/control/decode/cnp/print_crds.ts deploy/helm/sallyport/files/crds
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ANNOTATION_PREFIX, ANNOTATIONS } from '../annotations.ts';
import { CIDR_GROUP_SCHEMA, ruleSchema } from './crd_rules.ts';
import { list, type ObjectSchema, type OpenApi, object } from './crd_schema.ts';
import { nameRules, openApiOf } from './print_crd_schema.ts';

const GROUP = 'cilium.io';

interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly isNamespaced: boolean;
  /** The first one is stored. */
  readonly versions: readonly string[];
  readonly schema: ObjectSchema;
  /** True: rules stand in `spec` or `specs`, and a condition says what became of them. */
  readonly isPolicy: boolean;
}

const KINDS: readonly Kind[] = [
  {
    kind: 'CiliumNetworkPolicy',
    plural: 'ciliumnetworkpolicies',
    shortNames: ['cnp', 'ciliumnp'],
    isNamespaced: true,
    versions: ['v2'],
    schema: policySchema('namespaced'),
    isPolicy: true,
  },
  {
    kind: 'CiliumClusterwideNetworkPolicy',
    plural: 'ciliumclusterwidenetworkpolicies',
    shortNames: ['ccnp'],
    isNamespaced: false,
    versions: ['v2'],
    schema: policySchema('clusterwide'),
    isPolicy: true,
  },
  {
    kind: 'CiliumCIDRGroup',
    plural: 'ciliumcidrgroups',
    shortNames: ['ccg'],
    isNamespaced: false,
    versions: ['v2', 'v2alpha1'],
    schema: object({ spec: CIDR_GROUP_SCHEMA }, { required: ['spec'] }),
    isPolicy: false,
  },
];

/** By file name. */
export function crdFiles(): ReadonlyMap<string, string> {
  return new Map([
    ...KINDS.map((kind) => [`${kind.plural}.yaml`, text([crd(kind)])] as const),
    ['names-of-fields.yaml', text(KINDS.flatMap(nameRule))] as const,
  ]);
}

function policySchema(scope: 'namespaced' | 'clusterwide'): ObjectSchema {
  const rule = ruleSchema(scope);
  return object({ spec: rule, specs: list(rule), description: { kind: 'text' } });
}

function text(documents: readonly OpenApi[]): string {
  const head = '# Written by src/control/decode/cnp/print_crds.ts; change crd_rules.ts there.\n';
  const bodies = documents.map((document) =>
    stringify(document, {
      lineWidth: 0,
      aliasDuplicateObjects: false,
      indent: 2,
      indentSeq: false,
    }),
  );
  return `${head}${bodies.join('---\n')}`;
}

function crd(kind: Kind): OpenApi {
  const { plural, shortNames, isNamespaced, versions } = kind;
  const singular = kind.kind.toLowerCase();
  const categories = kind.isPolicy ? ['cilium', 'ciliumpolicy'] : ['cilium'];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}`, labels: { 'app.kubernetes.io/part-of': 'sallyport' } },
    spec: {
      group: GROUP,
      scope: isNamespaced ? 'Namespaced' : 'Cluster',
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural,
        singular,
        shortNames,
        categories,
      },
      versions: versions.map((version, index) =>
        crdVersion(kind, { version, isFirst: index === 0 }),
      ),
    },
  };
}

function crdVersion(
  { kind, schema, isPolicy }: Kind,
  { version, isFirst }: { readonly version: string; readonly isFirst: boolean },
): OpenApi {
  return {
    name: version,
    served: true,
    storage: isFirst,
    ...(isFirst
      ? {}
      : {
          deprecated: true,
          deprecationWarning: `${GROUP}/${version} ${kind} is deprecated; use ${GROUP}/v2`,
        }),
    additionalPrinterColumns: [
      { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
      ...(isPolicy
        ? [
            {
              name: 'Valid',
              type: 'string',
              jsonPath: ".status.conditions[?(@.type=='Valid')].status",
            },
          ]
        : []),
    ],
    schema: { openAPIV3Schema: rootSchema(schema, isPolicy) },
    ...(isPolicy ? { subresources: { status: {} } } : {}),
  };
}

function rootSchema(schema: ObjectSchema, isPolicy: boolean): OpenApi {
  const { properties, ...rest } = openApiOf(schema) as { readonly properties: OpenApi };
  return {
    ...rest,
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      ...properties,
      ...(isPolicy ? { status: STATUS } : {}),
    },
    ...(isPolicy ? { 'x-kubernetes-validations': [HAS_RULES] } : {}),
  };
}

const HAS_RULES = {
  rule: 'has(self.spec) || (has(self.specs) && size(self.specs) > 0)',
  message: 'the policy is empty: spec or specs is required',
};

/** As controllers write it, Cilium's operator among them. */
const STATUS: OpenApi = {
  type: 'object',
  'x-kubernetes-preserve-unknown-fields': true,
  properties: {
    conditions: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
      items: {
        type: 'object',
        properties: {
          type: { type: 'string' },
          status: { type: 'string' },
          reason: { type: 'string' },
          message: { type: 'string' },
          lastTransitionTime: { type: 'string', format: 'date-time' },
          observedGeneration: { type: 'integer', format: 'int64' },
        },
        required: ['type', 'status'],
      },
    },
  },
};

const ANNOTATION_NAMES = Object.keys(ANNOTATIONS).map((name) => `${ANNOTATION_PREFIX}${name}`);
const DRY_RUN = `${ANNOTATION_PREFIX}dry-run`;

/** A misspelt annotation would be without effect: what was to be a dry run would be in force. */
const ANNOTATION_RULES = [
  {
    expression: `!has(object.metadata.annotations) || object.metadata.annotations.all(name, !name.lowerAscii().startsWith('${ANNOTATION_PREFIX}') || name in [${ANNOTATION_NAMES.map((name) => `'${name}'`).join(', ')}])`,
    message: `metadata.annotations: unknown annotation (allowed: ${ANNOTATION_NAMES.join(', ')})`,
    reason: 'Invalid',
  },
  {
    expression: `!has(object.metadata.annotations) || !('${DRY_RUN}' in object.metadata.annotations) || object.metadata.annotations['${DRY_RUN}'] in ['true', 'false']`,
    message: `metadata.annotations.${DRY_RUN}: must be one of true, false`,
    reason: 'Invalid',
  },
];

/** A policy for the API server, with its binding; the whole of one stands and falls with the other. */
function nameRule({ plural, schema, versions, isPolicy }: Kind): readonly OpenApi[] {
  const name = `names-of-fields.${plural}.${GROUP}`;
  const rest = ['apiVersion', 'kind', 'metadata', ...(isPolicy ? ['status'] : [])];
  const fields = Object.fromEntries(rest.map((field) => [field, { kind: 'any' } as const]));
  const root = object({ ...fields, ...schema.fields });
  const rules = nameRules(root, { expression: 'object', path: '', depth: 0 });
  const metadata = { name, labels: { 'app.kubernetes.io/part-of': 'sallyport' } };
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata,
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          resourceRules: [
            {
              apiGroups: [GROUP],
              apiVersions: versions,
              operations: ['CREATE', 'UPDATE'],
              resources: [plural],
            },
          ],
        },
        validations: [
          ...ANNOTATION_RULES,
          ...rules.map((rule) => ({ ...rule, reason: 'Invalid' })),
        ],
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata,
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  ];
}

if (import.meta.main) {
  const folder = process.argv[2] ?? '.';
  for (const [name, content] of crdFiles()) writeFileSync(join(folder, name), content);
}
