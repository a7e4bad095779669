/**
 * hot path
 *
 * How often each rule settled a decision, and when last. Counts stay when the policy set is replaced
 * and (policy, rule) is still in it. The first `countMax` rules have a counter of their own, the rest
 * share one; so do decisions of rules that have left in the meantime.
 */
import type { RuleRef } from '../../model/decision.ts';
import { finish, ITEMS_PER_STEP, type Steps } from '../../model/steps.ts';
import type { ObservedPolicy } from '../observed_policy.ts';
import type { MetricSample } from './cells.ts';
import { OTHER_RULE } from './table.ts';

type RuleName = Pick<RuleRef, 'policy' | 'rule'>;

interface RuleCell {
  readonly policy: string;
  readonly rule: string;
  /**
   * True when it is worth telling that it never matched. Not so for a rule that others stand in (with
   * HTTP rules it settles nothing itself), nor for one that the engine made ("allow localhost").
   */
  isExpected: boolean;
  allowCount: number;
  denyCount: number;
  /** Milliseconds since the epoch; 0 for never. */
  lastMatchMs: number;
}

type HitPolicy = Pick<ObservedPolicy, 'rules' | 'policyNames'>;

interface Prepared {
  readonly rules: readonly RuleRef[];
  /** Beside `rules`. */
  readonly cells: readonly RuleCell[];
  readonly byName: ReadonlyMap<string, RuleCell>;
}

export class RuleHits {
  readonly #countMax: number;
  readonly #other: RuleCell = cellOf({ policy: OTHER_RULE, rule: OTHER_RULE });
  #rules: readonly RuleRef[] = [];
  /** Beside `#rules`. */
  #cells: readonly RuleCell[] = [];
  #byName: ReadonlyMap<string, RuleCell> = new Map();
  #prepared: Prepared | null = null;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /**
   * Cells for the rules of a policy set that is about to come, ahead of `replace`. Those of rules that stay
   * are the same, and go on counting.
   */
  *prepare(policy: HitPolicy): Steps<void> {
    const { rules } = policy;
    const containers = yield* containersOf(rules);
    const policyNames = new Set(policy.policyNames);
    const byName = new Map<string, RuleCell>();
    const cells: RuleCell[] = [];
    for (const rule of rules) {
      const key = keyOf(rule);
      let cell = byName.get(key) ?? null;
      if (cell === null && byName.size < this.#countMax) {
        cell = this.#byName.get(key) ?? cellOf(rule);
        cell.isExpected = !containers.has(key) && policyNames.has(rule.policy);
        byName.set(key, cell);
      }
      cells.push(cell ?? this.#other);
      if (cells.length % ITEMS_PER_STEP === 0) yield;
    }
    this.#prepared = { rules, cells, byName };
  }

  /** Rules of a new policy set. Not for the hot path, least so when they were not prepared. */
  replace(policy: HitPolicy): void {
    if (this.#prepared?.rules !== policy.rules) finish(this.prepare(policy));
    const prepared = this.#prepared;
    if (prepared === null) return;
    this.#rules = prepared.rules;
    this.#cells = prepared.cells;
    this.#byName = prepared.byName;
    this.#prepared = null;
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

function cellOf({ policy, rule }: RuleName): RuleCell {
  return { policy, rule, isExpected: false, allowCount: 0, denyCount: 0, lastMatchMs: 0 };
}

/** A rule that never matched has shown no verdict; its place in the policy tells it. */
function expectedVerdict(rule: string): 'allow' | 'deny' {
  return /(^|\.)(ingress|egress)Deny\[/.test(rule) ? 'deny' : 'allow';
}

/** Keys of rules that another rule's field path begins with. */
function* containersOf(rules: readonly RuleRef[]): Steps<ReadonlySet<string>> {
  const containers = new Set<string>();
  for (const [index, { policy, rule }] of rules.entries()) {
    if (index % ITEMS_PER_STEP === 0) yield;
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
