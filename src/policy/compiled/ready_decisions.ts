/**
 * Decisions without header changes. They are made once, when a rule is compiled, and shared by all requests: the
 * usual verdict allocates nothing.
 */
import {
  type AllowDecision,
  type DenyDecision,
  type DenyReason,
  type Layer,
  NO_FIELDS,
  NO_HEADERS,
  NO_MUTATIONS,
  type RuleRef,
} from '../../model/decision.ts';

/** What one rule says, by the check that asks it. */
export type ReadyDecisions = Readonly<Record<Layer, ReadyPair>>;

export interface ReadyPair {
  readonly allow: AllowDecision;
  readonly deny: DenyDecision;
}

/** Written out, so that all of them have one shape. */
export function readyDecisions(rule: RuleRef): ReadyDecisions {
  return {
    network: readyPair('network', rule),
    http: readyPair('http', rule),
    dns: readyPair('dns', rule),
  };
}

function readyPair(layer: Layer, rule: RuleRef): ReadyPair {
  return {
    allow: allowDecision(layer, rule),
    deny: denyDecision(layer, 'denied-by-rule', rule),
  };
}

export function allowDecision(
  layer: Layer,
  rule: RuleRef | null,
  judgedFields: readonly string[] = NO_FIELDS,
): AllowDecision {
  return Object.freeze({
    verdict: 'allow',
    layer,
    reason: null,
    rule,
    mutations: NO_MUTATIONS,
    judgedFields,
    missing: NO_HEADERS,
    rejected: NO_HEADERS,
  });
}

export function denyDecision(layer: Layer, reason: DenyReason, rule: RuleRef | null): DenyDecision {
  return Object.freeze({
    verdict: 'deny',
    layer,
    reason,
    rule,
    mutations: NO_MUTATIONS,
    missing: NO_HEADERS,
    rejected: NO_HEADERS,
  });
}
