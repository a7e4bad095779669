/**
 * The port policies of one direction and protocol: disjoint ranges, looked up by port. Exact range,
 * else port 0, else deny (PortPolicy in network_policy.cc).
 */
import type { Port } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import type { CompiledRule } from './compiled_rule.ts';
import { type PortOptions, PortRules, type RuledRange } from './port_rules.ts';

export interface OrderedRange {
  readonly first: number;
  readonly last: number;
  /** Null: the range yields no verdict and is as if it were not there. */
  readonly rules: readonly CompiledRule[] | null;
}

export class PortTable {
  readonly #ranges: readonly PortRules[];
  readonly #wildcard: PortRules | null;

  private constructor(ranges: readonly PortRules[], wildcard: PortRules | null) {
    this.#ranges = ranges;
    this.#wildcard = wildcard;
  }

  /** What `before` has of the same rules on the same ports is taken over, with the views that are made. */
  static *build(
    given: { readonly ranges: readonly OrderedRange[]; readonly wildcard: OrderedRange['rules'] },
    options: PortOptions,
    before: PortTable | null,
  ): Steps<PortTable> {
    const { wildcard } = given;
    const kept = new Map((before?.all() ?? []).map((port) => [port.first, port]));
    const portOf = (range: RuledRange): PortRules => {
      const known = kept.get(range.first);
      return known !== undefined && isSame(known, range) ? known : new PortRules(range, options);
    };
    const ranges: PortRules[] = [];
    for (const { first, last, rules } of given.ranges) {
      if (rules !== null) ranges.push(portOf({ first, last, rules }));
      yield;
    }
    return new PortTable(
      ranges,
      wildcard === null ? null : portOf({ first: 0, last: 0, rules: wildcard }),
    );
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

function isSame(port: PortRules, { last, rules }: RuledRange): boolean {
  return (
    port.last === last &&
    port.rules.length === rules.length &&
    port.rules.every((rule, index) => rule === rules[index])
  );
}
