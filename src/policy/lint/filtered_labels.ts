/**
 * Selectors that ask for a label which the agent leaves out of identities (pkg/labelsfilter): such as those that a
 * StatefulSet or a Deployment writes. The pod has the label, and no policy sees it.
 */
import { DEFAULT_LABEL_FILTER } from '../label_filter.ts';
import { LABEL_SOURCE_ANY, LABEL_SOURCE_K8S } from '../labels.ts';
import type { Inventory } from '../resolve/inventory.ts';
import type { LabelRequirement, LabelSelector, PolicySpec } from '../rule.ts';
import { LabelSet } from '../selector.ts';
import { type Finding, finding } from './finding.ts';

/** Null: no endpoints are known. One that has such a label is of another filter, or was written by hand. */
export function filteredLabels(
  specs: readonly PolicySpec[],
  inventory: Inventory | null,
): readonly Finding[] {
  const known = new KnownKeys(inventory);
  return specs.flatMap((spec) => [
    ...inSelector(spec.subject.selector, spec, known),
    ...spec.rules.flatMap((rule) =>
      (rule.peers ?? []).flatMap((peer) =>
        peer.kind === 'selector' ? inSelector(peer.selector, rule, known) : [],
      ),
    ),
  ]);
}

function inSelector(
  { requirements }: LabelSelector,
  { origin }: Pick<PolicySpec, 'origin'>,
  known: KnownKeys,
): readonly Finding[] {
  return requirements.flatMap((requirement) => {
    const { key } = requirement;
    const name = labelOf(key);
    if (name === null || DEFAULT_LABEL_FILTER.isPartOfIdentity(LABEL_SOURCE_K8S, name)) return [];
    if (known.has(key)) return [];
    const message = `the label ${name} is by default no part of the identity of a pod, so ${outcomeOf(requirement)}, whatever labels pods have`;
    return [finding('label-not-in-identity', origin, { message })];
  });
}

/** Null: it is about labels that no pod writes. */
function labelOf(key: string): string | null {
  const colon = key.indexOf(':');
  const source = key.slice(0, colon);
  return source === LABEL_SOURCE_ANY || source === LABEL_SOURCE_K8S ? key.slice(colon + 1) : null;
}

function outcomeOf({ operator, key }: LabelRequirement): string {
  return operator === 'not-in' || operator === 'does-not-exist'
    ? `the expression with ${key.replace(/^any:/, '')} excludes nobody`
    : 'the selector selects nobody';
}

/** Keys of labels that some endpoint has, gathered when they are first asked for. */
class KnownKeys {
  readonly #inventory: Inventory | null;
  #keys: ReadonlySet<string> | null = null;

  constructor(inventory: Inventory | null) {
    this.#inventory = inventory;
  }

  has(key: string): boolean {
    this.#keys ??= this.#gathered();
    return this.#keys.has(key);
  }

  #gathered(): ReadonlySet<string> {
    const sets = new Set(this.#inventory?.endpoints.map(({ labels }) => labels) ?? []);
    return new Set(
      [...sets].flatMap((labels) => [...new LabelSet(labels).entries()].map(([key]) => key)),
    );
  }
}
