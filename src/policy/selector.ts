/**
 * Label selectors: evaluation on one set of labels, and on all identities at once. Semantics are
 * those of Kubernetes' selectors with Cilium's label sources: a key with source "any" matches a
 * label of any source; `not-in` and `does-not-exist` hold when the label is missing.
 */
import { LABEL_SOURCE_ANY, parseLabel } from './labels.ts';

/** matchLabels are `in` requirements of one value. All requirements must hold. */
export interface LabelSelector {
  readonly requirements: readonly LabelRequirement[];
}

export interface LabelRequirement {
  /** "source:key"; source "any" matches a label of any source (labels.go). */
  readonly key: string;
  readonly operator: 'in' | 'not-in' | 'exists' | 'does-not-exist' | 'gt' | 'lt';
  readonly values: readonly string[];
}

/** The labels of one identity, endpoint or service, ready to be asked. */
export class LabelSet {
  readonly labels: readonly string[];
  readonly #values = new Map<string, string[]>();

  /** Labels in canonical text; what is no label is left out. */
  constructor(labels: readonly string[]) {
    this.labels = labels;
    for (const text of labels) {
      const label = parseLabel(text);
      if (label === null) continue;
      this.#add(`${label.source}:${label.key}`, label.value);
      this.#add(`${LABEL_SOURCE_ANY}:${label.key}`, label.value);
    }
  }

  /** Values of the labels that `key` ("source:key") names; empty when there is none. */
  valuesOf(key: string): readonly string[] {
    return this.#values.get(key) ?? NO_VALUES;
  }

  /** Every (key, value) under which a selector can ask for a label. */
  *entries(): Iterable<readonly [key: string, value: string]> {
    for (const [key, values] of this.#values) for (const value of values) yield [key, value];
  }

  #add(key: string, value: string): void {
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, [value]);
    else if (!values.includes(value)) values.push(value);
  }
}

/** True when all requirements hold; a selector without any selects everything. */
export function selectorMatches(selector: LabelSelector, set: LabelSet): boolean {
  return selector.requirements.every((requirement) => requirementHolds(requirement, set));
}

/** One text for selectors that say the same, whatever the order of their requirements. */
export function selectorKey(selector: LabelSelector): string {
  const parts = selector.requirements.map(({ key, operator, values }) =>
    JSON.stringify([key, operator, [...new Set(values)].sort()]),
  );
  return [...new Set(parts)].sort().join('&');
}

export function requirementHolds(requirement: LabelRequirement, set: LabelSet): boolean {
  const found = set.valuesOf(requirement.key);
  switch (requirement.operator) {
    case 'in':
      return found.some((value) => requirement.values.includes(value));
    case 'not-in':
      return !found.some((value) => requirement.values.includes(value));
    case 'exists':
      return found.length > 0;
    case 'does-not-exist':
      return found.length === 0;
    case 'gt':
      return found.some((value) => compareIntegers(value, requirement.values) > 0);
    case 'lt':
      return found.some((value) => compareIntegers(value, requirement.values) < 0);
  }
}

/** 0 when either is no whole number, so that neither Gt nor Lt holds (labels/selector.go). */
function compareIntegers(value: string, bounds: readonly string[]): number {
  const bound = bounds[0];
  if (bounds.length !== 1 || bound === undefined) return 0;
  if (!isInteger(value) || !isInteger(bound)) return 0;
  const left = BigInt(value);
  const right = BigInt(bound);
  return left === right ? 0 : left > right ? 1 : -1;
}

function isInteger(text: string): boolean {
  return /^-?[0-9]{1,19}$/.test(text);
}

const NO_VALUES: readonly string[] = Object.freeze([]);
