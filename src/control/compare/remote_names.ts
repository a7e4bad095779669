/** Identities as people call them: pods by what their names have in common, entities, prefixes and names. */
import { type Identity, RESERVED_IDENTITIES } from '../../model/identity.ts';
import { compareText, LABEL_SOURCE_FQDN, parseLabel } from '../../policy/labels.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';
import type { InventoryEndpoint } from '../../policy/resolve/inventory.ts';

export interface RemoteName {
  /** "shop/web-5f6b7c8d9-*", "world", "192.0.2.0/24". */
  readonly name: string;
  /** 0: it is none of pods. */
  readonly podCount: number;
}

const RESERVED_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(RESERVED_IDENTITIES).map(([name, identity]) => [identity, name]),
);

export class RemoteNames {
  readonly #table: IdentityTable;
  readonly #pods = new Map<Identity, string[]>();

  constructor(table: IdentityTable, endpoints: readonly InventoryEndpoint[]) {
    this.#table = table;
    for (const { name } of endpoints) {
      const identity = table.identityOfEndpoint(name);
      if (identity === null || RESERVED_NAMES.has(identity)) continue;
      const known = this.#pods.get(identity);
      if (known === undefined) this.#pods.set(identity, [name]);
      else known.push(name);
    }
  }

  /** Pods first, by name; each name once. */
  of(identities: readonly Identity[]): readonly RemoteName[] {
    const byName = new Map<string, number>();
    const given = new Set(identities);
    for (const identity of identities) {
      const name = this.#nameOf(identity, given);
      if (name !== null) byName.set(name.name, (byName.get(name.name) ?? 0) + name.podCount);
    }
    return [...byName]
      .map(([name, podCount]) => ({ name, podCount }))
      .sort(
        (a, b) => Number(b.podCount > 0) - Number(a.podCount > 0) || compareText(a.name, b.name),
      );
  }

  /** Null: another one says it, too. */
  #nameOf(identity: Identity, given: ReadonlySet<Identity>): RemoteName | null {
    const pods = this.#pods.get(identity);
    if (pods !== undefined) return { name: commonName(pods), podCount: pods.length };
    const reserved = RESERVED_NAMES.get(identity);
    if (reserved !== undefined) {
      // Its families are told apart only where a policy does.
      const isPart = reserved.startsWith('world-') && given.has(WORLD);
      return isPart ? null : { name: reserved, podCount: 0 };
    }
    return { name: this.#otherName(identity), podCount: 0 };
  }

  #otherName(identity: Identity): string {
    const entry = this.#table.entry(identity);
    const named = (entry?.set.labels ?? [])
      .map(parseLabel)
      .find((label) => label?.source === LABEL_SOURCE_FQDN);
    if (named !== undefined && named !== null) return named.key;
    const [prefix] = entry?.prefixes ?? [];
    return prefix?.text ?? `identity ${identity}`;
  }
}

const WORLD = RESERVED_IDENTITIES.world as Identity;

/** "shop/web-*" of "shop/web-1" and "shop/web-2"; one name is itself. */
export function commonName(names: readonly string[]): string {
  const [first = '', ...others] = names;
  if (others.length === 0) return first;
  let length = first.length;
  for (const name of others) {
    while (!name.startsWith(first.slice(0, length))) length -= 1;
  }
  // Not in the middle of a word.
  const common = first.slice(0, length).replace(/[^-/]*$/, '');
  return `${common === '' ? '' : common}*`;
}
