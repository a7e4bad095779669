/**
 * hot path
 *
 * The verdict. Pure: changes nothing, logs nothing; header changes and log facts are in the
 * Decision. Two checks, as in cilium/proxy: the connection (L3, L4, server name), then the request.
 * Unlike there, every request repeats the first one against the snapshot in force, so that a policy
 * which disappears, or loses its HTTP rules, never lets a request on an open connection pass
 * unjudged.
 */
import type { AllowDecision, Decision, DenyDecision } from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { ApplicableRules } from '../compile/applicable_rules.ts';
import {
  allowDecision,
  type CompiledHttpRule,
  type CompiledRule,
  denyDecision,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_PASS,
} from '../compile/compiled_rule.ts';
import { CandidateLists } from '../compile/http_index.ts';
import { NO_POLICY_PORT, View } from '../compile/port_rules.ts';
import { canonicalName } from '../match/fqdn_pattern.ts';
import { HeaderEdits, runHeaderMatch } from '../match/header_match.ts';
import { MATCH_FAILED, MATCH_YES } from '../match/regex.ts';
import { evaluateMatcher, FieldMemo, type HeadView } from '../match/value_match.ts';
import { beginVerdict, isSpent, spend } from '../match/verdict_work.ts';
import { ALLOW_PERMIT } from '../permit.ts';
import type { RemoteView } from '../snapshot.ts';

export const DENY_NO_POLICY = denyDecision('network', 'no-policy', null);
export const DENY_NO_PORT_RULE = denyDecision('network', 'no-port-rule', null);
export const DENY_REMOTE = denyDecision('network', 'remote-not-allowed', null);
export const DENY_SNI = denyDecision('network', 'sni-not-allowed', null);
export const DENY_NO_HTTP_RULE = denyDecision('http', 'no-http-rule-matched', null);
export const DENY_NO_DNS_RULE = denyDecision('dns', 'no-dns-rule-matched', null);
export const DENY_NOT_JUDGEABLE = denyDecision('network', 'not-judgeable', null);
export const DENY_OUT_OF_MEMORY = denyDecision('http', 'regex-out-of-memory', null);
export const DENY_BUDGET = denyDecision('http', 'regex-budget', null);
const DENY_NETWORK_BUDGET = denyDecision('network', 'regex-budget', null);
const DENY_DNS_BUDGET = denyDecision('dns', 'regex-budget', null);
export const DENY_IDENTITY_CHANGED = denyDecision('network', 'identity-changed', null);
export const DENY_INTERNAL = denyDecision('network', 'internal-error', null);
const ALLOW_HTTP_UNCONDITIONAL = allowDecision('http', null);

/** `serverName` is "" for a connection without TLS. An exception is a denial that carries it. */
export function decideConnection(view: RemoteView, serverName: string): Decision {
  try {
    return networkVerdict(begun(view), serverName);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

/** The connection's verdict, and if that is an allow, the request's. */
export function decideRequest(view: RemoteView, serverName: string, head: RequestHead): Decision {
  try {
    const own = begun(view);
    const network = networkVerdict(own, serverName);
    if (network.verdict === 'deny') return network;
    if (!own.hasL7Rules) return httpAllowOf(own, network);
    return httpVerdict(own, head);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

/** A DNS question for `name` (rules.dns; cilium-agent's DNS proxy). */
export function decideDns(view: RemoteView, name: string): Decision {
  try {
    return dnsVerdict(begun(view), name);
  } catch (error) {
    return { ...DENY_INTERNAL, cause: error };
  }
}

/** The walk of PortNetworkPolicyRules::forEachRule, network form: HTTP rules are not looked at. */
export function networkVerdict(view: View, serverName: string): AllowDecision | DenyDecision {
  const { rules, passTargets } = view.applicable;
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i] as CompiledRule;
    const isAccepted = acceptsServerName(rule, serverName);
    if (isSpent()) return DENY_NETWORK_BUDGET;
    if (!isAccepted) {
      i++;
    } else if (rule.kind === VERDICT_DENY) {
      return rule.networkDeny;
    } else if (rule.kind === VERDICT_ALLOW) {
      return rule.networkAllow;
    } else {
      i = passTargets[i] as number;
    }
  }
  return networkDenial(view);
}

export function acceptsServerName(rule: CompiledRule, serverName: string): boolean {
  const { serverNames } = rule;
  if (serverNames.length === 0) return true;
  if (serverName === '') return false;
  for (let i = 0; i < serverNames.length; i++) {
    const pattern = serverNames[i] as (typeof serverNames)[number];
    if (!spend(pattern.work(serverName.length))) return false;
    if (pattern.matches(serverName)) return true;
  }
  return false;
}

/** Why no rule gave a verdict, as precisely as it can be said. */
function networkDenial(view: View): DenyDecision {
  if (view.port === NO_POLICY_PORT[view.port.direction]) return DENY_NO_POLICY;
  if (view.port.rules.length === 0) return DENY_NO_PORT_RULE;
  return view.applicable.hasServerNames ? DENY_SNI : DENY_REMOTE;
}

/** The port has no L7 rules: what the network check allowed, said of the request. */
function httpAllowOf(view: View, network: AllowDecision): AllowDecision {
  const { rules } = view.applicable;
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i] as CompiledRule;
    if (rule.networkAllow === network) return rule.httpAllow;
  }
  return ALLOW_HTTP_UNCONDITIONAL;
}

