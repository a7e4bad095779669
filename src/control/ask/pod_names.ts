/**
 * Names as people say them in a cluster: a pod's, or that of what made the pod ("shop/orders" for
 * "shop/orders-7d9f8c6b5-x2x4z"). What made a pod stands for its pods as long as policy takes them for one.
 */

import { RESERVED_IDENTITIES } from '../../model/identity.ts';
import { nearestName } from '../../model/nearest.ts';
import { subjectKey } from '../../policy/identity/subject_numbers.ts';
import { compareText, labelSetKey } from '../../policy/labels.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';

export type FoundPod =
  | {
      readonly kind: 'pod';
      /** "namespace/name". */
      readonly name: string;
      /** Of what made them, sorted; `name` is the first. Null: it is the pod's own name. */
      readonly pods: readonly string[] | null;
    }
  | { readonly kind: 'unknown'; readonly message: string };

/** `subject`: whose policy is asked, so named ports count, too. `remote`: only who it is. */
export type NameUse = 'subject' | 'remote';

export class PodNames {
  readonly #byName: ReadonlyMap<string, InventoryEndpoint>;
  readonly #namespace: string;
  #byMaker: ReadonlyMap<string, readonly InventoryEndpoint[]> | null = null;

  /** `namespace`: of names without one. */
  constructor(endpoints: readonly InventoryEndpoint[], namespace: string) {
    this.#byName = new Map(endpoints.map((endpoint) => [endpoint.name, endpoint]));
    this.#namespace = namespace;
  }

  find(text: string, use: NameUse): FoundPod {
    const name = text.includes('/') ? text : `${this.#namespace}/${text}`;
    if (this.#byName.has(name)) return { kind: 'pod', name, pods: null };
    const made = this.#madeBy(name);
    if (made.length === 0) return { kind: 'unknown', message: this.#unknown(name) };
    const kinds = Map.groupBy(made, (pod) =>
      use === 'subject' ? subjectKey(pod) : labelSetKey(pod.labels),
    );
    if (kinds.size > 1) return { kind: 'unknown', message: severalText(name, kinds) };
    const pods = made.map((pod) => pod.name).sort(compareText);
    return { kind: 'pod', name: pods[0] as string, pods };
  }

  /** Those with a name that a controller gives, else all whose names begin so. */
  #madeBy(name: string): readonly InventoryEndpoint[] {
    this.#byMaker ??= byMaker([...this.#byName.values()]);
    const made = this.#byMaker.get(name);
    if (made !== undefined) return made;
    return [...this.#byName.values()].filter((pod) => pod.name.startsWith(`${name}-`));
  }

  #unknown(name: string): string {
    const reserved = RESERVED.get(name.slice(name.indexOf('/') + 1));
    if (reserved !== undefined) {
      return `no pod is named "${name}"; for the entity give --label ${reserved}`;
    }
    const slash = name.indexOf('/') + 1;
    const namespace = name.slice(0, slash);
    const known = this.#sayable();
    const here = known.filter((one) => one.startsWith(namespace));
    const near = nearestName(
      name.slice(slash),
      here.map((one) => one.slice(slash)),
    );
    if (near !== null) return `no pod is named "${name}"; did you mean ${namespace}${near}?`;
    const elsewhere = elsewhereOf(name, known) ?? nearestName(name, known);
    if (elsewhere !== null) return `no pod is named "${name}"; did you mean ${elsewhere}?`;
    return `no pod is named "${name}" (${knownText(namespace.slice(0, -1), here)})`;
  }

  /** What made pods, and pods that nothing made; sorted. */
  #sayable(): readonly string[] {
    const names = [...this.#byName.keys()].map((pod) => makersOf(pod)[0] ?? pod);
    return [...new Set(names)].sort(compareText);
  }
}

const RESERVED: ReadonlyMap<string, string> = new Map(
  Object.keys(RESERVED_IDENTITIES).map((name) => [name, `reserved:${name}`]),
);

const SHOWN_MAX = 5;

function knownText(namespace: string, names: readonly string[]): string {
  if (names.length === 0) return `the namespace ${namespace} has no pods`;
  const more = names.length - SHOWN_MAX;
  return `there: ${names.slice(0, SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** The same name in another namespace. */
function elsewhereOf(name: string, known: readonly string[]): string | null {
  const own = name.slice(name.indexOf('/'));
  return known.find((one) => one.endsWith(own)) ?? null;
}

function severalText(
  name: string,
  kinds: ReadonlyMap<string, readonly InventoryEndpoint[]>,
): string {
  const lists = [...kinds.values()].map((pods) => {
    const [first] = pods as readonly [InventoryEndpoint];
    return pods.length === 1 ? first.name : `${first.name} (and ${pods.length - 1} like it)`;
  });
  const more = lists.length - SHOWN_MAX;
  const shown = lists.sort(compareText).slice(0, SHOWN_MAX).join(', ');
  return (
    `the pods of "${name}" are not alike to policy: their labels or named ports differ; ` +
    `name one of them: ${shown}${more > 0 ? ` and ${more} more kinds` : ''}`
  );
}

function byMaker(
  endpoints: readonly InventoryEndpoint[],
): ReadonlyMap<string, readonly InventoryEndpoint[]> {
  const makers = new Map<string, InventoryEndpoint[]>();
  for (const endpoint of endpoints) {
    for (const maker of makersOf(endpoint.name)) {
      const known = makers.get(maker);
      if (known === undefined) makers.set(maker, [endpoint]);
      else known.push(endpoint);
    }
  }
  return makers;
}

/**
 * A ReplicaSet’s hash and a pod's own end, a pod's own end alone, and a StatefulSet's number. What Kubernetes makes up
 * has no vowels (util/rand), so it is no word.
 */
const ENDS: readonly RegExp[] = [
  /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{1,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$/,
  /^(.+)-[bcdfghjklmnpqrstvwxz2456789]{5}$/,
  /^(.+)-[0-9]{1,6}$/,
];

/** "shop/orders" and "shop/orders-7d9f8c6b5" of "shop/orders-7d9f8c6b5-x2x4z". */
export function makersOf(pod: string): readonly string[] {
  return ENDS.flatMap((end) => end.exec(pod)?.[1] ?? []);
}
