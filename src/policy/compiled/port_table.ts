/**
 * The port policies of one direction and protocol: disjoint ranges, looked up by port. Exact range,
 * else port 0, else deny (PortPolicy in network_policy.cc).
 */
import type { Port } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import { type PortOptions, PortRules, type RuledRange } from './port_rules.ts';
import { NO_RULES, type OrderedRules, RangeRules } from './range_rules.ts';

export interface GivenPorts {
  /** Ascending, disjoint. */
  readonly ranges: readonly RuledRange[];
  /** The rules of port 0, which are among those of every range, too. */
  readonly shared: OrderedRules;
}

export class PortTable {
  readonly #ranges: readonly PortRules[];
  readonly #wildcard: PortRules | null;
  readonly #shared: OrderedRules;

  private constructor(
    ranges: readonly PortRules[],
    wildcard: PortRules | null,
    shared: OrderedRules,
  ) {
    this.#ranges = ranges;
    this.#wildcard = wildcard;
    this.#shared = shared;
  }

  /** What `before` has of the same rules on the same ports is taken over, with the views that are made. */
  static *build(
    given: GivenPorts,
    options: PortOptions,
    before: PortTable | null,
  ): Steps<PortTable> {
    const { shared } = given;
    // Asked once for all ranges. Where it is not so, each range has other rules.
    const isSharedKept = before !== null && shared.isSame(before.#shared);
    const kept = new Map(isSharedKept ? before.all().map((port) => [port.first, port]) : []);
    const portOf = (range: RuledRange): PortRules => {
      const known = kept.get(range.first);
      const isKept = known?.last === range.last && known.own.isSame(range.rules.own);
      return isKept ? known : new PortRules(range, options);
    };
    const ranges: PortRules[] = [];
    for (const range of given.ranges) {
      ranges.push(portOf(range));
      yield;
    }
    const wildcard = { first: 0, last: 0, rules: new RangeRules(shared, NO_RULES) };
    return new PortTable(ranges, shared.isPassesOnly ? null : portOf(wildcard), shared);
  }

  find(port: Port): PortRules | null {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle] as PortRules;
      if (port < range.first) high = middle - 1;
      else if (port > range.last) low = middle + 1;
      else return range;
    }
    return this.#wildcard;
  }

  /** Ascending, the wildcard first. */
  all(): readonly PortRules[] {
    return this.#wildcard === null ? this.#ranges : [this.#wildcard, ...this.#ranges];
  }
}
