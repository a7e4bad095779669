/**
 * HeaderMatcher → CompiledMatcher. Thousands of rules name one method or one pattern: equal matchers become one object,
 * and equal patterns share one automaton.
 */
import type { HeaderMatcher, RuleOrigin } from '../ast.ts';
import { literalOf } from './literal.ts';
import { matcherKey } from './matcher_key.ts';
import type { Regex, RegexEngine } from './regex.ts';
import type { CompiledMatcher } from './value_match.ts';

/** Called with what is wrong with the rule. */
export type Fail = (origin: RuleOrigin, message: string) => void;

export class MatcherCompiler {
  readonly #regexes = new Map<string, Regex | null>();
  readonly #matchers = new Map<string, CompiledMatcher>();
  readonly #engine: RegexEngine;
  readonly #fail: Fail;

  constructor(engine: RegexEngine, fail: Fail) {
    this.#engine = engine;
    this.#fail = fail;
  }

  compile(source: HeaderMatcher, origin: RuleOrigin): CompiledMatcher {
    const { value } = source;
    switch (value.kind) {
      case 'regex':
        return this.#compilePattern(source, value.pattern, origin);
      case 'exact':
        return { source, regex: null, literal: value.ignoreCase ? null : value.text };
      case 'present':
      case 'prefix':
      case 'suffix':
      case 'contains':
      case 'range':
      case 'never':
        return { source, regex: null, literal: null };
    }
  }

  /** Null for a pattern that has not been compiled, or that RE2 refused. */
  regexOf(pattern: string): Regex | null {
    return this.#regexes.get(pattern) ?? null;
  }

  #compilePattern(source: HeaderMatcher, pattern: string, origin: RuleOrigin): CompiledMatcher {
    const key = matcherKey(source);
    const known = this.#matchers.get(key);
    if (known !== undefined) return known;
    // Plain text is compared as text, and is a valid pattern of itself.
    const literal = literalOf(pattern);
    const regex = literal === null ? this.#compileRegex(pattern, origin) : null;
    // Paths and hosts are found by an index, so few of them are asked; the others rule by rule.
    if (source.name !== ':path' && source.name !== ':authority') regex?.prepare();
    const compiled = { source, regex, literal };
    this.#matchers.set(key, compiled);
    return compiled;
  }

  /** Null, and a problem, when RE2 refuses it. A refused pattern never reaches a snapshot. */
  #compileRegex(pattern: string, origin: RuleOrigin): Regex | null {
    const known = this.#regexes.get(pattern);
    if (known !== undefined) return known;
    const result = this.#engine.compile(pattern);
    if (result.kind === 'error') this.#fail(origin, `pattern "${pattern}": ${result.message}`);
    const regex = result.kind === 'ok' ? result.regex : null;
    this.#regexes.set(pattern, regex);
    return regex;
  }
}
