/**
 * One file of policies → decoded policies. YAML (several documents) and JSON, every kind told apart
 * by its content; lists are unpacked. Everything wrong is told at once; the caller decides what a
 * problem means for the set.
 */
import type { EndpointPolicy } from '../../policy/ast.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import type { CidrGroup, PolicySpec } from '../../policy/rule.ts';
import { decodeClusterNetworkPolicy } from './cluster/cluster_network_policy.ts';
import { decodeNetworkPolicy } from './cluster/network_policy.ts';
import { decodeCidrGroup } from './cnp/cidr_group.ts';
import { decodeSpecs } from './cnp/cnp.ts';
import { checkAgainstCrd } from './cnp/crd_check.ts';
import { CIDR_GROUP_SCHEMA, RULE_SCHEMA } from './cnp/crd_schema.ts';
import type { DecodeOptions, DocumentContext, Positions } from './context.ts';
import { readMetadata } from './metadata.ts';
import { decodeWirePolicy, isWirePolicy } from './npds/npds.ts';
import { type Inherited, kindOf, listKindOf } from './object_kinds.ts';
import { type Fields, ObjectReader } from './object_reader.ts';
import type { Place } from './place.ts';
import type { Problem } from './problem.ts';
import { type Field, readYamlDocuments } from './yaml_fields.ts';

