/** Addresses of pods, nodes and services, as the inventory has them: followed by what differs. */
import type { IpPrefix, IpText } from '../../model/address.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../policy/resolve/inventory.ts';
import { changedItems, editsBetween } from '../set/edits.ts';
import type { ClusterAddresses } from './unlearnable.ts';

export class InventoryAddresses implements ClusterAddresses {
  /** Of the configuration. */
  readonly #configured: readonly IpPrefix[];
  #prefixes: readonly IpPrefix[];
  readonly ips = { has: (ip: IpText): boolean => this.#counts.has(ip) };
  readonly #counts = new Map<IpText, number>();
  #inventory: Inventory = EMPTY_INVENTORY;

  constructor(configured: readonly IpPrefix[]) {
    this.#configured = configured;
    this.#prefixes = configured;
  }

  /** The very same list, when they are the same. */
  get prefixes(): readonly IpPrefix[] {
    return this.#prefixes;
  }

  /** Addresses that are somebody's now, or nobody's any more. */
  follow(inventory: Inventory): readonly IpText[] {
    const before = this.#inventory;
    this.#inventory = inventory;
    if (inventory.podPrefixes !== before.podPrefixes) {
      this.#prefixes = [...this.#configured, ...(inventory.podPrefixes ?? [])];
    }
    const moved: IpText[] = [];
    const count = (ip: IpText, by: 1 | -1): void => {
      const next = (this.#counts.get(ip) ?? 0) + by;
      if (next === 0) this.#counts.delete(ip);
      else this.#counts.set(ip, next);
      moved.push(ip);
    };
    const countAll = <Item extends object>(
      [from, to]: readonly [readonly Item[], readonly Item[]],
      ipsOf: (item: Item) => readonly IpText[],
    ): void => {
      const { gone, come } = changedItems(editsBetween(from, to));
      for (const item of gone) for (const ip of ipsOf(item)) count(ip, -1);
      for (const item of come) for (const ip of ipsOf(item)) count(ip, 1);
    };
    countAll([before.endpoints, inventory.endpoints], ({ ips }) => ips.map(({ text }) => text));
    countAll([before.services, inventory.services], ({ spec }) =>
      spec === null ? [] : [...spec.clusterIps, ...spec.externalIps, ...spec.loadBalancerIps],
    );
    return moved;
  }
}
