/**
 * Values by the selector they stand under, to be found by all selectors that theirs covers. A selector
 * is filed under one label that it demands: one that covers another demands nothing that the other does
 * not, so that label is among the other's, too. The cost of a look-up does not grow with the number of
 * selectors that demand other labels.
 */
import { NAMESPACE_KEY } from '../labels.ts';
import type { LabelSelector } from '../rule.ts';
import { selectorKey } from '../selector.ts';
import { selectorCovers } from './covering.ts';

/** Selectors without a label in common with any other are few; beyond this many no more are asked. */
const CANDIDATES_MAX = 2000;

export class SelectorIndex<Value> {
  readonly #byKey = new Map<string, { readonly selector: LabelSelector; value: Value }>();
  readonly #byLabel = new Map<string, { readonly selector: LabelSelector; value: Value }[]>();
  readonly #found = new Map<string, readonly Value[]>();
  readonly #make: () => Value;

  /** `make`: the value of a selector that is not known yet. */
  constructor(make: () => Value) {
    this.#make = make;
  }

  /** The value of exactly this selector. */
  at(selector: LabelSelector): Value {
    const key = selectorKey(selector);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known.value;
    const entry = { selector, value: this.#make() };
    this.#byKey.set(key, entry);
    const label = filingLabel(selector);
    const filed = this.#byLabel.get(label);
    if (filed === undefined) this.#byLabel.set(label, [entry]);
    else filed.push(entry);
    return entry.value;
  }

  /** Values of all selectors that cover this one. Ask when nothing more is added. */
  covering(selector: LabelSelector): readonly Value[] {
    const key = selectorKey(selector);
    const known = this.#found.get(key);
    if (known !== undefined) return known;
    const labels = new Set([NO_LABEL, ...selector.requirements.flatMap(labelsOf)]);
    const candidates = [...labels].flatMap((label) => this.#byLabel.get(label) ?? []);
    const found = candidates
      .slice(0, CANDIDATES_MAX)
      .filter((entry) => selectorCovers(entry.selector, selector))
      .map(({ value }) => value);
    this.#found.set(key, found);
    return found;
  }
}

const NO_LABEL = '';

/** Nearly every selector demands a namespace; any other label tells more. */
function filingLabel({ requirements }: LabelSelector): string {
  const single = requirements.filter(
    ({ operator, values }) => operator === 'in' && values.length === 1,
  );
  const best = single.find(({ key }) => !key.endsWith(`:${NAMESPACE_KEY}`)) ?? single[0];
  return best === undefined ? NO_LABEL : `${best.key}=${best.values[0] as string}`;
}

function labelsOf({ key, operator, values }: LabelSelector['requirements'][number]): string[] {
  return operator === 'in' && values.length === 1 ? [`${key}=${values[0] as string}`] : [];
}
