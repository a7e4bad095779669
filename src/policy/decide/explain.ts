/**
 * The same verdict as `decide`, with a trace that a person can read: every rule in the order in
 * which it is asked, what became of it and, for an HTTP rule, the first condition that did not match
 * and how near it came. Slower than `decide` and free of its short cuts; a property test holds the
 * two together.
 */
import type { Decision, RuleRef } from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { HeaderMatch, ValueMatcher } from '../ast.ts';
import {
  type CompiledHttpRule,
  type CompiledRule,
  VERDICT_ALLOW,
  VERDICT_DENY,
} from '../compile/compiled_rule.ts';
import type { View } from '../compile/port_rules.ts';
import { canonicalName } from '../match/fqdn_pattern.ts';
import { type CompiledHeaderMatch, HeaderEdits, runHeaderMatch } from '../match/header_match.ts';
import { MATCH_FAILED, MATCH_YES, type MatchOutcome } from '../match/regex.ts';
import { valueHint } from '../match/value_hint.ts';
import { type CompiledMatcher, evaluateMatcher } from '../match/value_match.ts';
import { beginVerdict, isSpent } from '../match/verdict_work.ts';
import type { RemoteView } from '../snapshot.ts';
import {
  acceptsServerName,
  begun,
  decideConnection,
  decideDns,
  decideRequest,
  dnsMatch,
  isDnsRedirect,
  isWider,
} from './decide.ts';

export interface Explanation {
  readonly decision: Decision;
  /** Rules of the port in asking order; empty when no rule covers the port. */
  readonly steps: readonly RuleStep[];
}

export type RuleVerdictName = 'allow' | 'deny' | 'pass';

/** What became of a port rule. */
export type RuleOutcome =
  /** Gave the verdict (or, for a pass, jumped). */
  | 'applied'
  | 'no-l7-rule-matched'
  | 'other-remote'
  | 'other-listener'
  | 'server-name'
  /** Names more ports than one with DNS rules for the remote, whose own rules alone judge names. */
  | 'wider-ports'
  /** A verdict was there before it was its turn. */
  | 'not-reached'
  /** A pass jumped over it. */
  | 'passed-over';

export interface RuleStep {
  readonly rule: RuleRef;
  readonly verdict: RuleVerdictName;
  readonly precedence: number;
  readonly outcome: RuleOutcome;
  /** One for each HTTP rule that was looked at. */
  readonly http: readonly HttpStep[];
  /** DNS names and patterns that were compared; empty for other rules. */
  readonly dns: readonly string[];
  /** What the rule would have taken, where the outcome is `server-name`. */
  readonly serverNames?: readonly string[];
  /** The server name or DNS name that was compared with those. */
  readonly asked?: string;
}

export interface HttpStep {
  readonly rule: RuleRef;
  readonly isMatch: boolean;
  /** Conditions that matched, in the rule's order: "path", "method", "host", or a field's name. */
  readonly matched: readonly string[];
  /** The first condition that did not; null when all did. */
  readonly mismatch: Mismatch | null;
  /** Matched conditions of all conditions: 1 is a match. One that nearly matched counts nearly. */
  readonly nearness: number;
}

export interface Mismatch {
  readonly what: string;
  /** In words: `is "GET"`, `matches "/x.*"`, `is present`. */
  readonly expected: string;
  /** Null: the request has no such field. A value compared with a secret is not shown. */
  readonly found: string | null;
  /** What little is in the way, such as the query; absent when it is more. */
  readonly hint?: string;
}

/** As `decideConnection`. */
export function explainConnection(view: RemoteView, serverName: string): Explanation {
  return explain(
    view,
    { serverName, head: null, dnsName: null },
    decideConnection(view, serverName),
  );
}

/** As `decideRequest`. */
export function explainRequest(
  view: RemoteView,
  serverName: string,
  head: RequestHead,
): Explanation {
  const decision = decideRequest(view, serverName, head);
  // Without L7 rules on the port the connection's check has the last word, server name included.
  const isHttpAsked = decision.layer === 'http' && view.hasL7Rules;
  return explain(view, { serverName, head: isHttpAsked ? head : null, dnsName: null }, decision);
}

/** As `decideDns`. */
export function explainDns(view: RemoteView, name: string): Explanation {
  const dnsName = canonicalName(name);
  return explain(view, { serverName: '', head: null, dnsName }, decideDns(view, name));
}

interface Asked {
  readonly serverName: string;
  /** Null when the connection already settled it. */
  readonly head: RequestHead | null;
  /** Canonical. */
  readonly dnsName: string | null;
}

const VERDICT_NAMES: readonly RuleVerdictName[] = ['deny', 'allow', 'pass'];

