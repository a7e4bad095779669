/**
 * What an L7 protocol gives the engine. One folder a protocol; `protocols.ts` lists them. docs/extending.md says how to
 * add one.
 *
 *     AST ──compile──► CompiledRule.l7 ──decide──► Decision
 *                                      ├─explain──► what became of each rule, and why
 *                                      └─print──► canonical text
 */
import type { Decision, L7Protocol, RuleRef } from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { Steps } from '../../model/steps.ts';
import type { L7RuleTypes, RuleOrigin } from '../ast.ts';
import type { CompiledL7Of, CompiledRule } from '../compiled/compiled_rule.ts';
import type { View } from '../compiled/port_rules.ts';
import type { L7Steps, RuleOutcome, RuleStep } from '../explanation.ts';
import type { MatcherCompiler } from '../match/matcher_compiler.ts';

export interface L7Engine<P extends L7Protocol> {
  compile(rules: readonly L7RuleTypes[P][], context: L7CompileContext): Steps<CompiledL7Of<P>>;
  /**
   * What the rules of the view say of it; null when none of them is about the remote at all, so that the connection's
   * denial says why. The caller counts what it costs, and catches what is thrown.
   */
  decide(view: View, asked: L7Asked[P]): Decision | null;
  /** The same rule by rule, without short cuts. */
  explain(view: View, asked: L7Asked[P]): L7Trace;
  /** One line a rule. */
  print(rules: CompiledL7Of<P>): readonly string[];
}

/** What a verdict is asked about. */
export interface L7Asked {
  readonly http: RequestHead;
  /** A name, as the question has it. */
  readonly dns: string;
}

export interface L7CompileContext {
  readonly secrets: ReadonlyMap<string, string>;
  readonly matchers: MatcherCompiler;
  /** The rule's name in decisions. */
  refOf(origin: RuleOrigin): RuleRef;
  /** What cannot be enforced: then nothing of the set is put in force. */
  fail(origin: RuleOrigin, message: string): void;
}

/** One question, put to one rule after the other. */
export interface L7Trace {
  /** False where the check does not look at the server name. */
  readonly looksAtServerName: boolean;
  /** True when the first allow ends it, false when the rest of its precedence is run, too. */
  readonly isSettledByAllow: boolean;
  /** Why the rule is not asked, beyond what holds for every protocol; null when it is. */
  skipped(rule: CompiledRule): RuleOutcome | null;
  /** Deny rules included, which match whatever their L7 rules say. */
  ask(rule: CompiledRule): L7Answer;
  /** With what little was in the way of those that nearly matched. Called once, at the end. */
  withHints(steps: readonly RuleStep[]): readonly RuleStep[];
}

export interface L7Answer {
  readonly isMatch: boolean;
  /** Of the trace's own protocol. */
  readonly steps: Partial<L7Steps>;
  /** See `RuleStep.asked`. */
  readonly asked?: string;
}
