/**
 * Which specs select an endpoint, without asking each spec for each endpoint: a spec is filed under
 * one label that its subject demands, and looked up by the endpoint's labels.
 */
import { NAMESPACE_KEY } from '../labels.ts';
import type { LabelRequirement, PolicySpec } from '../rule.ts';
import { type LabelSet, selectorMatches } from '../selector.ts';

export class SubjectIndex {
  readonly #specsByLabel = new Map<string, PolicySpec[]>();
  readonly #others: PolicySpec[] = [];
  readonly #position: ReadonlyMap<PolicySpec, number>;

  constructor(specs: readonly PolicySpec[]) {
    this.#position = new Map(specs.map((spec, index) => [spec, index]));
    for (const spec of specs) this.#file(spec);
  }

  /**
   * In the order in which the specs were given. Node selectors apply to host endpoints only, and
   * endpoint selectors to all others only (rule.go matchesSubject).
   */
  selecting(set: LabelSet): readonly PolicySpec[] {
    const wanted = isHostEndpoint(set) ? 'nodes' : 'endpoints';
    const found = this.#others.filter((spec) => selects(spec, set, wanted));
    for (const [key, value] of set.entries()) {
      for (const spec of this.#specsByLabel.get(`${key}=${value}`) ?? []) {
        if (selects(spec, set, wanted)) found.push(spec);
      }
    }
    return found.sort((a, b) => this.#positionOf(a) - this.#positionOf(b));
  }

  #file(spec: PolicySpec): void {
    const demanded = spec.subject.selector.requirements.filter(demandsOneLabel);
    // Nearly every spec demands a namespace; any other label tells more.
    const best = demanded.find(({ key }) => !key.endsWith(`:${NAMESPACE_KEY}`)) ?? demanded[0];
    if (best === undefined) {
      this.#others.push(spec);
      return;
    }
    const label = `${best.key}=${best.values[0] as string}`;
    const specs = this.#specsByLabel.get(label);
    if (specs === undefined) this.#specsByLabel.set(label, [spec]);
    else specs.push(spec);
  }

  #positionOf(spec: PolicySpec): number {
    return this.#position.get(spec) ?? 0;
  }
}

function demandsOneLabel({ operator, values }: LabelRequirement): boolean {
  return operator === 'in' && values.length === 1;
}

function selects(spec: PolicySpec, set: LabelSet, wanted: 'nodes' | 'endpoints'): boolean {
  return spec.subject.kind === wanted && selectorMatches(spec.subject.selector, set);
}

function isHostEndpoint(set: LabelSet): boolean {
  return ['reserved:host', 'reserved:remote-node'].some((key) => set.valuesOf(key).length > 0);
}
