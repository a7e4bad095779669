/** HttpRule → CompiledHttpRule: what `HttpIndex` finds it by, what is asked beside that, and its decision. */
import { NO_FIELDS } from '../../../model/decision.ts';
import type { Steps } from '../../../model/steps.ts';
import type { HttpRule } from '../../ast.ts';
import type { CompiledHttpRule, CompiledHttpRules } from '../../compiled/http_rules.ts';
import { allowDecision } from '../../compiled/ready_decisions.ts';
import { compileHeaderMatch } from '../../match/header_match.ts';
import type { MatcherCompiler } from '../../match/matcher_compiler.ts';
import type { CompiledMatcher } from '../../match/value_match.ts';
import type { L7CompileContext } from '../protocol.ts';

/** Each may have patterns, of which one takes 5 to 20 µs the first time. */
const RULES_PER_STEP = 16;
const PLACES_PER_STEP = 20;

export function* compileHttpRules(
  sources: readonly HttpRule[],
  context: L7CompileContext,
): Steps<CompiledHttpRules> {
  const rules: CompiledHttpRule[] = [];
  for (const source of sources) {
    rules.push(compileHttpRule(source, context));
    if (rules.length % RULES_PER_STEP === 0 || hasLargePattern(source, context.matchers)) yield;
  }
  const hasHeaderMatches = rules.some(({ headerMatches }) => headerMatches.length > 0);
  return { kind: 'http', rules, hasHeaderMatches };
}

function compileHttpRule(source: HttpRule, context: L7CompileContext): CompiledHttpRule {
  const { origin } = source;
  for (const match of source.headerMatches) {
    if (match.name.startsWith(':')) {
      context.fail(origin, `header match on the pseudo-field "${match.name}"`);
    }
  }
  const ref = context.refOf(origin);
  const matchers = source.matchers.map((matcher) => context.matchers.compile(matcher, origin));
  const path = matchers.find((matcher) => isIndexed(matcher, ':path')) ?? null;
  return {
    ref,
    path,
    host: matchers.find((matcher) => isIndexed(matcher, ':authority')) ?? null,
    others: matchers.filter((matcher) => matcher !== path),
    headerMatches: source.headerMatches.map((match) => compileHeaderMatch(match, context.secrets)),
    allow: allowDecision('http', ref, judgedFields(source)),
  };
}

/** Whose automaton takes a millisecond to look at. */
function hasLargePattern({ matchers }: HttpRule, compiled: MatcherCompiler): boolean {
  return matchers.some(({ value }) => {
    const regex = value.kind === 'regex' ? compiled.regexOf(value.pattern) : null;
    return regex !== null && regex.cost.placeCount > PLACES_PER_STEP;
  });
}

/** A plain text or a pattern that the field must match. */
function isIndexed({ source, regex, literal }: CompiledMatcher, name: string): boolean {
  return source.name === name && !source.isInverted && (regex !== null || literal !== null);
}

/** Names that the rule looks for among a request's fields. */
function judgedFields({ matchers, headerMatches }: HttpRule): readonly string[] {
  const names = new Set<string>();
  for (const { name } of matchers) if (!name.startsWith(':')) names.add(name.toLowerCase());
  for (const { name } of headerMatches) names.add(name.toLowerCase());
  return names.size === 0 ? NO_FIELDS : Object.freeze([...names]);
}
