/**
 * The rules of one port range in asking order: its own, and those of port 0, which every range of a table has. They
 * are joined when somebody first asks: joined ahead, a table would be as large as its ranges × the rules of port 0.
 */
import { type CompiledRule, hasHeaderMatches, VERDICT_PASS } from './compiled_rule.ts';
import { mergeOrdered, orderRules } from './rule_order.ts';

/** Rules in asking order, and what is true of any or all of them. */
export class OrderedRules {
  readonly all: readonly CompiledRule[];
  readonly hasL7: boolean;
  readonly hasHeaderMatches: boolean;
  readonly hasPasses: boolean;
  readonly isPassesOnly: boolean;

  private constructor(rules: readonly CompiledRule[]) {
    this.all = rules;
    this.hasL7 = rules.some(({ l7 }) => l7.kind !== 'none');
    this.hasHeaderMatches = rules.some(hasHeaderMatches);
    this.hasPasses = rules.some(isPass);
    this.isPassesOnly = rules.every(isPass);
  }

  static of(rules: readonly CompiledRule[]): OrderedRules {
    return rules.length === 0 ? NO_RULES : new OrderedRules(orderRules(rules));
  }

  static none(): OrderedRules {
    return new OrderedRules([]);
  }

  isSame(other: OrderedRules): boolean {
    if (this === other) return true;
    return (
      this.all.length === other.all.length &&
      this.all.every((rule, index) => rule === other.all[index])
    );
  }
}

export const NO_RULES = OrderedRules.none();

export class RangeRules {
  readonly own: OrderedRules;
  /** Those of port 0; none of port 0 itself. */
  readonly shared: OrderedRules;
  #all: readonly CompiledRule[] | null = null;

  constructor(own: OrderedRules, shared: OrderedRules) {
    this.own = own;
    this.shared = shared;
  }

  get all(): readonly CompiledRule[] {
    this.#all ??= mergeOrdered(this.own.all, this.shared.all);
    return this.#all;
  }

  get hasL7(): boolean {
    return this.own.hasL7 || this.shared.hasL7;
  }

  get hasHeaderMatches(): boolean {
    return this.own.hasHeaderMatches || this.shared.hasHeaderMatches;
  }

  get hasPasses(): boolean {
    return this.own.hasPasses || this.shared.hasPasses;
  }

  /** True of no rules, too. */
  get isPassesOnly(): boolean {
    return this.own.isPassesOnly && this.shared.isPassesOnly;
  }
}

function isPass({ kind }: CompiledRule): boolean {
  return kind === VERDICT_PASS;
}
