/** Which policy decided. Cilium tells it of connections only; ours tell it of requests, too. */

import type { RuleRef } from '../../model/decision.ts';
import type { FlowDecision, ProxyFlow } from '../../model/flow.ts';
import type { Direction } from '../../model/identity.ts';
import type { FlowInit, PolicyInit } from './inits.ts';

/** Of Cilium's maps of policy: what a rule looked at (pkg/monitor, PolicyMatchType). */
const MATCH_NONE = 0;
const MATCH_L3_ONLY = 1;
const MATCH_L3_L4 = 2;

const NAME_LABEL = 'k8s:io.cilium.k8s.policy.name=';
const NAMESPACE_LABEL = 'k8s:io.cilium.k8s.policy.namespace=';
const KIND_LABEL = 'k8s:io.cilium.k8s.policy.derived-from=';
/** Hubble has no field for the place of a rule within its policy. */
const RULE_LABEL = 'sallyport:rule=';
/** Of a policy that came by NPDS: RuleRef.policy. */
const WIRE_PREFIX = 'npds/';

export function policiesOf({ direction, decision, policyRevision }: ProxyFlow): FlowInit {
  if (decision === null) return {};
  const { verdict, rule, otherRule } = decision;
  const list = (of: RuleRef): PolicyInit[] => [policyOf(of, policyRevision)];
  return {
    ...(rule === null ? {} : { [FIELDS[verdict][direction]]: list(rule) }),
    ...(otherRule ? { [FIELDS.allow[otherOf(direction)]]: list(otherRule) } : {}),
  };
}

const FIELDS = {
  allow: { ingress: 'ingressAllowedBy', egress: 'egressAllowedBy' },
  deny: { ingress: 'ingressDeniedBy', egress: 'egressDeniedBy' },
} as const;

/** A rule with ports stands below `toPorts`; which of its parts did not matter is not told. */
export function matchTypeOf(decision: FlowDecision | null): number {
  const { rule = null } = decision ?? {};
  if (rule === null) return MATCH_NONE;
  return rule.rule.includes('toPorts') ? MATCH_L3_L4 : MATCH_L3_ONLY;
}

function policyOf({ policy, rule }: RuleRef, revision: number): PolicyInit {
  const isWire = policy.startsWith(WIRE_PREFIX);
  // "NetworkPolicy shop/api": of kinds whose policies may have the name of one of Cilium's.
  const space = policy.indexOf(' ');
  const place = policy.slice(space + 1);
  const slash = isWire ? -1 : place.indexOf('/');
  const name = place.slice(slash + 1);
  const namespace = slash === -1 ? '' : place.slice(0, slash);
  const written = space === -1 ? kindOf(namespace) : policy.slice(0, space);
  const kind = isWire ? '' : written;
  return {
    name,
    namespace,
    kind,
    revision: BigInt(revision),
    labels: [
      ...(kind === '' ? [] : [KIND_LABEL + kind, NAME_LABEL + name]),
      ...(namespace === '' ? [] : [NAMESPACE_LABEL + namespace]),
      RULE_LABEL + rule,
    ],
  };
}

function kindOf(namespace: string): string {
  return namespace === '' ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy';
}

function otherOf(direction: Direction): Direction {
  return direction === 'ingress' ? 'egress' : 'ingress';
}
