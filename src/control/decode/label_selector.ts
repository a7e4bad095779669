/**
 * Kubernetes label selectors → LabelSelector, with Cilium's keys and Cilium's implicit scoping
 * (pkg/k8s/apis/cilium.io/utils): what a policy of one namespace selects without saying so.
 */
import {
  CLUSTER_KEY,
  LABEL_SOURCE_ANY,
  LABEL_SOURCE_K8S,
  LABEL_SOURCE_RESERVED,
  NAMESPACE_KEY,
  NAMESPACE_LABELS_PREFIX,
  parseLabel,
} from '../../policy/labels.ts';
import type { LabelRequirement, LabelSelector } from '../../policy/rule.ts';
import type { DocumentContext } from './context.ts';
import type { Field } from './field.ts';

const OPERATORS = new Map<string, LabelRequirement['operator']>([
  ['In', 'in'],
  ['NotIn', 'not-in'],
  ['Exists', 'exists'],
  ['DoesNotExist', 'does-not-exist'],
  ['Gt', 'gt'],
  ['Lt', 'lt'],
]);

const VALUE_MAX = 63;
/** Source, DNS name and name together. */
const KEY_MAX = 400;
const K8S_NAMESPACE_KEY = `${LABEL_SOURCE_K8S}:${NAMESPACE_KEY}`;

/** How a kind of object writes its selectors, and how the API server reads them. */
interface SelectorForm {
  /** A requirement's key of a written one. */
  readonly keyOf: (written: string) => string;
  /** Kubernetes' own: keys have no source, and a null is the empty text, as Go reads it into a struct. */
  readonly isBuiltIn: boolean;
  readonly operators: readonly string[];
}

const CILIUM_FORM: SelectorForm = {
  keyOf: selectorKey,
  isBuiltIn: false,
  operators: [...OPERATORS.keys()],
};

/** As written, unscoped. */
export function decodeSelector(context: DocumentContext, field: Field): LabelSelector {
  const { labels, expressions } = decodeParts(context, field, CILIUM_FORM);
  return { requirements: [...labels, ...expressions] };
}

/** A selector in an object of Kubernetes' own, of labels whose keys have this before them ("k8s:"). */
export function decodeBuiltInSelector(
  context: DocumentContext,
  field: Field,
  keyPrefix: string,
): SelectorParts {
  return decodeParts(context, field, {
    keyOf: (written) => `${keyPrefix}${written}`,
    isBuiltIn: true,
    operators: ['In', 'NotIn', 'Exists', 'DoesNotExist'],
  });
}

/**
 * The subject of a CNP is always of its own namespace (EndpointSelector.AddMatch): a label with the key
 * `k8s:io.kubernetes.pod.namespace` gives way to it; the same key without `k8s:`, and what expressions say,
 * hold beside it, so that another namespace there selects nobody.
 */
export function decodeSubjectSelector(context: DocumentContext, field: Field): LabelSelector {
  const { namespace, reader } = context;
  const { labels, expressions } = decodeParts(context, field, CILIUM_FORM);
  if (namespace === null) return { requirements: [...labels, ...expressions] };
  const own = labels.filter(({ key }) => key !== K8S_NAMESPACE_KEY);
  const isOverruled = labels.some(
    ({ key, values }) => key === K8S_NAMESPACE_KEY && values.join() !== namespace,
  );
  if (isOverruled) {
    reader.warn(
      field,
      `the namespace in the selector is not that of the policy and is ignored: a CiliumNetworkPolicy selects endpoints of its own namespace, ${namespace}`,
    );
  }
  const beside = [...own, ...expressions];
  if (beside.some((requirement) => demandsOtherNamespace(requirement, namespace))) {
    reader.warn(
      field,
      `selects nobody: it asks for another namespace, and a CiliumNetworkPolicy selects endpoints of its own namespace, ${namespace}, only; write the policy in that namespace`,
      'selects-nobody',
    );
  }
  return { requirements: [...beside, inNamespace(namespace)] };
}

