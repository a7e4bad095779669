/**
 * Which interface is whose, of the endpoints of this node. An interface that two of them seem to have is nobody's, and
 * so is closed: to guess would judge one pod by the policy of another.
 */
import type { IpText } from '../../../model/address.ts';
import type { WorkloadEndpoint } from './workloads.ts';

/** By an address of the pod behind it. */
export type InterfaceNames = ReadonlyMap<IpText, string>;

export class LocalInterfaces {
  readonly #endpoints = new Map<string, WorkloadEndpoint>();
  #names: InterfaceNames = new Map();
  #isDirty = false;

  setNames(names: InterfaceNames): void {
    // Without any, before or after, nobody has one.
    if (names.size > 0 || this.#names.size > 0) this.#isDirty = true;
    this.#names = names;
  }

  /** Null: there is none, or it is not of this node. */
  setEndpoint(key: string, endpoint: WorkloadEndpoint | null): void {
    const isKnown = this.#endpoints.has(key);
    if (endpoint === null) this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
    if ((endpoint !== null || isKnown) && this.#names.size > 0) this.#isDirty = true;
  }

  /** All that have been set, each with the name of its interface. */
  takeChanged(): readonly (readonly [WorkloadEndpoint, string | null])[] {
    if (!this.#isDirty) return [];
    this.#isDirty = false;
    const found = [...this.#endpoints.values()].map(
      (endpoint) => [endpoint, this.#nameOf(endpoint)] as const,
    );
    const counts = new Map<string, number>();
    for (const [, name] of found) {
      if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return found.map(([endpoint, name]) => [
      endpoint,
      name !== null && counts.get(name) === 1 ? name : null,
    ]);
  }

  /** Null: none, or more than one. */
  #nameOf({ ips }: WorkloadEndpoint): string | null {
    const names = new Set(ips.flatMap(({ text }) => this.#names.get(text) ?? []));
    const [name] = names;
    return name !== undefined && names.size === 1 ? name : null;
  }
}
