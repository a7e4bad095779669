/**
 * Identities that a label set has whatever joins it: a host that has the labels of its node is still the host
 * (identity.go LookupReservedIdentityByLabels). Which numbers are reserved, and what labels they have now.
 */
import { type Identity, RESERVED_IDENTITIES } from '../../model/identity.ts';
import { LABEL_SOURCE_RESERVED, parseLabel, reservedLabel, sortedLabels } from '../labels.ts';
import type { Inventory } from './inventory.ts';

/** Unknown (0) is judged as world before anything is looked up, so it has no labels. */
const NAME_BY_IDENTITY: ReadonlyMap<number, string> = new Map(
  Object.entries(RESERVED_IDENTITIES)
    .filter(([name]) => name !== 'unknown')
    .map(([name, number]) => [number, name]),
);

export interface ReservedOptions {
  /** Labels of nodes are labels of their identities (Cilium's enable-node-selector-labels). */
  readonly hasNodeLabels: boolean;
}

/**
 * The identity of a host, and of another node, by one of its labels; of all others when the label stands alone,
 * so that no workload becomes one by a label of its own. Null: the set has no reserved identity.
 */
export function reservedIdentityOf(
  labels: readonly string[],
  options: ReservedOptions,
): Identity | null {
  const names = reservedNames(labels);
  if (names.has('host')) return RESERVED_IDENTITIES.host as Identity;
  if (names.has('remote-node') && !(options.hasNodeLabels && labels.length > names.size)) {
    const name = names.has('kube-apiserver') ? 'kube-apiserver' : 'remote-node';
    return RESERVED_IDENTITIES[name] as Identity;
  }
  const [name] = names;
  if (name === undefined || labels.length > 1 || !Object.hasOwn(RESERVED_IDENTITIES, name))
    return null;
  const identity = RESERVED_IDENTITIES[name as keyof typeof RESERVED_IDENTITIES];
  return identity === RESERVED_IDENTITIES.unknown ? null : (identity as Identity);
}

export function isReservedNumber(identity: Identity): boolean {
  return NAME_BY_IDENTITY.has(identity);
}

/** True when the labels are those of a reserved identity, with or without others beside its own. */
export function isReservedSet(identity: Identity, labels: readonly string[]): boolean {
  const name = NAME_BY_IDENTITY.get(identity);
  return name !== undefined && reservedNames(labels).has(name);
}

/** Each reserved identity with the labels that all who have it share; its own name is always among them. */
export function reservedIdentities(
  inventory: Pick<Inventory, 'identities' | 'endpoints'>,
  options: ReservedOptions,
): ReadonlyMap<Identity, readonly string[]> {
  const joined = new Map<Identity, readonly string[]>();
  const join = (explicit: Identity | null, labels: readonly string[]): void => {
    const identity = explicit ?? reservedIdentityOf(labels, options);
    if (identity === null || !isReservedSet(identity, labels)) return;
    const known = joined.get(identity);
    joined.set(
      identity,
      known === undefined ? labels : labels.filter((one) => known.includes(one)),
    );
  };
  for (const { identity, labels } of inventory.identities) join(identity, labels);
  for (const { identity, labels } of inventory.endpoints) join(identity, labels);
  const all = new Map<Identity, readonly string[]>();
  for (const [number, name] of NAME_BY_IDENTITY) {
    const identity = number as Identity;
    const isOtherNode = name === 'remote-node' || name === 'kube-apiserver';
    const labels = (joined.get(identity) ?? []).filter(
      (label) => !isOtherNode || options.hasNodeLabels || isReservedLabel(label),
    );
    all.set(identity, sortedLabels([...ownLabels(name), ...labels]));
  }
  return all;
}

/** An API server is also a remote node (pkg/identity/reserved.go). */
function ownLabels(name: string): readonly string[] {
  return name === 'kube-apiserver'
    ? [reservedLabel('kube-apiserver'), reservedLabel('remote-node')]
    : [reservedLabel(name)];
}

function reservedNames(labels: readonly string[]): ReadonlySet<string> {
  // Nobody else is parsed: nearly all endpoints have none.
  if (!labels.some(isReservedLabel)) return NO_NAMES;
  return new Set(
    labels.flatMap((text) => {
      const label = isReservedLabel(text) ? parseLabel(text) : null;
      return label === null ? [] : [label.key];
    }),
  );
}

const NO_NAMES: ReadonlySet<string> = new Set();

function isReservedLabel(label: string): boolean {
  return label.startsWith(`${LABEL_SOURCE_RESERVED}:`);
}
