/** The documents of one input as the engine takes them: all specs, groups and wire policies side by side. */
import type { EndpointPolicy, RuleOrigin } from '../../policy/ast.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import type { Inventory } from '../../policy/resolve/inventory.ts';
import type { CidrGroup, PolicySpec } from '../../policy/rule.ts';
import { positionKey } from '../decode/context.ts';
import { type Place, WHOLE_SET } from '../decode/place.ts';
import type { PolicyDocument } from '../decode/policy_document.ts';
import type { PolicyInput } from './policy_input.ts';

export class PolicySet {
  readonly specs: readonly PolicySpec[];
  readonly cidrGroups: readonly CidrGroup[];
  /** Policies that came in wire form (NPDS). */
  readonly wirePolicies: readonly EndpointPolicy[];
  readonly inventory: Inventory;
  readonly secrets: ReadonlyMap<string, string>;
  /** As in the input. */
  readonly hasNodeLabels: boolean;
  /** As in the input. */
  readonly areConflictsDenied: boolean;
  readonly #documents: readonly PolicyDocument[];
  /** Made when it is asked for: most sets have nothing to tell. */
  #byPolicy: ReadonlyMap<string, readonly PolicyDocument[]> | null = null;

  /** `before`: one of the same documents has the same lists of what is in them. */
  constructor(input: PolicyInput, before?: PolicySet) {
    const { documents, inventory, secrets, hasNodeLabels } = input;
    const known = before?.isOf(documents) === true ? before : null;
    this.specs = known?.specs ?? documents.flatMap(({ specs }) => specs);
    this.cidrGroups = known?.cidrGroups ?? documents.flatMap(({ cidrGroups }) => cidrGroups);
    this.wirePolicies =
      known?.wirePolicies ?? documents.flatMap(({ wirePolicies }) => wirePolicies);
    this.inventory = inventory;
    this.secrets = secrets;
    this.hasNodeLabels = hasNodeLabels;
    this.areConflictsDenied = input.areConflictsDenied === true;
    this.#documents = known?.documents ?? documents;
  }

  get documents(): readonly PolicyDocument[] {
    return this.#documents;
  }

  isOf(documents: readonly PolicyDocument[]): boolean {
    const own = this.#documents;
    return (
      own === documents ||
      (own.length === documents.length && own.every((one, index) => one === documents[index]))
    );
  }

  /** The same, but for who is in the cluster. */
  withInventory(inventory: Inventory): PolicySet {
    const { secrets, hasNodeLabels, areConflictsDenied } = this;
    const rest = { documents: this.#documents, warnings: [], refused: [], parts: [] };
    return new PolicySet({ ...rest, inventory, secrets, hasNodeLabels, areConflictsDenied }, this);
  }

  /** Without any policy, also one in dry-run. */
  get isEmpty(): boolean {
    return this.specs.length === 0 && this.wirePolicies.length === 0;
  }

  /** Where a rule stands. */
  placeOf(origin: RuleOrigin): Place {
    const key = positionKey(origin);
    for (const { positions } of this.#documentsOf(origin.policy)) {
      const place = positions.get(key);
      if (place !== undefined) return place;
    }
    return WHOLE_SET;
  }

  /** The policy's annotation says so. */
  isIgnored(policy: string, id: FindingId): boolean {
    return this.#documentsOf(policy).some(({ ignored }) => ignored.has(id));
  }

  #documentsOf(policy: string): readonly PolicyDocument[] {
    this.#byPolicy ??= Map.groupBy(this.#documents, (document) => document.policy);
    return this.#byPolicy.get(policy) ?? [];
  }
}
