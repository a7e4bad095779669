/**
 * Port policies that may overlap → disjoint ranges, each with the rules of all that cover it, in
 * Cilium's order (PortNetworkPolicy in network_policy.cc):
 *
 *     80-8080  A        80-4039    A
 *     4040-9999 B   →   4040-8080  A B
 *     443  C            8081-9999  B          443 is split off 80-4039 with C in front
 *     0    W            every one has W at its end, and 0 keeps W for the ports in no range
 */
import type { PolicyProtocol } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import type { PortPolicy as PortPolicyOf } from '../ast.ts';

type PortPolicy = PortPolicyOf<PolicyProtocol>;

export interface PortRange<Rule> {
  readonly first: number;
  readonly last: number;
  /** Without those of port 0, which stand behind them in every range: copied, ranges × rules of port 0 would be. */
  readonly rules: readonly Rule[];
}

export interface PortRanges<Rule> {
  /** Ascending, disjoint; none holds port 0. */
  readonly ranges: readonly PortRange<Rule>[];
  /** The rules of port 0; null when no entry names it. */
  readonly wildcard: readonly Rule[] | null;
}

/** `rulesOf` gives the rules of an entry; of one without rules, the rule that allows everything. */
export function* splitPorts<Rule>(
  policies: readonly PortPolicy[],
  rulesOf: (policy: PortPolicy) => readonly Rule[],
): Steps<PortRanges<Rule>> {
  const wildcards = policies.filter(({ port }) => port === 0);
  const wildcard = wildcards.length === 0 ? null : collect(wildcards, rulesOf);
  return { ranges: yield* rangesOf(policies, rulesOf), wildcard };
}

function* rangesOf<Rule>(
  policies: readonly PortPolicy[],
  rulesOf: (policy: PortPolicy) => readonly Rule[],
): Steps<PortRange<Rule>[]> {
  const startsAt = groupByStart(policies);
  const ranges: PortRange<Rule>[] = [];
  const borders = bordersOf(policies);
  let covering: readonly Placed[] = [];
  for (let i = 0; i + 1 < borders.length; i++) {
    const first = borders[i] as number;
    const last = (borders[i + 1] as number) - 1;
    const still = covering.filter(({ policy }) => policy.endPort >= first);
    covering = inPlace(still, startsAt.get(first) ?? []);
    if (covering.length === 0) continue;
    ranges.push({ first, last, rules: collect(covering.map(policyOf), rulesOf) });
    // Each has the rules of all that cover it: thousands of ranges of thousands of rules are much to copy.
    yield;
  }
  return ranges;
}

/** Where a range begins, or ends before; ascending. */
function bordersOf(policies: readonly PortPolicy[]): readonly number[] {
  const borders = new Set<number>();
  for (const { port, endPort } of policies) {
    if (port !== 0) borders.add(port).add(endPort + 1);
  }
  return [...borders].sort((a, b) => a - b);
}

interface Placed {
  readonly policy: PortPolicy;
  /** Among all. */
  readonly place: number;
}

/** Each group in the order in which they were given. */
function groupByStart(policies: readonly PortPolicy[]): ReadonlyMap<number, readonly Placed[]> {
  const groups = new Map<number, Placed[]>();
  for (const [place, policy] of policies.entries()) {
    const group = groups.get(policy.port);
    if (group === undefined) groups.set(policy.port, [{ policy, place }]);
    else group.push({ policy, place });
  }
  return groups;
}

/** Of two lists in order one in order. */
function inPlace(a: readonly Placed[], b: readonly Placed[]): readonly Placed[] {
  const merged: Placed[] = [];
  let next = 0;
  for (const one of a) {
    while (next < b.length && (b[next] as Placed).place < one.place)
      merged.push(b[next++] as Placed);
    merged.push(one);
  }
  while (next < b.length) merged.push(b[next++] as Placed);
  return merged;
}

function policyOf({ policy }: Placed): PortPolicy {
  return policy;
}

/** Single ports are put in front (each batch reversed), ranges behind, as Cilium does. */
function collect<Rule>(
  policies: readonly PortPolicy[],
  rulesOf: (policy: PortPolicy) => readonly Rule[],
): Rule[] {
  const front: Rule[] = [];
  const back: Rule[] = [];
  for (const policy of policies) {
    const side = policy.port === policy.endPort ? front : back;
    for (const rule of rulesOf(policy)) side.push(rule);
  }
  return [...front.reverse(), ...back];
}
