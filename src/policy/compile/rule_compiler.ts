/**
 * PortRule → CompiledRule. Numbers every rule that a decision can name, compiles each pattern once
 * (equal patterns share one automaton), and collects what cannot be enforced as problems.
 */
import type { RuleRef } from '../../model/decision.ts';
import type { Identity } from '../../model/identity.ts';
import { finish, type Steps } from '../../model/steps.ts';
import type { L7Rules, PortRule, RuleOrigin } from '../ast.ts';
import {
  type CompiledL7,
  type CompiledRule,
  NO_COMPILED_L7,
  NO_SELECTOR,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_PASS,
  type VerdictKind,
} from '../compiled/compiled_rule.ts';
import { readyDecisions } from '../compiled/ready_decisions.ts';
import type { SelectorCache } from '../identity/selector_cache.ts';
import type { L7CompileContext } from '../l7/protocol.ts';
import { compileL7 } from '../l7/protocols.ts';
import { MatcherCompiler } from '../match/matcher_compiler.ts';
import type { RegexEngine } from '../match/regex.ts';
import { parseSniPattern, type SniPattern } from '../match/sni_pattern.ts';

export interface CompileProblem {
  readonly origin: RuleOrigin | null;
  /** Name of the endpoint whose policy it is. */
  readonly endpoint: string;
  readonly message: string;
}

/** Whose rule it is, and of which of its ports. */
export interface RulePlace {
  readonly endpoint: string;
  /** See `CompiledRule.ports`. */
  readonly ports: number;
}

const NOBODY: ReadonlySet<Identity> = new Set();

const KINDS = {
  deny: VERDICT_DENY,
  allow: VERDICT_ALLOW,
  pass: VERDICT_PASS,
} as const satisfies Record<PortRule['verdict']['kind'], VerdictKind>;

export class RuleCompiler {
  readonly problems: CompileProblem[] = [];
  readonly #refs = new Map<string, RuleRef>();
  readonly #rules = new Map<PortRule, CompiledRule>();
  readonly #l7: L7CompileContext;
  readonly #selectors: SelectorCache | null;
  #endpoint = '';

  /** `selectors` null: the remotes of every rule are those that were selected when it was made. */
  constructor(
    engine: RegexEngine,
    secrets: ReadonlyMap<string, string>,
    selectors: SelectorCache | null = null,
  ) {
    this.#selectors = selectors;
    const fail = (origin: RuleOrigin, message: string): void => {
      this.fail(this.#endpoint, origin, message);
    };
    this.#l7 = {
      secrets,
      matchers: new MatcherCompiler(engine, fail),
      refOf: (origin) => this.#refOf(origin),
      fail,
    };
  }

  /** In the order in which they were first named; `index` of each is its place here. */
  refs(): readonly RuleRef[] {
    return [...this.#refs.values()];
  }

  /** The same rule object, as endpoints with equal policies share them, is compiled once. */
  compile(rule: PortRule, { endpoint, ports }: RulePlace): CompiledRule {
    this.#endpoint = endpoint;
    return this.#rules.get(rule) ?? finish(this.#compileRule(rule, ports));
  }

  /** Ahead of asking for each: `compile` finds them. */
  *compileAll(rules: readonly PortRule[], { endpoint, ports }: RulePlace): Steps<void> {
    for (const rule of rules) {
      if (this.#rules.has(rule)) continue;
      this.#endpoint = endpoint;
      yield* this.#compileRule(rule, ports);
      yield;
    }
  }

  /** The problem is about the endpoint's policy as a whole, or about one rule in it. */
  fail(endpoint: string, origin: RuleOrigin | null, message: string): void {
    this.problems.push({ origin, endpoint, message });
  }

  *#compileRule(rule: PortRule, ports: number): Steps<CompiledRule> {
    const ref = this.#refOf(rule.origin);
    const passPrecedence = rule.verdict.kind === 'pass' ? rule.verdict.passPrecedence : 0;
    if (passPrecedence > rule.precedence) {
      this.fail(
        this.#endpoint,
        rule.origin,
        `PortNetworkPolicyRule: pass_precedence ${passPrecedence} must be lower than precedence ${rule.precedence}`,
      );
    }
    const compiled: CompiledRule = {
      source: rule,
      ref,
      precedence: rule.precedence,
      kind: KINDS[rule.verdict.kind],
      passPrecedence,
      proxyId: rule.proxyId,
      ...this.#remotesOf(rule),
      serverNames: this.#serverNames(rule),
      l7: yield* this.#compileL7(rule.l7),
      ports,
      decisions: readyDecisions(ref),
    };
    this.#rules.set(rule, compiled);
    return compiled;
  }

  #remotesOf({ remotes, selector }: PortRule): Pick<CompiledRule, 'remotes' | 'selector'> {
    if (selector === undefined || this.#selectors === null) {
      return { remotes, selector: NO_SELECTOR };
    }
    return { remotes: NOBODY, selector: this.#selectors.add(selector) };
  }

  *#compileL7(l7: L7Rules): Steps<CompiledL7> {
    return l7.kind === 'none' ? NO_COMPILED_L7 : yield* compileL7(l7, this.#l7);
  }

  #serverNames(rule: PortRule): readonly SniPattern[] {
    const patterns: SniPattern[] = [];
    for (const text of rule.serverNames) {
      const pattern = parseSniPattern(text);
      if (pattern !== null) patterns.push(pattern);
      else this.fail(this.#endpoint, rule.origin, `SniPattern: Unsupported match pattern ${text}`);
    }
    return patterns;
  }

  #refOf(origin: RuleOrigin): RuleRef {
    const key = `${origin.policy}\n${origin.rule}`;
    let ref = this.#refs.get(key);
    if (ref === undefined) {
      ref = Object.freeze({ policy: origin.policy, rule: origin.rule, index: this.#refs.size });
      this.#refs.set(key, ref);
    }
    return ref;
  }
}
