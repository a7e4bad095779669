/**
 * What stands in for a policy that was refused and never had a good form, where `invalidPolicy: deny` asks for it:
 * default deny, both ways, for what the policy selects. A selector that cannot be decoded counts as the widest that the
 * object could have had: all endpoints of its namespace, or, of a clusterwide kind, all endpoints and nodes that its
 * kind of selector can select.
 */
import type { PolicySpec } from '../../../policy/rule.ts';
import { ANNOTATION_PREFIX } from '../../decode/annotations.ts';
import type { DecodeOptions } from '../../decode/context.ts';
import type { PolicyDocument } from '../../decode/policy_document.ts';
import { decodePolicyObject, type ObjectRef } from '../../decode/policy_object.ts';

/** A CIDR group selects no endpoints: one without any prefix stands in for it, which matches nobody. */
export function standInOf(
  object: unknown,
  ref: ObjectRef,
  options: DecodeOptions,
): PolicyDocument | null {
  if (ref.apiKind === CIDR_GROUP) return emptyGroupOf(object, ref, options);
  const kind = KINDS.get(ref.apiKind);
  if (kind === undefined) return null;
  const decode = (spec: object, annotations: object): PolicyDocument | null => {
    const { apiKind, namespace, name } = ref;
    const metadata = { name, namespace, annotations };
    const { apiVersion } = kind;
    const whole = { apiVersion, kind: apiKind, metadata, spec };
    const decoded = decodePolicyObject(whole, ref, options);
    return decoded.kind === 'document' ? decoded.document : null;
  };
  const dryRun = dryRunOf(object);
  const tried = (spec: object): PolicyDocument | null => decode(spec, dryRun) ?? decode(spec, {});
  const widest = (spec: object): readonly (PolicyDocument | null)[] =>
    kind.widest(spec, ref.namespace === null).map(tried);
  const given = kind.specsOf(valueAt(object, 'spec'), valueAt(object, 'specs'));
  const documents = (given.length === 0 ? [{}] : given).flatMap((spec) => {
    const narrow = tried(spec);
    return narrow === null ? widest(spec) : [narrow];
  });
  const found = documents.filter((document) => document !== null);
  const [first] = found;
  if (first === undefined) throw new Error(`no stand-in for a ${ref.apiKind}`);
  const specs = found.flatMap((document) => document.specs).map(defaultDeny);
  return { ...first, specs, cidrGroups: [], ignored: new Set() };
}

/** The same for a document that was decoded and cannot be enforced beside others. */
export function denyingForm(document: PolicyDocument): PolicyDocument {
  const cidrGroups = document.cidrGroups.map((group) => ({ ...group, prefixes: [] }));
  return { ...document, specs: document.specs.map(defaultDeny), cidrGroups };
}

const CIDR_GROUP = 'CiliumCIDRGroup';

/** With its labels, as far as they can be read: rules select groups by them. */
function emptyGroupOf(
  object: unknown,
  ref: ObjectRef,
  options: DecodeOptions,
): PolicyDocument | null {
  const labels = picked(valueAt(object, 'metadata'), ['labels']);
  const tried = (metadata: object): PolicyDocument | null => {
    const whole = { metadata, apiVersion: 'cilium.io/v2', kind: CIDR_GROUP, spec: NO_PREFIXES };
    const decoded = decodePolicyObject(whole, ref, options);
    return decoded.kind === 'document' ? decoded.document : null;
  };
  return tried({ name: ref.name, ...labels }) ?? tried({ name: ref.name });
}

const NO_PREFIXES = { externalCIDRs: [] };

function defaultDeny(spec: PolicySpec): PolicySpec {
  return {
    ...spec,
    tier: 'normal',
    priority: 0,
    enableDefaultDeny: { ingress: true, egress: true },
    rules: [],
  };
}

/** How a kind says whom it selects, in the fewest words that its decoder takes. */
interface SelectingKind {
  readonly apiVersion: string;
  /** One for each spec of the object, with its selector and without its rules. */
  readonly specsOf: (spec: unknown, specs: unknown) => readonly object[];
  /** With the widest selectors that it could have had instead. */
  readonly widest: (spec: object, isClusterwide: boolean) => readonly object[];
}

const NO_RULES = { ingress: [{}], egress: [{}] };

const CILIUM: SelectingKind = {
  apiVersion: 'cilium.io/v2',
  specsOf: (spec, specs) =>
    [...(spec === undefined ? [] : [spec]), ...(Array.isArray(specs) ? specs : [])].map((one) => ({
      ...NO_RULES,
      ...picked(one, ['endpointSelector', 'nodeSelector']),
    })),
  widest: (spec, isClusterwide) => {
    const ofEndpoints = { ...NO_RULES, endpointSelector: {} };
    const ofNodes = { ...NO_RULES, nodeSelector: {} };
    if (!isClusterwide || 'endpointSelector' in spec) return [ofEndpoints];
    return 'nodeSelector' in spec ? [ofNodes] : [ofEndpoints, ofNodes];
  },
};

const BOTH_WAYS = { policyTypes: ['Ingress', 'Egress'] };
const FIRST = { tier: 'Admin', priority: 0 };

const KINDS: ReadonlyMap<string, SelectingKind> = new Map([
  ['CiliumNetworkPolicy', CILIUM],
  ['CiliumClusterwideNetworkPolicy', CILIUM],
  [
    'NetworkPolicy',
    {
      apiVersion: 'networking.k8s.io/v1',
      specsOf: (spec) => [{ podSelector: {}, ...picked(spec, ['podSelector']), ...BOTH_WAYS }],
      widest: () => [{ podSelector: {}, ...BOTH_WAYS }],
    },
  ],
  [
    'ClusterNetworkPolicy',
    {
      apiVersion: 'policy.networking.k8s.io/v1alpha2',
      specsOf: (spec) => [{ ...picked(spec, ['subject']), ...FIRST }],
      widest: () => [{ subject: { namespaces: {} }, ...FIRST }],
    },
  ],
  [
    'AdminNetworkPolicy',
    {
      apiVersion: 'policy.networking.k8s.io/v1alpha1',
      specsOf: (spec) => [{ ...picked(spec, ['subject']), priority: 0 }],
      widest: () => [{ subject: { namespaces: {} }, priority: 0 }],
    },
  ],
  [
    'BaselineAdminNetworkPolicy',
    {
      apiVersion: 'policy.networking.k8s.io/v1alpha1',
      specsOf: (spec) => [picked(spec, ['subject'])],
      widest: () => [{ subject: { namespaces: {} } }],
    },
  ],
]);

/** A policy that is tried in dry-run denies nothing, good or bad. */
function dryRunOf(object: unknown): object {
  const annotations = valueAt(valueAt(object, 'metadata'), 'annotations');
  return picked(annotations, [`${ANNOTATION_PREFIX}dry-run`]);
}

function picked(value: unknown, names: readonly string[]): object {
  return Object.fromEntries(
    names.flatMap((name) => {
      const one = valueAt(value, name);
      return one === undefined || one === null ? [] : [[name, one]];
    }),
  );
}

function valueAt(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}
