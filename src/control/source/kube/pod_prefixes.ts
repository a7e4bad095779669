/** Which addresses each node has for its pods, where the cluster gives them out by nodes (spec.podCIDRs). */
import type { IpAddress, IpPrefix } from '../../../model/address.ts';
import { prefixContains } from '../../../model/address.ts';
import { fullPrefix } from '../../../policy/resolve/prefixes.ts';
import { isSameList } from './same.ts';

const NONE: readonly IpPrefix[] = [];

export class PodPrefixes {
  readonly #nodes = new Map<string, readonly IpPrefix[]>();
  /** Null: to be made anew. */
  #all: readonly IpPrefix[] | null = NONE;

  /** False: they are what they were. */
  set(node: string, prefixes: readonly IpPrefix[]): boolean {
    const before = this.#nodes.get(node) ?? NONE;
    if (isSameList(before, prefixes, (one, other) => one.text === other.text)) return false;
    if (prefixes.length === 0) this.#nodes.delete(node);
    else this.#nodes.set(node, prefixes);
    this.#all = null;
    return true;
  }

  /** Of all nodes; the very same list, when nothing changed. */
  list(): readonly IpPrefix[] {
    this.#all ??= [...this.#nodes.values()].flat();
    return this.#all;
  }

  has(node: string, ip: IpAddress): boolean {
    const prefixes = this.#nodes.get(node);
    if (prefixes === undefined) return false;
    const whole = fullPrefix(ip);
    return prefixes.some((prefix) => prefixContains(prefix, whole));
  }
}
