/**
 * Port policies that may overlap → disjoint ranges, each with the rules of all that cover it, in
 * Cilium's order (PortNetworkPolicy in network_policy.cc):
 *
 *     80-8080  A        80-4039    A
 *     4040-9999 B   →   4040-8080  A B
 *     443  C            8081-9999  B          443 is split off 80-4039 with C in front
 *     0    W            every one gets W at its end, and 0 keeps W for the ports in no range
 */
import type { PolicyProtocol } from '../../model/identity.ts';
import type { Steps } from '../../model/steps.ts';
import type { PortPolicy as PortPolicyOf } from '../ast.ts';

type PortPolicy = PortPolicyOf<PolicyProtocol>;

export interface PortRange<Rule> {
  readonly first: number;
  readonly last: number;
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
  const specific = policies.filter(({ port }) => port !== 0);
  const wildcards = policies.filter(({ port }) => port === 0);
  const wildcard = wildcards.length === 0 ? null : collect(wildcards, rulesOf);
  return { ranges: yield* rangesOf(specific, rulesOf, wildcard ?? []), wildcard };
}

function* rangesOf<Rule>(
  policies: readonly PortPolicy[],
  rulesOf: (policy: PortPolicy) => readonly Rule[],
  wildcard: readonly Rule[],
): Steps<PortRange<Rule>[]> {
  const borders = new Set<number>();
  for (const { port, endPort } of policies) borders.add(port).add(endPort + 1);
  const sorted = [...borders].sort((a, b) => a - b);
  const startsAt = groupByStart(policies);
  const positions = new Map(policies.map((policy, index) => [policy, index]));
  const position = (policy: PortPolicy): number => positions.get(policy) ?? 0;
  const ranges: PortRange<Rule>[] = [];
  let covering: PortPolicy[] = [];
  for (let i = 0; i + 1 < sorted.length; i++) {
    const first = sorted[i] as number;
    const last = (sorted[i + 1] as number) - 1;
    covering = covering.filter(({ endPort }) => endPort >= first);
    covering.push(...(startsAt.get(first) ?? []));
    if (covering.length === 0) continue;
    const inOrder = covering.toSorted((a, b) => position(a) - position(b));
    ranges.push({ first, last, rules: [...collect(inOrder, rulesOf), ...wildcard] });
    // Each has the rules of all that cover it: thousands of ranges of thousands of rules are much to copy.
    yield;
  }
  return ranges;
}

/** Single ports are put in front (each batch reversed), ranges behind, as Cilium does. */
function collect<Rule>(
  policies: readonly PortPolicy[],
  rulesOf: (policy: PortPolicy) => readonly Rule[],
): Rule[] {
  const front: Rule[] = [];
  const back: Rule[] = [];
  for (const policy of policies) {
    if (policy.port === policy.endPort) front.push(...rulesOf(policy));
    else back.push(...rulesOf(policy));
  }
  return [...front.reverse(), ...back];
}

function groupByStart(policies: readonly PortPolicy[]): ReadonlyMap<number, PortPolicy[]> {
  const groups = new Map<number, PortPolicy[]>();
  for (const policy of policies) {
    const group = groups.get(policy.port);
    if (group === undefined) groups.set(policy.port, [policy]);
    else group.push(policy);
  }
  return groups;
}
