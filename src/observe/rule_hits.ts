/**
 * hot path
 *
 * How often each rule settled a decision, and when last. Counts stay when the policy set is replaced
 * and (policy, rule) is still in it. The first `countMax` rules have a counter of their own, the rest
 * share one; so do decisions of rules that have left in the meantime.
 */
import type { RuleRef } from '../model/decision.ts';
import type { MetricSample } from './metric_cells.ts';
import { OTHER_RULE } from './metric_table.ts';
import type { ObservedPolicy } from './observed_policy.ts';

type RuleName = Pick<RuleRef, 'policy' | 'rule'>;

interface RuleCell {
  readonly policy: string;
  readonly rule: string;
  /**
   * True when it is worth telling that it never matched. Not so for a rule that others stand in (with
   * HTTP rules it settles nothing itself), nor for one that the engine made ("allow localhost").
   */
  readonly isExpected: boolean;
  allowCount: number;
  denyCount: number;
  /** Milliseconds since the epoch; 0 for never. */
  lastMatchMs: number;
}

export class RuleHits {
  readonly #countMax: number;
  readonly #other: RuleCell = cellOf({ policy: OTHER_RULE, rule: OTHER_RULE }, false);
  #rules: readonly RuleRef[] = [];
  /** Beside `#rules`. */
  #cells: readonly RuleCell[] = [];
  #byName = new Map<string, RuleCell>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Rules of a new policy set. Not for the hot path. */
  replace(policy: Pick<ObservedPolicy, 'rules' | 'policyNames'>): void {
    const { rules } = policy;
    const containers = containersOf(rules);
    const policyNames = new Set(policy.policyNames);
    const byName = new Map<string, RuleCell>();
    this.#cells = rules.map((rule) => {
      const key = keyOf(rule);
      let cell = byName.get(key);
      if (cell !== undefined) return cell;
      if (byName.size >= this.#countMax) return this.#other;
      const known = this.#byName.get(key);
      const isExpected = !containers.has(key) && policyNames.has(rule.policy);
      cell = cellOf(rule, isExpected, known);
      byName.set(key, cell);
      return cell;
    });
    this.#rules = rules;
    this.#byName = byName;
  }

  count(rule: RuleRef, isAllow: boolean, atMs: number): void {
    const { index } = rule;
    // A request that began under an earlier policy set names a rule of that set.
    const cell =
      this.#rules[index] === rule
        ? (this.#cells[index] as RuleCell)
        : (this.#byName.get(keyOf(rule)) ?? this.#other);
    if (isAllow) cell.allowCount++;
    else cell.denyCount++;
    if (atMs > cell.lastMatchMs) cell.lastMatchMs = atMs;
  }

  hitSamples(): MetricSample[] {
    const samples: MetricSample[] = [];
    for (const cell of this.#all()) {
      const { policy, rule, allowCount, denyCount } = cell;
      const add = (verdict: string, value: number): void => {
        samples.push({ suffix: '', labels: { policy, rule, verdict }, value });
      };
      if (allowCount > 0) add('allow', allowCount);
      if (denyCount > 0) add('deny', denyCount);
      if (allowCount + denyCount === 0 && cell.isExpected) add(expectedVerdict(rule), 0);
    }
    return samples;
  }

  lastMatchSamples(): MetricSample[] {
    return this.#all()
      .filter(({ lastMatchMs }) => lastMatchMs > 0)
      .map(({ policy, rule, lastMatchMs }) => ({
        suffix: '' as const,
        labels: { policy, rule },
        value: lastMatchMs / 1000,
      }));
  }

  #all(): readonly RuleCell[] {
    return [...this.#byName.values(), this.#other];
  }
}

function cellOf(rule: RuleName, isExpected: boolean, known?: RuleCell): RuleCell {
  return {
    policy: rule.policy,
    rule: rule.rule,
    isExpected,
    allowCount: known?.allowCount ?? 0,
    denyCount: known?.denyCount ?? 0,
    lastMatchMs: known?.lastMatchMs ?? 0,
  };
}

/** A rule that never matched has shown no verdict; its place in the policy tells it. */
function expectedVerdict(rule: string): 'allow' | 'deny' {
  return /(^|\.)(ingress|egress)Deny\[/.test(rule) ? 'deny' : 'allow';
}

/** Keys of rules that another rule's field path begins with. */
function containersOf(rules: readonly RuleRef[]): ReadonlySet<string> {
  const containers = new Set<string>();
  for (const { policy, rule } of rules) {
    for (let dot = rule.lastIndexOf('.'); dot > 0; dot = rule.lastIndexOf('.', dot - 1)) {
      const key = keyOf({ policy, rule: rule.slice(0, dot) });
      // What contains it was added with it.
      if (containers.has(key)) break;
      containers.add(key);
    }
  }
  return containers;
}

function keyOf({ policy, rule }: RuleName): string {
  return `${policy}\n${rule}`;
}
