/**
 * PortRule → CompiledRule. Numbers every rule that a decision can name, compiles each pattern once
 * (equal patterns share one automaton), and collects what cannot be enforced as problems.
 */
import { NO_FIELDS, type RuleRef } from '../../model/decision.ts';
import { finish, type Steps } from '../../model/steps.ts';
import type { DnsRule, HeaderMatcher, HttpRule, PortRule, RuleOrigin } from '../ast.ts';
import { DnsIndex } from '../match/dns_index.ts';
import { compileHeaderMatch } from '../match/header_match.ts';
import { literalOf } from '../match/literal.ts';
import type { Regex, RegexEngine } from '../match/regex.ts';
import { parseSniPattern, type SniPattern } from '../match/sni_pattern.ts';
import type { CompiledMatcher } from '../match/value_match.ts';
import {
  allowDecision,
  type CompiledDnsRules,
  type CompiledHttpRule,
  type CompiledRule,
  denyDecision,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_PASS,
  type VerdictKind,
} from './compiled_rule.ts';

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

/** Each may have patterns, of which one takes 5 to 20 µs the first time. */
const HTTP_RULES_PER_STEP = 16;
const PLACES_PER_STEP = 20;

const KINDS = {
  deny: VERDICT_DENY,
  allow: VERDICT_ALLOW,
  pass: VERDICT_PASS,
} as const satisfies Record<PortRule['verdict']['kind'], VerdictKind>;

export class RuleCompiler {
  readonly problems: CompileProblem[] = [];
  readonly #refs = new Map<string, RuleRef>();
  readonly #regexes = new Map<string, Regex | null>();
  readonly #matchers = new Map<string, CompiledMatcher>();
  readonly #rules = new Map<PortRule, CompiledRule>();
  readonly #engine: RegexEngine;
  readonly #secrets: ReadonlyMap<string, string>;
  #endpoint = '';

  constructor(engine: RegexEngine, secrets: ReadonlyMap<string, string>) {
    this.#engine = engine;
    this.#secrets = secrets;
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
    const http = rule.l7.kind === 'http' ? yield* this.#compileHttpRules(rule.l7.rules) : null;
    const compiled: CompiledRule = {
      source: rule,
      ref,
      precedence: rule.precedence,
      kind: KINDS[rule.verdict.kind],
      passPrecedence,
      proxyId: rule.proxyId,
      remotes: rule.remotes,
      serverNames: this.#serverNames(rule),
      http,
      dns: rule.l7.kind === 'dns' ? this.#compileDnsRules(rule.l7.rules) : null,
      ports,
      hasHeaderMatches: http?.some((item) => item.headerMatches.length > 0) ?? false,
      networkAllow: allowDecision('network', ref),
      networkDeny: denyDecision('network', 'denied-by-rule', ref),
      httpAllow: allowDecision('http', ref),
      httpDeny: denyDecision('http', 'denied-by-rule', ref),
      dnsAllow: allowDecision('dns', ref),
      dnsDeny: denyDecision('dns', 'denied-by-rule', ref),
    };
    this.#rules.set(rule, compiled);
    return compiled;
  }

  *#compileHttpRules(rules: readonly HttpRule[]): Steps<readonly CompiledHttpRule[]> {
    const compiled: CompiledHttpRule[] = [];
    for (const rule of rules) {
      compiled.push(this.#compileHttpRule(rule));
      if (compiled.length % HTTP_RULES_PER_STEP === 0 || this.#hasLargePattern(rule)) yield;
    }
    return compiled;
  }

  /** Whose automaton takes a millisecond to look at. */
  #hasLargePattern({ matchers }: HttpRule): boolean {
    return matchers.some(({ value }) => {
      const regex = value.kind === 'regex' ? (this.#regexes.get(value.pattern) ?? null) : null;
      return regex !== null && regex.cost.placeCount > PLACES_PER_STEP;
    });
  }

  #compileHttpRule(rule: HttpRule): CompiledHttpRule {
    for (const match of rule.headerMatches) {
      if (match.name.startsWith(':')) {
        this.fail(this.#endpoint, rule.origin, `header match on the pseudo-field "${match.name}"`);
      }
    }
    const ref = this.#refOf(rule.origin);
    const matchers = rule.matchers.map((matcher) => this.#compileMatcher(matcher, rule.origin));
    const path = matchers.find((matcher) => isIndexed(matcher, ':path')) ?? null;
    return {
      ref,
      path,
      host: matchers.find((matcher) => isIndexed(matcher, ':authority')) ?? null,
      others: matchers.filter((matcher) => matcher !== path),
      headerMatches: rule.headerMatches.map((match) => compileHeaderMatch(match, this.#secrets)),
      allow: allowDecision('http', ref, judgedFields(rule)),
    };
  }

  #compileDnsRules(sources: readonly DnsRule[]): CompiledDnsRules {
    const rules = sources.map((source) => {
      return { source, allow: allowDecision('dns', this.#refOf(source.origin)) };
    });
    return { rules, index: new DnsIndex(sources) };
  }

  #compileMatcher(source: HeaderMatcher, origin: RuleOrigin): CompiledMatcher {
    if (source.value.kind === 'regex')
      return this.#compilePattern(source, source.value.pattern, origin);
    const { value } = source;
    const literal = value.kind === 'exact' && !value.ignoreCase ? value.text : null;
    return { source, regex: null, literal };
  }

  #compilePattern(source: HeaderMatcher, pattern: string, origin: RuleOrigin): CompiledMatcher {
    const key = `${source.name}\n${source.isInverted}\n${source.treatMissingAsEmpty}\n${pattern}`;
    const known = this.#matchers.get(key);
    if (known !== undefined) return known;
    // Plain text is compared as text, and is a valid pattern of itself.
    const literal = literalOf(pattern);
    const regex = literal === null ? this.#regexOf(pattern, origin) : null;
    const compiled = { source, regex, literal };
    this.#matchers.set(key, compiled);
    return compiled;
  }

  /** Null, and a problem, when RE2 refuses it. A refused pattern never reaches a snapshot. */
  #regexOf(pattern: string, origin: RuleOrigin): Regex | null {
    const known = this.#regexes.get(pattern);
    if (known !== undefined) return known;
    const result = this.#engine.compile(pattern);
    if (result.kind === 'error') {
      this.fail(this.#endpoint, origin, `pattern "${pattern}": ${result.message}`);
    }
    const regex = result.kind === 'ok' ? result.regex : null;
    this.#regexes.set(pattern, regex);
    return regex;
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