export interface DecodedPolicies {
  readonly specs: readonly PolicySpec[];
  readonly cidrGroups: readonly CidrGroup[];
  readonly wirePolicies: readonly EndpointPolicy[];
  /** Objects that are no policies and were passed over, in order. */
  readonly others: readonly OtherObject[];
  /** Kind and name of each object, in order, for finding duplicates. */
  readonly names: readonly DocumentName[];
  readonly positions: Positions;
  /** By policy, as in `RuleOrigin.policy`: findings that its annotation wants ignored. */
  readonly ignored: ReadonlyMap<string, ReadonlySet<FindingId>>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export interface OtherObject {
  readonly kind: string;
  readonly place: Place;
}

export interface DocumentName {
  readonly kind: string;
  readonly name: string;
  readonly place: Place;
}

const OBJECT_FIELDS = ['apiVersion', 'kind', 'metadata', 'spec', 'status'] as const;
/** Nothing hangs on a status, and tools write one without a value. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(['status']);
const KUSTOMIZATION = /(^|\/)kustomization\.ya?ml$/;
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
    const reader = new ObjectReader(yaml);
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
      place: {
        kind: 'file',
        path: source.path,
        line: lines.length,
        column: (lines.at(-1)?.length ?? 0) + 1,
      },
      field: '',
      message: 'has "{{": a template is no policy, it must be rendered first',
    },
  ];
}

class FileDecoder implements DecodedPolicies {
  readonly specs: PolicySpec[] = [];
  readonly cidrGroups: CidrGroup[] = [];
  readonly wirePolicies: EndpointPolicy[] = [];
  readonly others: OtherObject[] = [];
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
      const items = wireListName(reader, all);
      if (items !== null) {
        this.#decodeItems(reader, field, { items, fields: [items, ...WIRE_LIST_FIELDS] });
      } else if (listKindOf(all) !== null) {
        this.#decodeItems(reader, field, KUBERNETES_LIST, inheritedOf(all));
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
    inherited: Inherited | null = null,
  ): void {
    const silent = new Set(form.fields);
    const items = reader.object(field, form.fields, { silent }).get(form.items);
    for (const item of items === undefined ? [] : reader.list(items)) {
      this.#decodeOne(reader, item, inherited);
    }
  }

  #decodeOne(reader: ObjectReader, field: Field, inherited: Inherited | null = null): void {
    if (!field.isMap) {
      reader.fail(
        field,
        `is no policy (found ${field.shown}; allowed: an object with kind, or a wire policy with endpoint_ips)`,
      );
      return;
    }
    const all = reader.map(field);
    if (isWirePolicy(all)) this.#decodeWire(reader, field);
    else this.#decodeObject(reader, field, { all, inherited });
  }

  #decodeWire(reader: ObjectReader, field: Field): void {
    const policy = decodeWirePolicy(this.#context(reader, field, null), field);
    if (policy === null) return;
    this.wirePolicies.push(policy);
    this.#addName(reader, field, { kind: 'cilium.NetworkPolicy', name: policy.name });
  }

  #decodeObject(
    reader: ObjectReader,
    field: Field,
    object: { readonly all: Fields; readonly inherited: Inherited | null },
  ): void {
    const { all, inherited } = object;
    // Kustomize lets its file go without a kind.
    const isKustomization =
      !all.has('kind') && !all.has('spec') && !all.has('specs') && KUSTOMIZATION.test(this.#path);
    const found = isKustomization
      ? ({ kind: 'other', name: 'Kustomization' } as const)
      : kindOf(field, all, inherited);
    if (found.kind === 'problem') {
      reader.fail(found.field, found.message);
    } else if (found.kind === 'other') {
      this.others.push({ kind: found.name, place: reader.place(field) });
    } else if (found.name.endsWith('EnvoyConfig')) {
      reader.warn(
        all.get('kind') ?? field,
        'Envoy configurations are not used here: rules that name one of its listeners are not served',
        'not-a-policy',
      );
    } else {
      this.#decodeKind(reader, field, found.name);
    }
  }

  #decodeKind(reader: ObjectReader, field: Field, kind: string): void {
    const firstWarning = reader.warnings.length;
    const problemCount = reader.problems.length;
    const isPolicy = kind.startsWith('Cilium') && kind.endsWith('NetworkPolicy');
    // Old examples carry the description on the object; it belongs in the rule.
    const document = reader.object(
      field,
      isPolicy ? [...OBJECT_FIELDS, 'specs', 'description'] : OBJECT_FIELDS,
      { silent: SAYS_NOTHING },
    );
    const description = document.get('description');
    if (description !== undefined) reader.warn(description, 'belongs in spec; here it is ignored');
    const metadata = readMetadata(reader, field, document);
    const isNamespaced = kind === 'CiliumNetworkPolicy' || kind === 'NetworkPolicy';
    // The API server takes a namespace of what has none away.
    const namespace = isNamespaced ? (metadata.namespace ?? DEFAULT_NAMESPACE) : null;
    const name = namespace === null ? metadata.name : `${namespace}/${metadata.name}`;
    // A NetworkPolicy and a CiliumNetworkPolicy may have one name.
    const policy = kind === 'NetworkPolicy' ? `${kind} ${name}` : name;
    const context = { ...this.#context(reader, field, namespace), policy };
    this.#addName(reader, field, { kind, name });
    const { annotations } = metadata;
    if (annotations.ignoredFindings.size > 0) this.ignored.set(policy, annotations.ignoredFindings);
    const options = { root: field, isDryRun: annotations.isDryRun };
    if (kind === 'CiliumCIDRGroup') {
      const group = decodeCidrGroup(context, document, { root: field, labels: metadata.labels });
      if (group !== null) this.cidrGroups.push(group);
    } else if (kind === 'NetworkPolicy') {
      this.specs.push(decodeNetworkPolicy(context, document, options));
    } else if (kind === 'ClusterNetworkPolicy') {
      const spec = decodeClusterNetworkPolicy(context, document, options);
      if (spec !== null) this.specs.push(spec);
    } else {
      this.specs.push(...decodeSpecs(context, document, options));
    }
    if (this.#options.isApiServerChecked === true && reader.problems.length === problemCount) {
      checkAsApiServer(reader, document, kind);
    }
    reader.attributeWarnings(firstWarning, policy);
  }

  #context(reader: ObjectReader, root: Field, namespace: string | null): DocumentContext {
    return {
      reader,
      options: this.#options,
      rootPath: root.path,
      policy: '',
      namespace,
      positions: this.positions,
    };
  }

  #addName(reader: ObjectReader, field: Field, named: { kind: string; name: string }): void {
    this.names.push({ ...named, place: reader.place(field) });
  }
}

/** Of an object that was taken without a problem. */
function checkAsApiServer(reader: ObjectReader, document: Fields, kind: string): void {
  const isCidrGroup = kind === 'CiliumCIDRGroup';
  if (!isCidrGroup && kind !== 'CiliumNetworkPolicy' && kind !== 'CiliumClusterwideNetworkPolicy') {
    return;
  }
  const spec = document.get('spec');
  const specs = document.get('specs');
  const schema = isCidrGroup ? CIDR_GROUP_SCHEMA : RULE_SCHEMA;
  if (spec !== undefined) checkAgainstCrd(reader, spec, schema);
  for (const item of specs === undefined ? [] : reader.list(specs)) {
    checkAgainstCrd(reader, item, schema);
  }
}

/**
 * The field that lists wire policies, by what only they have: `resources` is also a field of Kustomize. One without
 * items is a list when the rest of a discovery response stands beside it. Null: no such list.
 */
function wireListName(reader: ObjectReader, all: Fields): string | null {
  if (all.has('kind')) return null;
  if (all.has('networkpolicies')) return 'networkpolicies';
  const resources = all.get('resources');
  if (resources === undefined || resources.shown !== 'a list') return null;
  const items = reader.list(resources);
  const isWire = items.some((item) => item.isMap && isWirePolicy(reader.map(item)));
  return isWire || WIRE_LIST_FIELDS.some((name) => all.has(name)) ? 'resources' : null;
}

function inheritedOf(all: Fields): Inherited | null {
  const kind = listKindOf(all);
  return kind === null || kind === '' ? null : { kind, apiVersion: all.get('apiVersion')?.value };
}
