/**
 * The objects of one document, whatever form it was read in → decoded policies. Every kind is told apart by its
 * content; lists are unpacked. Everything wrong is told at once; the caller decides what a problem means.
 */
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import { decodeAdminNetworkPolicy } from './cluster/admin_network_policy.ts';
import { decodeClusterNetworkPolicy } from './cluster/cluster_network_policy.ts';
import { decodeNetworkPolicy } from './cluster/network_policy.ts';
import { decodeCidrGroup } from './cnp/cidr_group.ts';
import { decodeSpecs } from './cnp/cnp.ts';
import { checkAgainstCrd } from './cnp/crd_check.ts';
import { CIDR_GROUP_SCHEMA, RULE_SCHEMA } from './cnp/crd_rules.ts';
import type { DecodeOptions, DocumentContext } from './context.ts';
import type { Field, FieldReader } from './field.ts';
import { readMetadata } from './metadata.ts';
import { decodeWirePolicy, isWirePolicy } from './npds/npds.ts';
import { type Inherited, kindOf, listKindOf } from './object_kinds.ts';
import { type Fields, ObjectReader } from './object_reader.ts';
import type { DecodedPolicies, OtherObject, PolicyDocument } from './policy_document.ts';
import type { Problem } from './problem.ts';

const OBJECT_FIELDS = ['apiVersion', 'kind', 'metadata', 'spec', 'status'] as const;
/** Nothing hangs on a status, and tools write one without a value. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(['status']);
const DEFAULT_NAMESPACE = 'default';
const WIRE_KIND = 'cilium.NetworkPolicy';
const NAMED_WITH_KIND: ReadonlySet<string> = new Set([
  'NetworkPolicy',
  'AdminNetworkPolicy',
  'BaselineAdminNetworkPolicy',
]);
const NOTHING = { specs: [], cidrGroups: [], wirePolicies: [] } as const;
const NONE_IGNORED: ReadonlySet<FindingId> = new Set();
const KUBERNETES_LIST = { items: 'items', fields: ['apiVersion', 'kind', 'metadata', 'items'] };

/** Of discovery responses and Envoy's config dump, as files and tools have them. */
const WIRE_LIST_FIELDS = ['@type', 'version_info', 'versionInfo', 'type_url', 'typeUrl', 'nonce'];

export interface DocumentsOptions extends DecodeOptions {
  /** An object without a kind is Kustomize's, which lets its file go without one. */
  readonly isKustomization: boolean;
}

/** Collects what the documents of one text or one source say. */
export class DocumentsDecoder implements DecodedPolicies {
  readonly documents: PolicyDocument[] = [];
  readonly others: OtherObject[] = [];
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #options: DocumentsOptions;

  constructor(options: DocumentsOptions) {
    this.#options = options;
  }

  /** One object, a list of objects, or a wire policy. */
  add(fields: FieldReader): void {
    const reader = new ObjectReader(fields);
    const root = fields.root();
    if (root !== null) this.#decode(reader, root);
    for (const problem of reader.problems) this.problems.push(problem);
    for (const warning of reader.warnings) this.warnings.push(warning);
  }

  #decode(reader: ObjectReader, field: Field): void {
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
    } else if (field.isList) {
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
    const context = this.#context(reader, field, null);
    const policy = decodeWirePolicy(context, field);
    if (policy === null) return;
    this.documents.push({
      kind: WIRE_KIND,
      name: policy.name,
      place: reader.place(field),
      policy: policy.name,
      ...NOTHING,
      wirePolicies: [policy],
      positions: context.positions,
      ignored: NONE_IGNORED,
    });
  }

  #decodeObject(
    reader: ObjectReader,
    field: Field,
    object: { readonly all: Fields; readonly inherited: Inherited | null },
  ): void {
    const { all, inherited } = object;
    const isKustomization =
      this.#options.isKustomization && !all.has('kind') && !all.has('spec') && !all.has('specs');
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
    const { defaultNamespace = DEFAULT_NAMESPACE } = this.#options;
    const namespace = isNamespaced ? (metadata.namespace ?? defaultNamespace) : null;
    const name = namespace === null ? metadata.name : `${namespace}/${metadata.name}`;
    // A NetworkPolicy and a CiliumNetworkPolicy may have one name.
    const policy = NAMED_WITH_KIND.has(kind) ? `${kind} ${name}` : name;
    const context = { ...this.#context(reader, field, namespace), policy };
    const { annotations } = metadata;
    const { isDryRun, ignoredFindings: ignored } = annotations;
    const rules = decodeRules(context, document, {
      kind,
      root: field,
      name: metadata.name,
      labels: metadata.labels,
      isDryRun,
    });
    const { positions } = context;
    const place = reader.place(field);
    this.documents.push({ kind, name, place, policy, ...NOTHING, ...rules, positions, ignored });
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
      positions: new Map(),
    };
  }
}

interface RuledObject {
  readonly kind: string;
  readonly root: Field;
  readonly name: string;
  readonly labels: readonly (readonly [string, string])[];
  readonly isDryRun: boolean;
}

function decodeRules(
  context: DocumentContext,
  document: Fields,
  { kind, root, name, labels, isDryRun }: RuledObject,
): Partial<Pick<PolicyDocument, 'specs' | 'cidrGroups'>> {
  const options = { root, isDryRun };
  switch (kind) {
    case 'CiliumCIDRGroup': {
      const group = decodeCidrGroup(context, document, { root, labels });
      return { cidrGroups: group === null ? [] : [group] };
    }
    case 'NetworkPolicy':
      return { specs: [decodeNetworkPolicy(context, document, options)] };
    case 'ClusterNetworkPolicy': {
      const spec = decodeClusterNetworkPolicy(context, document, options);
      return { specs: spec === null ? [] : [spec] };
    }
    case 'AdminNetworkPolicy':
    case 'BaselineAdminNetworkPolicy': {
      const isBaseline = kind === 'BaselineAdminNetworkPolicy';
      const spec = decodeAdminNetworkPolicy(context, document, { ...options, name, isBaseline });
      return { specs: spec === null ? [] : [spec] };
    }
    default:
      return { specs: decodeSpecs(context, document, options) };
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
  if (resources === undefined || !resources.isList) return null;
  const items = reader.list(resources);
  const isWire = items.some((item) => item.isMap && isWirePolicy(reader.map(item)));
  return isWire || WIRE_LIST_FIELDS.some((name) => all.has(name)) ? 'resources' : null;
}

function inheritedOf(all: Fields): Inherited | null {
  const kind = listKindOf(all);
  return kind === null || kind === '' ? null : { kind, apiVersion: all.get('apiVersion')?.value };
}
