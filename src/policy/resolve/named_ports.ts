/** What port names mean at a destination: each endpoint says so for itself, so a name can be several numbers. */
import type { Identity, PolicyProtocol } from '../../model/identity.ts';
import type { KnownIdentities } from './identity_table.ts';
import type { InventoryEndpoint } from './inventory.ts';

/** Number → those at whom the name means it. */
export type NamedNumbers = ReadonlyMap<number, ReadonlySet<Identity>>;

type Holders = ReadonlyMap<Identity, ReadonlySet<number>>;

const NOBODY: Holders = new Map();

export class NamedPorts {
  readonly #endpoints: readonly InventoryEndpoint[];
  readonly #table: KnownIdentities;
  /** Made when somebody asks: few rules name a port of a destination. */
  #holders: ReadonlyMap<string, Holders> | null = null;
  readonly #atAnybody = new Map<string, NamedNumbers>();

  constructor(endpoints: readonly InventoryEndpoint[], table: KnownIdentities) {
    this.#endpoints = endpoints;
    this.#table = table;
  }

  /** `remotes` null: at anybody. */
  numbersOf(
    name: string,
    protocol: PolicyProtocol,
    remotes: ReadonlySet<Identity> | null,
  ): NamedNumbers {
    const key = keyOf(name, protocol);
    this.#holders ??= holdersOf(this.#endpoints, this.#table);
    const holders: Holders = this.#holders.get(key) ?? NOBODY;
    if (remotes === null) {
      return entryOf(this.#atAnybody, key, () => numbersAt(holders.keys(), holders));
    }
    // A policy may name few of many, or nearly all where few have the name.
    return remotes.size < holders.size
      ? numbersAt(remotes, holders)
      : numbersAt(
          [...holders.keys()].filter((identity) => remotes.has(identity)),
          holders,
        );
  }
}

function holdersOf(
  endpoints: readonly InventoryEndpoint[],
  table: KnownIdentities,
): ReadonlyMap<string, Holders> {
  const byName = new Map<string, Map<Identity, Set<number>>>();
  for (const { name: endpoint, namedPorts } of endpoints) {
    if (namedPorts.length === 0) continue;
    const identity = table.identityOfEndpoint(endpoint);
    if (identity === null) continue;
    for (const { name, protocol, port } of namedPorts) {
      const holders = entryOf(byName, keyOf(name, protocol), () => new Map());
      entryOf(holders, identity, () => new Set<number>()).add(port);
    }
  }
  return byName;
}

function numbersAt(identities: Iterable<Identity>, holders: Holders): NamedNumbers {
  const numbers = new Map<number, Set<Identity>>();
  for (const identity of identities) {
    for (const port of holders.get(identity) ?? []) {
      entryOf(numbers, port, () => new Set<Identity>()).add(identity);
    }
  }
  return numbers;
}

function keyOf(name: string, protocol: PolicyProtocol): string {
  return `${name} ${protocol}`;
}

function entryOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
