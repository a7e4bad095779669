/**
 * One file of policies → decoded policies. YAML (several documents) and JSON, every kind told apart
 * by its content; lists are unpacked. Everything wrong is told at once; the caller decides what a
 * problem means for the set.
 */
import type { EndpointPolicy } from '../../policy/ast.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import type { CidrGroup, PolicySpec } from '../../policy/rule.ts';
import { type Annotations, readAnnotations } from './annotations.ts';
import { decodeCidrGroup } from './cidr_group.ts';
import { decodeClusterNetworkPolicy } from './cluster_network_policy.ts';
import { decodeSpecs } from './cnp.ts';
import type { DecodeOptions, DocumentContext, Positions } from './context.ts';
import { decodeWirePolicy, isWirePolicy } from './npds.ts';
import { type Fields, ObjectReader } from './object_reader.ts';
import type { Problem } from './problem.ts';
import { type Field, readYamlDocuments } from './yaml_fields.ts';

export interface DecodedPolicies {
  readonly specs: readonly PolicySpec[];
  readonly cidrGroups: readonly CidrGroup[];
  readonly wirePolicies: readonly EndpointPolicy[];
  /** Kind and name of each object, in order, for finding duplicates. */
  readonly names: readonly DocumentName[];
  readonly positions: Positions;
  /** By policy, as in `RuleOrigin.policy`: findings that its annotation wants ignored. */
  readonly ignored: ReadonlyMap<string, ReadonlySet<FindingId>>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export interface DocumentName {
  readonly kind: string;
  readonly name: string;
  readonly path: string;
  readonly line: number;
  readonly column: number;
}

const KINDS = new Map<string, { readonly group: string; readonly versions: readonly string[] }>([
  ['CiliumNetworkPolicy', { group: 'cilium.io', versions: ['v2'] }],
  ['CiliumClusterwideNetworkPolicy', { group: 'cilium.io', versions: ['v2'] }],
  ['CiliumCIDRGroup', { group: 'cilium.io', versions: ['v2', 'v2alpha1'] }],
  ['CiliumEnvoyConfig', { group: 'cilium.io', versions: ['v2'] }],
  ['CiliumClusterwideEnvoyConfig', { group: 'cilium.io', versions: ['v2'] }],
  ['ClusterNetworkPolicy', { group: 'policy.networking.k8s.io', versions: ['v1alpha2'] }],
]);

const OBJECT_FIELDS = ['apiVersion', 'kind', 'metadata', 'spec', 'specs', 'status'] as const;
const DEFAULT_NAMESPACE = 'default';
const KUBERNETES_LIST = { items: 'items', fields: ['apiVersion', 'kind', 'metadata', 'items'] };

/** Of discovery responses and Envoy's config dump, as files and tools have them. */
const WIRE_LIST_FIELDS = ['@type', 'version_info', 'versionInfo', 'type_url', 'typeUrl', 'nonce'];

export function decodePolicyFile(
  source: { readonly path: string; readonly text: string },
  options: DecodeOptions,
): DecodedPolicies {
  const file = new FileDecoder(source.path, options);
  for (const yaml of readYamlDocuments(source, options.limits)) {
    const reader = new ObjectReader(yaml, source.path);
    const root = yaml.root();
    if (root !== null) file.decode(reader, root);
    for (const problem of reader.problems) file.problems.push(problem);
    for (const warning of reader.warnings) file.warnings.push(warning);
  }
  if (file.problems.length > 0) file.problems.push(...templateProblem(source));
  return file;
}

/** The usual reason when nothing in a file makes sense. */
function templateProblem(source: { readonly path: string; readonly text: string }): Problem[] {
  const before = source.text.split('{{', 1)[0] ?? '';
  if (before.length === source.text.length) return [];
  const lines = before.split('\n');
  return [
    {
      path: source.path,
      line: lines.length,
      column: (lines.at(-1)?.length ?? 0) + 1,
      field: '',
      message: 'has "{{": a template is no policy, it must be rendered first',
    },
  ];
}

class FileDecoder implements DecodedPolicies {
  readonly specs: PolicySpec[] = [];
  readonly cidrGroups: CidrGroup[] = [];
  readonly wirePolicies: EndpointPolicy[] = [];
  readonly names: DocumentName[] = [];
  readonly positions: Positions = new Map();
  readonly ignored = new Map<string, ReadonlySet<FindingId>>();
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #path: string;
  readonly #options: DecodeOptions;