function explain(view: RemoteView, asked: Asked, decision: Decision): Explanation {
  // As much again for the rules one by one: what was not asked for its cost is not asked here, either.
  const own = begun(view);
  const walk = new Walk(own, asked);
  const steps = walk.steps();
  // What nearly matched is looked for afterwards, so that no rule goes unasked for what this costs.
  beginVerdict(own.port.workLimits);
  return { decision, steps: walk.withHints(steps) };
}

/** The walk of forEachRule over all rules of the range, those that cannot apply included. */
class Walk {
  readonly #view: View;
  readonly #asked: Asked;
  readonly #edits: HeaderEdits | null;
  #settledPrecedence = -1;
  #isFinal = false;
  #passedTo = -1;
  #redirectedBy: CompiledRule | null = null;
  /** The condition that did not match first, where hints can be found for it. */
  readonly #mismatched = new Map<HttpStep, MismatchedCondition>();

  constructor(view: View, asked: Asked) {
    this.#view = view;
    this.#asked = asked;
    this.#edits = asked.head === null ? null : new HeaderEdits(asked.head);
  }

  steps(): readonly RuleStep[] {
    return this.#view.port.rules.map((rule) => this.#step(rule));
  }

  withHints(steps: readonly RuleStep[]): readonly RuleStep[] {
    const { head } = this.#asked;
    if (head === null || this.#mismatched.size === 0) return steps;
    return steps.map((step) => ({
      ...step,
      http: step.http.map((one) => withHint(one, head, this.#mismatched.get(one))),
    }));
  }

  #step(rule: CompiledRule): RuleStep {
    const step = { rule: rule.ref, verdict: verdictName(rule), precedence: rule.precedence };
    const skipped = this.#skipped(rule);
    if (skipped === 'server-name') {
      const serverNames = rule.serverNames.map(({ text }) => text);
      const asked = this.#asked.serverName;
      return { ...step, outcome: skipped, http: [], dns: [], serverNames, asked };
    }
    if (skipped !== null) return { ...step, outcome: skipped, http: [], dns: [] };
    if (this.#asked.dnsName !== null && isDnsRedirect(rule)) this.#redirectedBy ??= rule;
    const http = this.#httpSteps(rule);
    const dns = this.#dnsNames(rule);
    const outcome = this.#isL7Match(rule, http) ? 'applied' : 'no-l7-rule-matched';
    if (outcome === 'applied') this.#apply(rule);
    const asked = this.#asked.dnsName;
    return {
      ...step,
      outcome,
      http,
      dns,
      ...(dns.length === 0 || asked === null ? {} : { asked }),
    };
  }

  #skipped(rule: CompiledRule): RuleOutcome | null {
    const { proxyId, remote } = this.#view;
    if (rule.proxyId !== 0 && rule.proxyId !== proxyId) return 'other-listener';
    if (rule.remotes !== null && !rule.remotes.has(remote)) return 'other-remote';
    if (this.#isFinal || rule.precedence < this.#settledPrecedence) return 'not-reached';
    if (this.#passedTo !== -1 && rule.precedence >= this.#passedTo) return 'passed-over';
    if (this.#asked.dnsName !== null && isWider(rule, this.#redirectedBy)) return 'wider-ports';
    // The request's check does not look at server names, as in Cilium.
    const looksAtNames = this.#asked.head === null;
    if (looksAtNames && !acceptsServerName(rule, this.#asked.serverName)) return 'server-name';
    return null;
  }

  #apply(rule: CompiledRule): void {
    if (rule.kind === VERDICT_DENY) {
      this.#isFinal = true;
    } else if (rule.kind === VERDICT_ALLOW) {
      this.#settledPrecedence = Math.max(this.#settledPrecedence, rule.precedence);
      this.#isFinal ||= this.#asked.head === null || !this.#view.port.hasHeaderMatches;
    } else if (this.#settledPrecedence < rule.precedence) {
      this.#passedTo = rule.passPrecedence;
    }
  }

  #isL7Match(rule: CompiledRule, http: readonly HttpStep[]): boolean {
    if (rule.kind === VERDICT_DENY) return true;
    if (this.#asked.dnsName !== null) return dnsMatch(rule, this.#asked.dnsName) !== null;
    if (this.#edits === null) return true;
    return rule.http === null ? rule.dns === null : http.some(({ isMatch }) => isMatch);
  }

  #httpSteps(rule: CompiledRule): readonly HttpStep[] {
    const edits = this.#edits;
    if (edits === null || rule.http === null || rule.kind === VERDICT_DENY) return [];
    const steps: HttpStep[] = [];
    for (const httpRule of rule.http) {
      const { step, mismatched } = httpStep(httpRule, edits);
      if (mismatched !== null) this.#mismatched.set(step, mismatched);
      steps.push(step);
      if (steps.at(-1)?.isMatch === true && !rule.hasHeaderMatches) break;
    }
    return steps;
  }

  #dnsNames(rule: CompiledRule): readonly string[] {
    if (this.#asked.dnsName === null || rule.dns === null) return [];
    return rule.dns.rules.map(({ source }) => source.matchName ?? source.matchPattern ?? '');
  }
}

/** Nearly matched counts nearly, so that such a rule comes before one that is further off. */
const NEARLY = 0.9;

function withHint(
  step: HttpStep,
  head: RequestHead,
  mismatched: MismatchedCondition | undefined,
): HttpStep {
  const { mismatch, nearness } = step;
  if (mismatch === null || mismatched === undefined || isSpent()) return step;
  const hint = valueHint(mismatched.matcher, head);
  if (hint === null) return step;
  const nearer = nearness + NEARLY / mismatched.conditionCount;
  return { ...step, mismatch: { ...mismatch, hint }, nearness: nearer };
}

interface MismatchedCondition {
  readonly matcher: CompiledMatcher;
  /** Of its rule, itself included. */
  readonly conditionCount: number;
}

interface ComparedRule {
  readonly step: HttpStep;
  readonly mismatched: MismatchedCondition | null;
}

function httpStep(rule: CompiledHttpRule, edits: HeaderEdits): ComparedRule {
  const conditions = rule.path === null ? rule.others : [rule.path, ...rule.others];
  const matched: string[] = [];
  let mismatch: Mismatch | null = null;
  let mismatchedMatcher: CompiledMatcher | null = null;
  for (const matcher of conditions) {
    const outcome = evaluateMatcher(matcher, edits);
    if (outcome === MATCH_YES) {
      matched.push(labelOf(matcher.source.name));
      continue;
    }
    mismatch ??= mismatchOf(matcher, { edits, outcome });
    mismatchedMatcher ??= matcher;
  }
  if (mismatch === null) {
    for (const match of rule.headerMatches) {
      const found = edits.field(match.source.name);
      if (runHeaderMatch(match, edits)) matched.push(match.source.name);
      else mismatch ??= headerMismatch(match, found);
    }
  }
  const count = conditions.length + rule.headerMatches.length;
  const step = {
    rule: rule.ref,
    isMatch: mismatch === null,
    matched,
    mismatch,
    nearness: count === 0 ? 1 : matched.length / count,
  };
  return {
    step,
    mismatched:
      mismatchedMatcher === null ? null : { matcher: mismatchedMatcher, conditionCount: count },
  };
}

function mismatchOf(
  matcher: CompiledMatcher,
  { edits, outcome }: { readonly edits: HeaderEdits; readonly outcome: MatchOutcome },
): Mismatch {
  const { source } = matcher;
  const words = matcher.literal === null ? wordsOf(source.value) : `is "${matcher.literal}"`;
  const because = isSpent() ? 'it would cost more than a verdict may' : 'it gave no answer';
  const asked = outcome === MATCH_FAILED ? `${words} (could not be asked: ${because})` : words;
  return {
    what: labelOf(source.name),
    expected: source.isInverted ? `not: ${asked}` : asked,
    found: foundValue(source.name, edits),
  };
}

function headerMismatch(match: CompiledHeaderMatch, found: string | null): Mismatch {
  const { source, expected } = match;
  return {
    what: source.name,
    expected: headerWords(source, expected),
    found: hidden(source, found),
  };
}

function headerWords(source: HeaderMatch, expected: string | null): string {
  if (expected === null) return `is the secret ${source.secret}, which is not known`;
  if (source.matchAction === 'fail') return 'is something else';
  if (expected === '') return 'is present';
  return source.secret === null ? `is "${expected}"` : `is the secret ${source.secret}`;
}

function hidden(source: HeaderMatch, found: string | null): string | null {
  return found !== null && source.secret !== null ? '[redacted]' : found;
}

function wordsOf(value: ValueMatcher): string {
  switch (value.kind) {
    case 'present':
      return value.isPresent ? 'is present' : 'is absent';
    case 'exact':
      return `is "${value.text}"`;
    case 'prefix':
      return `begins with "${value.text}"`;
    case 'suffix':
      return `ends with "${value.text}"`;
    case 'contains':
      return `contains "${value.text}"`;
    case 'regex':
      return `matches "${value.pattern}"`;
    case 'range':
      return `is a number from ${value.start} to below ${value.end}`;
    case 'never':
      return `can never match: ${value.because}`;
  }
}

function foundValue(name: string, edits: HeaderEdits): string | null {
  switch (name) {
    case ':path':
      return edits.head.path;
    case ':method':
      return edits.head.method;
    case ':authority':
      return edits.head.authority;
    case ':scheme':
      return edits.head.scheme;
    default:
      return edits.field(name);
  }
}

function labelOf(name: string): string {
  if (name === ':authority') return 'host';
  return name.startsWith(':') ? name.slice(1) : name;
}

function verdictName(rule: CompiledRule): RuleVerdictName {
  return VERDICT_NAMES[rule.kind] ?? 'deny';
}