/** Of the subject of a policy in `namespace`: no endpoint there can meet the requirement. */
function demandsOtherNamespace(requirement: LabelRequirement, namespace: string): boolean {
  const { key, operator, values } = requirement;
  if (!isNamespaceKey(key)) return false;
  if (operator === 'in') return !values.includes(namespace);
  return operator === 'does-not-exist' || (operator === 'not-in' && values.includes(namespace));
}

export interface SelectorParts {
  /** matchLabels. */
  readonly labels: readonly LabelRequirement[];
  readonly expressions: readonly LabelRequirement[];
}

function decodeParts(context: DocumentContext, field: Field, form: SelectorForm): SelectorParts {
  const { reader } = context;
  const fields = reader.object(field, ['matchLabels', 'matchExpressions']);
  const labelsField = fields.get('matchLabels');
  const labels = labelsField === undefined ? [] : [...reader.map(labelsField)];
  const expressionsField = fields.get('matchExpressions');
  const expressions = expressionsField === undefined ? [] : reader.list(expressionsField);
  const parts = {
    labels: labels.flatMap(([key, value]) => decodeMatchLabel(context, { key, value }, form) ?? []),
    expressions: expressions.flatMap((item) => decodeExpression(context, item, form) ?? []),
  };
  if (!form.isBuiltIn) {
    warnOfPruned(context, labels, parts.labels.length + parts.expressions.length);
  }
  return parts;
}

/** A label without a value is no condition any more, and a selector without conditions is everybody. */
function warnOfPruned(
  context: DocumentContext,
  labels: readonly (readonly [string, Field])[],
  requirementCount: number,
): void {
  const rest =
    requirementCount === 0 ? 'nothing is asked for any more, so it selects everybody' : '';
  for (const [key, value] of labels) {
    if (!value.isEmpty) continue;
    context.reader.warn(
      value,
      `has no value, and the API server removes such a field: the selector does not ask for ${key}${rest === '' ? '' : `; ${rest}`} (write "" for a label that is empty)`,
      'null-pruned',
    );
  }
}

function decodeMatchLabel(
  context: DocumentContext,
  { key, value }: { readonly key: string; readonly value: Field },
  form: SelectorForm,
): LabelRequirement | null {
  if (!context.reader.isName(key, value)) return null;
  if (!isKeyValid(context, { key, place: value }, form)) return null;
  if (value.isEmpty && !form.isBuiltIn) return null;
  const text = labelValue(context, value, form);
  if (text === null) return null;
  return { key: form.keyOf(key), operator: 'in', values: [text] };
}

/**
 * A peer that names no cluster is of the local one; one with reserved labels, which belong to no cluster, is left as it
 * is (addClusterFilterByDefault).
 */
export function isOfLocalCluster({ requirements }: LabelSelector): boolean {
  return !requirements.some(
    ({ key }) => isClusterKey(key) || key.startsWith(`${LABEL_SOURCE_RESERVED}:`),
  );
}

function isClusterKey(key: string): boolean {
  return (
    key === `${LABEL_SOURCE_K8S}:${CLUSTER_KEY}` || key === `${LABEL_SOURCE_ANY}:${CLUSTER_KEY}`
  );
}

/**
 * A peer is of the policy's own namespace unless it names one (or a label of one); of a clusterwide
 * policy it is any endpoint that has a namespace, so not the world. `reserved:` labels stand alone.
 */
export function scopePeer(
  context: DocumentContext,
  selector: LabelSelector,
  options: { readonly isInitSubject: boolean },
): LabelSelector {
  const { requirements } = selector;
  if (
    requirements.some(
      ({ key }) => namesNamespace(key) || key.startsWith(`${LABEL_SOURCE_RESERVED}:`),
    )
  ) {
    return selector;
  }
  if (context.namespace !== null) {
    return { requirements: [...requirements, inNamespace(context.namespace)] };
  }
  if (options.isInitSubject) return selector;
  return {
    requirements: [...requirements, { key: K8S_NAMESPACE_KEY, operator: 'exists', values: [] }],
  };
}

/** "source:key"; a key without a source, or with `unspec`, matches a label of any source (labels.go). */
export function selectorKey(key: string): string {
  const name = key.startsWith(UNSPECIFIED) ? key.slice(UNSPECIFIED.length) : key;
  return name.includes(':') ? name : `${LABEL_SOURCE_ANY}:${name}`;
}