  constructor(path: string, options: DecodeOptions) {
    this.#path = path;
    this.#options = options;
  }

  /** One object, a list of objects, or a wire policy. */
  decode(reader: ObjectReader, field: Field): void {
    if (field.isMap) {
      const all = reader.map(field);
      const items = ['resources', 'networkpolicies'].find((name) => all.has(name));
      if (items !== undefined) {
        this.#decodeItems(reader, field, { items, fields: [items, ...WIRE_LIST_FIELDS] });
      } else if (isList(all)) {
        this.#decodeItems(reader, field, KUBERNETES_LIST);
      } else {
        this.#decodeOne(reader, field);
      }
    } else if (field.shown === 'a list') {
      for (const item of reader.list(field)) this.#decodeOne(reader, item);
    } else {
      this.#decodeOne(reader, field);
    }
  }

  #decodeItems(
    reader: ObjectReader,
    field: Field,
    form: { readonly items: string; readonly fields: readonly string[] },
  ): void {
    const items = reader.object(field, form.fields).get(form.items);
    for (const item of items === undefined ? [] : reader.list(items)) {
      this.#decodeOne(reader, item);
    }
  }

  #decodeOne(reader: ObjectReader, field: Field): void {
    if (!field.isMap) {
      reader.fail(
        field,
        `is no policy (found ${field.shown}; allowed: an object with kind, or a wire policy with endpoint_ips)`,
      );
      return;
    }
    const all = reader.map(field);
    if (isWirePolicy(all)) this.#decodeWire(reader, field);
    else this.#decodeObject(reader, field, all);
  }

  #decodeWire(reader: ObjectReader, field: Field): void {
    const policy = decodeWirePolicy(this.#context(reader, field, null), field);
    if (policy === null) return;
    this.wirePolicies.push(policy);
    this.#addName(reader, field, { kind: 'NetworkPolicy', name: policy.name });
  }

  #decodeObject(reader: ObjectReader, field: Field, all: Fields): void {
    const kindField = all.get('kind');
    const kind = typeof kindField?.value === 'string' ? kindField.value : null;
    const known = kind === null ? undefined : KINDS.get(kind);
    if (kindField === undefined || kind === null || known === undefined) {
      const found = kindField === undefined ? 'no kind' : `kind ${kindField.shown}`;
      reader.fail(
        kindField ?? field,
        `is no policy (found ${found}; allowed: ${[...KINDS.keys()].join(', ')}, or a wire policy with endpoint_ips)`,
      );
      return;
    }
    checkVersion(reader, field, { kind, ...known, field: all.get('apiVersion') });
    if (kind.endsWith('EnvoyConfig')) {
      reader.warn(
        kindField,
        'Envoy configurations are not used here: rules that name one of its listeners are not served',
      );
      return;
    }
    this.#decodeKind(reader, field, kind);
  }

  #decodeKind(reader: ObjectReader, field: Field, kind: string): void {
    const firstWarning = reader.warnings.length;
    const isPolicy = kind.endsWith('NetworkPolicy') && kind !== 'ClusterNetworkPolicy';
    // Old examples carry the description on the object; it belongs in the rule.
    const document = reader.object(
      field,
      isPolicy ? [...OBJECT_FIELDS, 'description'] : OBJECT_FIELDS,
    );
    const description = document.get('description');
    if (description !== undefined) reader.warn(description, 'belongs in spec; here it is ignored');
    const metadata = readMetadata(reader, field, document);
    const isNamespaced = kind === 'CiliumNetworkPolicy';
    if (!isNamespaced && metadata.namespace !== null) {
      reader.fail(
        metadata.namespaceField ?? field,
        `a ${kind} has no namespace (found "${metadata.namespace}")`,
      );
    }
    const namespace = isNamespaced ? (metadata.namespace ?? DEFAULT_NAMESPACE) : null;
    const name = namespace === null ? metadata.name : `${namespace}/${metadata.name}`;
    const context = { ...this.#context(reader, field, namespace), policy: name };
    this.#addName(reader, field, { kind, name });
    const { annotations } = metadata;
    if (annotations.ignoredFindings.size > 0) this.ignored.set(name, annotations.ignoredFindings);
    const options = { root: field, isDryRun: annotations.isDryRun };
    if (kind === 'CiliumCIDRGroup') {
      const group = decodeCidrGroup(context, document, { root: field, labels: metadata.labels });
      if (group !== null) this.cidrGroups.push(group);
    } else if (kind === 'ClusterNetworkPolicy') {
      const spec = decodeClusterNetworkPolicy(context, document, options);
      if (spec !== null) this.specs.push(spec);
    } else {
      this.specs.push(...decodeSpecs(context, document, options));
    }
    reader.attributeWarnings(firstWarning, name);
  }

  #context(reader: ObjectReader, root: Field, namespace: string | null): DocumentContext {
    return {
      reader,
      options: this.#options,
      path: this.#path,
      rootPath: root.path,
      policy: '',
      namespace,
      positions: this.positions,
    };
  }

  #addName(reader: ObjectReader, field: Field, named: { kind: string; name: string }): void {
    this.names.push({ ...named, path: this.#path, ...reader.place(field) });
  }
}

