/**
 * The same verdict as `decide`, with a trace that a person can read: every rule in the order in
 * which it is asked, what became of it and, for an HTTP rule, the first condition that did not match
 * and how near it came. Slower than `decide` and free of its short cuts; a property test holds the
 * two together.
 */
import type { Decision } from '../../model/decision.ts';
import type { RequestHead } from '../../model/request_head.ts';
import { type CompiledRule, VERDICT_ALLOW, VERDICT_DENY } from '../compiled/compiled_rule.ts';
import type { View } from '../compiled/port_rules.ts';
import { isAbout } from '../compiled/rule_remotes.ts';
import { type Explanation, NO_L7_STEPS, type RuleOutcome, type RuleStep } from '../explanation.ts';
import { DNS } from '../l7/dns/dns.ts';
import { HTTP } from '../l7/http/http.ts';
import type { L7Trace } from '../l7/protocol.ts';
import { beginVerdict } from '../match/verdict_work.ts';
import { decideConnection, decideDns, decideRequest } from './decide.ts';
import { acceptsServerName } from './network_verdict.ts';

/** As `decideConnection`. */
export function explainConnection(view: View, serverName: string): Explanation {
  const decision = decideConnection(view, serverName);
  return explain(view, { serverName, trace: CONNECTION_TRACE }, decision);
}

/** As `decideRequest`. */
export function explainRequest(view: View, serverName: string, head: RequestHead): Explanation {
  const decision = decideRequest(view, serverName, head);
  // Without L7 rules on the port the connection's check has the last word, server name included.
  const isHttpAsked = decision.layer === 'http' && view.hasL7Rules;
  const trace = isHttpAsked ? HTTP.explain(view, head) : CONNECTION_TRACE;
  return explain(view, { serverName, trace }, decision);
}

/** As `decideDns`. */
export function explainDns(view: View, name: string): Explanation {
  const decision = decideDns(view, name);
  return explain(view, { serverName: '', trace: DNS.explain(view, name) }, decision);
}

interface Asked {
  readonly serverName: string;
  readonly trace: L7Trace;
}

/** Nothing is asked beyond what the connection says of itself. */
const CONNECTION_TRACE: L7Trace = {
  looksAtServerName: true,
  isSettledByAllow: true,
  skipped: () => null,
  ask: () => ({ isMatch: true, steps: {} }),
  withHints: (steps) => steps,
};

function explain(view: View, asked: Asked, decision: Decision): Explanation {
  // As much again for the rules one by one: what was not asked for its cost is not asked here, either.
  beginVerdict(view.port.workLimits);
  const walk = new Walk(view, asked);
  const steps = view.port.rules.map((rule) => walk.step(rule));
  // What nearly matched is looked for afterwards, so that no rule goes unasked for what this costs.
  beginVerdict(view.port.workLimits);
  return { decision, steps: asked.trace.withHints(steps) };
}

/** The walk of forEachRule over all rules of the range, those that cannot apply included. */
class Walk {
  readonly #view: View;
  readonly #serverName: string;
  readonly #trace: L7Trace;
  #settledPrecedence = -1;
  #isFinal = false;
  #passedTo = -1;

  constructor(view: View, { serverName, trace }: Asked) {
    this.#view = view;
    this.#serverName = serverName;
    this.#trace = trace;
  }

  /** To be called with the rules in asking order. */
  step(rule: CompiledRule): RuleStep {
    const { ref, precedence, source } = rule;
    const place = { rule: ref, verdict: source.verdict.kind, precedence };
    const skipped = this.#skipped(rule);
    if (skipped !== null) {
      return { ...place, outcome: skipped, ...NO_L7_STEPS, ...this.#named(rule, skipped) };
    }
    const { isMatch, steps, asked } = this.#trace.ask(rule);
    if (isMatch) this.#apply(rule);
    return {
      ...place,
      outcome: isMatch ? 'applied' : 'no-l7-rule-matched',
      ...NO_L7_STEPS,
      ...steps,
      ...(asked === undefined ? {} : { asked }),
    };
  }

  #skipped(rule: CompiledRule): RuleOutcome | null {
    const { proxyId, remote } = this.#view;
    if (rule.proxyId !== 0 && rule.proxyId !== proxyId) return 'other-listener';
    if (!isAbout(rule, remote)) return 'other-remote';
    if (this.#isFinal || rule.precedence < this.#settledPrecedence) return 'not-reached';
    if (this.#passedTo !== -1 && rule.precedence >= this.#passedTo) return 'passed-over';
    const skipped = this.#trace.skipped(rule);
    if (skipped !== null || !this.#trace.looksAtServerName) return skipped;
    return acceptsServerName(rule, this.#serverName) ? null : 'server-name';
  }

  #named(rule: CompiledRule, outcome: RuleOutcome): Pick<RuleStep, 'serverNames' | 'asked'> {
    if (outcome !== 'server-name') return {};
    return { serverNames: rule.serverNames.map(({ text }) => text), asked: this.#serverName };
  }

  #apply(rule: CompiledRule): void {
    if (rule.kind === VERDICT_DENY) {
      this.#isFinal = true;
    } else if (rule.kind === VERDICT_ALLOW) {
      this.#settledPrecedence = Math.max(this.#settledPrecedence, rule.precedence);
      this.#isFinal ||= this.#trace.isSettledByAllow;
    } else if (this.#settledPrecedence < rule.precedence) {
      this.#passedTo = rule.passPrecedence;
    }
  }
}