const UNSPECIFIED = 'unspec:';

function decodeExpression(
  context: DocumentContext,
  field: Field,
  form: SelectorForm,
): LabelRequirement | null {
  const { reader } = context;
  const fields = reader.object(field, ['key', 'operator', 'values']);
  const keyField = fields.get('key');
  const operatorField = fields.get('operator');
  if (keyField === undefined) return reader.fail(field, 'key is required');
  if (operatorField === undefined) return reader.fail(field, 'operator is required');
  const key = reader.text(keyField);
  const name = reader.oneOf(operatorField, form.operators);
  const valuesField = fields.get('values');
  const values =
    valuesField === undefined
      ? []
      : reader.list(valuesField).flatMap((item) => labelValue(context, item, form) ?? []);
  if (key === null || name === null) return null;
  if (!isKeyValid(context, { key, place: keyField }, form)) return null;
  const problem = valuesProblem(name, values.length);
  if (problem !== null) return reader.fail(valuesField ?? field, problem);
  return { key: form.keyOf(key), operator: OPERATORS.get(name) ?? 'in', values };
}

/**
 * A qualified name (ValidateLabelName) after an optional source. A source that no label can have is
 * only worth a warning: Cilium takes it and selects nothing.
 */
function isKeyValid(
  context: DocumentContext,
  { key, place }: { readonly key: string; readonly place: Field },
  form: SelectorForm,
): boolean {
  const { reader } = context;
  const colon = key.indexOf(':');
  const [name = '', ...prefix] = key
    .slice(colon + 1)
    .split('/')
    .reverse();
  const isName =
    name.length <= VALUE_MAX && /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/.test(name);
  const isPrefix =
    prefix.length === 0 ||
    (prefix.length === 1 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(prefix[0] ?? ''));
  const isSource =
    colon === -1 || (!form.isBuiltIn && /^[A-Za-z0-9][-A-Za-z0-9_.]*$/.test(key.slice(0, colon)));
  if (!isName || !isPrefix || !isSource || key.length > KEY_MAX) {
    reader.fail(
      place,
      `"${key}" is no label key (allowed: ${form.isBuiltIn ? '' : 'an optional source such as k8s:, '}an optional DNS name and "/", and at most ${VALUE_MAX} letters, digits, "-", "_" and ".", with a letter or digit at both ends)`,
    );
    return false;
  }
  if (colon !== -1 && parseLabel(key) === null) {
    reader.warn(place, `no label has the source "${key.slice(0, colon)}"`);
  }
  return true;
}

function valuesProblem(operator: string, count: number): string | null {
  if (operator === 'In' || operator === 'NotIn') {
    return count === 0 ? `${operator} needs at least one value` : null;
  }
  if (operator === 'Gt' || operator === 'Lt')
    return count === 1 ? null : `${operator} needs one value`;
  return count === 0 ? null : `${operator} takes no values`;
}

function labelValue(context: DocumentContext, field: Field, form: SelectorForm): string | null {
  if (field.isEmpty && form.isBuiltIn) {
    context.reader.warn(
      field,
      'has no value and so is the empty text, as the API server reads it: the label must be there, empty',
      'null-pruned',
    );
    return '';
  }
  const text = context.reader.text(field);
  if (text === null) return null;
  if (text.length <= VALUE_MAX && /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/.test(text)) {
    return text;
  }
  return context.reader.fail(
    field,
    `is no label value (found ${field.shown}; allowed: at most ${VALUE_MAX} letters, digits, "-", "_" and ".", with a letter or digit at both ends)`,
  );
}

function inNamespace(namespace: string): LabelRequirement {
  return { key: K8S_NAMESPACE_KEY, operator: 'in', values: [namespace] };
}

function isNamespaceKey(key: string): boolean {
  return key === K8S_NAMESPACE_KEY || key === `${LABEL_SOURCE_ANY}:${NAMESPACE_KEY}`;
}

function namesNamespace(key: string): boolean {
  return isNamespaceKey(key) || key.slice(key.indexOf(':') + 1).startsWith(NAMESPACE_LABELS_PREFIX);
}