/** The HTTP form of the walk. It does not look at server names: copied from Cilium. */
export function httpVerdict(view: View, head: RequestHead): Decision {
  const { applicable, port } = view;
  if (!applicable.index.candidates(head, candidates)) return failure();
  if (applicable.hasPasses || port.hasHeaderMatches) return walk(view, head);
  return shortVerdict(applicable, head);
}

/** What could not be judged is denied, for an allow, a pass and a deny rule alike. */
function failure(): DenyDecision {
  return isSpent() ? DENY_BUDGET : DENY_OUT_OF_MEMORY;
}

/** One verdict is computed at a time and nothing in it waits, so one scratch list serves all. */
const candidates = new CandidateLists();

/**
 * No passes and no header matches in the range: the first rule that allows or denies settles it. So
 * the lowest-numbered HTTP rule that matches wins, unless a rule without conditions stands before.
 */
function shortVerdict(applicable: ApplicableRules, head: RequestHead): Decision {
  const limit = applicable.httpStarts[applicable.firstUnconditional] as number;
  let best = limit;
  plainView.look(head);
  for (let i = 0; i < candidates.count; i++) {
    const list = candidates.list(i);
    for (let j = 0; j < list.length; j++) {
      const number = list[j] as number;
      if (number >= best) break;
      const outcome = matchOthers(applicable.httpRules[number] as CompiledHttpRule, plainView);
      if (outcome === MATCH_FAILED) return failure();
      if (outcome === MATCH_YES) {
        best = number;
        break;
      }
    }
  }
  if (best < limit) return (applicable.httpRules[best] as CompiledHttpRule).allow;
  const last = applicable.rules[applicable.firstUnconditional];
  if (last === undefined) return DENY_NO_HTTP_RULE;
  return last.kind === VERDICT_DENY ? last.httpDeny : last.httpAllow;
}

class PlainView implements HeadView {
  head = null as unknown as RequestHead;
  readonly #memo = new FieldMemo();

  look(head: RequestHead): void {
    this.head = head;
    this.#memo.forget();
  }

  field(name: string): string | null {
    return this.#memo.value(name, this.head, null);
  }

  fieldBytes(name: string): Uint8Array {
    this.field(name);
    return this.#memo.bytes();
  }
}

const plainView = new PlainView();

/** Of a candidate that is put in order. */
const SORT_WORK = 50;

/** Every rule in order, with passes, and with all header actions of the winning precedence. */
function walk(view: View, head: RequestHead): Decision {
  const edits = new HeaderEdits(head);
  const numbers = candidates.sorted();
  if (!spend(SORT_WORK * numbers.length)) return failure();
  const { applicable, port } = view;
  const { rules } = applicable;
  let allowed: AllowDecision | null = null;
  let allowedPrecedence = 0;
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i] as CompiledRule;
    if (allowed !== null && rule.precedence < allowedPrecedence) break;
    const found = ruleVerdict(applicable, i, { numbers, edits });
    if (found === 'failed') return failure();
    if (found === null) {
      i++;
    } else if (rule.kind === VERDICT_DENY) {
      return withEdits(rule.httpDeny, edits);
    } else if (rule.kind === VERDICT_PASS) {
      if (allowed === null || allowedPrecedence < rule.precedence)
        i = applicable.passTargets[i] as number;
      else i++;
    } else {
      allowed ??= found;
      allowedPrecedence = rule.precedence;
      if (!port.hasHeaderMatches) break;
      i++;
    }
  }
  return withEdits(allowed ?? DENY_NO_HTTP_RULE, edits);
}

interface Evaluation {
  /** Numbers of the HTTP rules whose path can match, ascending. */
  readonly numbers: readonly number[];
  readonly edits: HeaderEdits;
}

