/**
 * The port policies of one direction and protocol: disjoint ranges, looked up by port. Exact range,
 * else port 0, else deny (PortPolicy in network_policy.cc).
 */
import type { Port } from '../../model/identity.ts';
import type { CompiledRule } from './compiled_rule.ts';
import { type PortOptions, PortRules } from './port_rules.ts';

export interface OrderedRange {
  readonly first: number;
  readonly last: number;
  /** Null: the range yields no verdict and is as if it were not there. */
  readonly rules: readonly CompiledRule[] | null;
}

export class PortTable {
  readonly #ranges: readonly PortRules[];
  readonly #wildcard: PortRules | null;

  constructor(
    ranges: readonly OrderedRange[],
    wildcard: readonly CompiledRule[] | null,
    options: PortOptions,
  ) {
    this.#ranges = ranges.flatMap(({ first, last, rules }) =>
      rules === null ? [] : [new PortRules({ first, last, rules }, options)],
    );
    this.#wildcard =
      wildcard === null ? null : new PortRules({ first: 0, last: 0, rules: wildcard }, options);
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
