/** Cilium's numbers: what each means, and which one a set of labels has. */
import { type Identity, RESERVED_IDENTITIES } from '../../../model/identity.ts';
import { labelSetKey, reservedLabel } from '../../../policy/labels.ts';
import type { InventoryIdentity } from '../../../policy/resolve/inventory.ts';
import type { CiliumIdentityFacts } from '../../decode/kube/cilium_objects.ts';
import { KeyedValues } from '../../set/keyed_values.ts';
import { isSameTexts } from './same.ts';

const NAME_BY_NUMBER: ReadonlyMap<number, string> = new Map(
  Object.entries(RESERVED_IDENTITIES).map(([name, number]) => [number, name]),
);

export class CiliumIdentities {
  readonly #byName = new Map<string, CiliumIdentityFacts>();
  readonly #byNumber = new Map<Identity, InventoryIdentity>();
  /** Several are an accident that Cilium lives with. */
  readonly #byLabels = new Map<string, readonly CiliumIdentityFacts[]>();
  readonly #values = new KeyedValues<InventoryIdentity>(
    (a, b) => a.identity === b.identity && isSameTexts(a.labels, b.labels),
  );

  /** Null: it is gone. Which number may mean something else now; null: none. */
  set(name: string, facts: CiliumIdentityFacts | null): Identity | null {
    const before = this.#byName.get(name);
    if (before === undefined && facts === null) return null;
    const isSame =
      before !== undefined &&
      facts !== null &&
      before.createdS === facts.createdS &&
      isSameTexts(before.labels, facts.labels);
    if (isSame) return null;
    if (before !== undefined) this.#remove(name, before);
    if (facts !== null) this.#add(name, facts);
    return (facts ?? (before as CiliumIdentityFacts)).identity;
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** What the number means; null: nobody has said it yet. */
  meaning(identity: Identity): InventoryIdentity | null {
    const name = NAME_BY_NUMBER.get(identity);
    if (name !== undefined) return { identity, labels: [reservedLabel(name)] };
    return this.#byNumber.get(identity) ?? null;
  }

  /** As an agent looks for it: of several the oldest. */
  ofLabels(labels: readonly string[]): InventoryIdentity | null {
    const all = this.#byLabels.get(labelSetKey(labels)) ?? [];
    const [first] = [...all].sort((a, b) => a.createdS - b.createdS || a.identity - b.identity);
    return first === undefined ? null : (this.#byNumber.get(first.identity) ?? null);
  }

  list(): readonly InventoryIdentity[] {
    return this.#values.list();
  }

  #add(name: string, facts: CiliumIdentityFacts): void {
    const { identity, labels } = facts;
    const value = { identity, labels };
    this.#byName.set(name, facts);
    this.#byNumber.set(identity, value);
    const key = labelSetKey(labels);
    this.#byLabels.set(key, [...(this.#byLabels.get(key) ?? []), facts]);
    this.#values.set(sortKey(identity), value);
  }

  #remove(name: string, facts: CiliumIdentityFacts): void {
    this.#byName.delete(name);
    this.#byNumber.delete(facts.identity);
    const key = labelSetKey(facts.labels);
    const rest = (this.#byLabels.get(key) ?? []).filter((one) => one !== facts);
    if (rest.length === 0) this.#byLabels.delete(key);
    else this.#byLabels.set(key, rest);
    this.#values.set(sortKey(facts.identity), null);
  }
}

/** In the order of the numbers. */
function sortKey(identity: Identity): string {
  return String(identity).padStart(10, '0');
}