/** `kubectl get -o yaml` of several objects. */
function isList(all: Fields): boolean {
  const kind = all.get('kind')?.value;
  if (typeof kind !== 'string' || !kind.endsWith('List')) return false;
  return kind === 'List' || KINDS.has(kind.slice(0, -'List'.length));
}

interface VersionCheck {
  readonly kind: string;
  readonly group: string;
  readonly versions: readonly string[];
  readonly field: Field | undefined;
}

function checkVersion(reader: ObjectReader, root: Field, check: VersionCheck): void {
  const allowed = check.versions.map((version) => `${check.group}/${version}`);
  if (check.field === undefined) {
    reader.fail(root, `apiVersion is required (allowed: ${allowed.join(', ')})`);
  } else if (!allowed.some((version) => version === check.field?.value)) {
    reader.fail(
      check.field,
      `is no apiVersion of ${check.kind} (found ${check.field.shown}; allowed: ${allowed.join(', ')})`,
    );
  }
}

interface Metadata {
  readonly name: string;
  readonly namespace: string | null;
  readonly namespaceField: Field | undefined;
  readonly labels: readonly (readonly [string, string])[];
  readonly annotations: Annotations;
}

/**
 * ObjectMeta of Kubernetes. All but these four say nothing here, but a misspelt namespace would put
 * the policy, and what it closes, into another one.
 */
const METADATA_FIELDS = [
  'name',
  'namespace',
  'labels',
  'annotations',
  'generateName',
  'selfLink',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'ownerReferences',
  'finalizers',
  'clusterName',
  'managedFields',
] as const;

function readMetadata(reader: ObjectReader, root: Field, document: Fields): Metadata {
  const field = document.get('metadata');
  if (field === undefined) reader.fail(root, 'metadata.name is required');
  const all: Fields = field === undefined ? new Map() : reader.object(field, METADATA_FIELDS);
  const nameField = all.get('name');
  if (field !== undefined && (nameField === undefined || nameField.isEmpty)) {
    reader.fail(field, 'name is required');
  }
  const namespaceField = all.get('namespace');
  const hasNamespace = namespaceField?.isEmpty === false && namespaceField.value !== '';
  return {
    name: nameField === undefined || nameField.isEmpty ? '' : objectName(reader, nameField, 253),
    namespace: hasNamespace ? objectName(reader, namespaceField, 63) : null,
    namespaceField,
    labels: textEntries(reader, all.get('labels')),
    annotations: readAnnotations(reader, all.get('annotations')),
  };
}

/** RFC 1123 names, as Kubernetes has them: they go into logs and metrics as they are. */
function objectName(reader: ObjectReader, field: Field, max: number): string {
  const name = reader.text(field);
  if (name === null) return '';
  if (name.length <= max && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name)) return name;
  reader.fail(
    field,
    `is no name (found ${field.shown}; allowed: at most ${max} lower-case letters, digits, "-" and ".", with a letter or digit at both ends)`,
  );
  return '';
}

function textEntries(
  reader: ObjectReader,
  field: Field | undefined,
): readonly (readonly [string, string])[] {
  if (field === undefined || field.isEmpty) return [];
  return [...reader.map(field)].flatMap(([name, value]) => {
    const text = value.isEmpty ? '' : reader.text(value);
    return text === null ? [] : [[name, text] as const];
  });
}