/** Null when the rule yields nothing; else the decision that it would make as an allow rule. */
function ruleVerdict(
  applicable: ApplicableRules,
  index: number,
  evaluation: Evaluation,
): AllowDecision | 'failed' | null {
  const rule = applicable.rules[index] as CompiledRule;
  // A deny rule denies without looking at its HTTP rules: copied from Cilium.
  if (rule.kind === VERDICT_DENY) return rule.httpAllow;
  // DNS rules say nothing of HTTP, so such a rule lets none of it through.
  if (rule.http === null) return rule.dns === null ? rule.httpAllow : null;
  const first = applicable.httpStarts[index] as number;
  const end = applicable.httpStarts[index + 1] as number;
  let matched: AllowDecision | null = null;
  const { numbers } = evaluation;
  for (let i = lowerBound(numbers, first); i < numbers.length; i++) {
    const number = numbers[i] as number;
    if (number >= end) break;
    const httpRule = applicable.httpRules[number] as CompiledHttpRule;
    const outcome = matchOthers(httpRule, evaluation.edits);
    if (outcome === MATCH_FAILED) return 'failed';
    if (outcome !== MATCH_YES) continue;
    if (runHeaderMatches(httpRule, evaluation.edits)) matched ??= httpRule.allow;
    if (isSpent()) return 'failed';
    // Without header matches the first one settles it; with them every rule's actions are run.
    if (matched !== null && !rule.hasHeaderMatches) break;
  }
  return matched;
}

/** Index of the first number that is not below `least`. */
function lowerBound(numbers: readonly number[], least: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Every entry is run even after one failed; what a failed rule changed stays changed. */
function runHeaderMatches(rule: CompiledHttpRule, edits: HeaderEdits): boolean {
  let isAccepted = true;
  for (const match of rule.headerMatches) {
    if (!runHeaderMatch(match, edits)) isAccepted = false;
  }
  return isAccepted;
}

/** The conditions beside the path; the index has already found the path to match. */
function matchOthers(rule: CompiledHttpRule, view: HeadView): number {
  const { others } = rule;
  for (let i = 0; i < others.length; i++) {
    const outcome = evaluateMatcher(others[i] as (typeof others)[number], view);
    if (outcome !== MATCH_YES) return outcome;
  }
  return MATCH_YES;
}

function withEdits(decision: AllowDecision | DenyDecision, edits: HeaderEdits): Decision {
  const mutations = edits.mutations();
  const missing = edits.missing();
  const rejected = edits.rejected();
  const isEdited = mutations.length + missing.length + rejected.length > 0;
  if (decision.verdict === 'deny') {
    return isEdited ? { ...decision, mutations, missing, rejected } : decision;
  }
  const judgedFields = edits.judgedFields(decision.judgedFields);
  if (!isEdited && judgedFields === decision.judgedFields) return decision;
  return { ...decision, permit: ALLOW_PERMIT, mutations, judgedFields, missing, rejected };
}

/**
 * The first verdict wins; a rule without L7 rules allows every name. Where a port has DNS rules for the remote the
 * question goes to the DNS proxy, which knows of that port's rules only: one that names all ports, or a range, lets
 * no name through then (pkg/fqdn/dnsproxy asks one L4Filter).
 */
function dnsVerdict(view: View, name: string): Decision {
  const { rules, passTargets } = view.applicable;
  const canonical = canonicalName(name);
  let redirectedBy: CompiledRule | null = null;
  let isAllowedSomewhere = false;
  for (let i = 0; i < rules.length; ) {
    const rule = rules[i] as CompiledRule;
    // A question comes without a server name: a rule that asks for one does not apply.
    const isAsked = rule.serverNames.length === 0 && !isWider(rule, redirectedBy);
    if (isAsked && rule.kind === VERDICT_DENY) return rule.dnsDeny;
    const decision = isAsked ? dnsMatch(rule, canonical) : null;
    if (isSpent()) return DENY_DNS_BUDGET;
    isAllowedSomewhere ||= isAsked && rule.kind === VERDICT_ALLOW;
    if (isAsked && isDnsRedirect(rule)) redirectedBy ??= rule;
    if (decision === null) i++;
    else if (rule.kind === VERDICT_ALLOW) return decision;
    else i = passTargets[i] as number;
  }
  return isAllowedSomewhere ? DENY_NO_DNS_RULE : networkDenial(view);
}

/** True for a rule that sends questions to the DNS proxy. */
export function isDnsRedirect(rule: CompiledRule): boolean {
  return rule.dns !== null && rule.kind === VERDICT_ALLOW;
}

/** True when the DNS proxy, which asks by `redirectedBy`, does not know of the rule. */
export function isWider(rule: CompiledRule, redirectedBy: CompiledRule | null): boolean {
  if (redirectedBy === null || rule.kind === VERDICT_DENY) return false;
  return rule.ports !== redirectedBy.ports;
}

/**
 * Null: the rule does not match. HTTP rules say nothing of DNS, so such a rule matches no name. `canonical`: as
 * `canonicalName` gives it.
 */
export function dnsMatch(rule: CompiledRule, canonical: string): AllowDecision | null {
  if (rule.http !== null) return null;
  if (rule.dns === null) return rule.dnsAllow;
  const found = rule.dns.index.match(canonical);
  return found === -1 ? null : (rule.dns.rules[found]?.allow ?? null);
}

/** A verdict by a view of this folder's making begins; throws on any other. */
export function begun(view: RemoteView): View {
  if (!(view instanceof View)) throw new TypeError('a view that this engine did not make');
  beginVerdict(view.port.workLimits);
  return view;
}
