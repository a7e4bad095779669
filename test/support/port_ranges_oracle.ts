/** The rules of port ranges by the book: each range gathers its rules from all entries, and sorts them. */
import type { PolicyProtocol } from '../../src/model/identity.ts';
import type { PortPolicy as PortPolicyOf } from '../../src/policy/ast.ts';

type PortPolicy = PortPolicyOf<PolicyProtocol>;

export interface WholeRange<Rule> {
  readonly first: number;
  readonly last: number;
  readonly rules: readonly Rule[];
}

/** Port 0 is the range 0 to 0. */
export function wholeRanges<Rule>(
  policies: readonly PortPolicy[],
  rulesOf: (policy: PortPolicy) => readonly Rule[],
): readonly WholeRange<Rule>[] {
  const specific = policies.filter(({ port }) => port !== 0);
  const wildcards = policies.filter(({ port }) => port === 0);
  const wildcard = collect(wildcards, rulesOf);
  const borders = new Set<number>();
  for (const { port, endPort } of specific) borders.add(port).add(endPort + 1);
  const sorted = [...borders].sort((a, b) => a - b);
  const ranges: WholeRange<Rule>[] =
    wildcards.length === 0 ? [] : [{ first: 0, last: 0, rules: wildcard }];
  for (const [i, first] of sorted.slice(0, -1).entries()) {
    const last = (sorted[i + 1] as number) - 1;
    const covering = specific.filter(({ port, endPort }) => port <= first && last <= endPort);
    if (covering.length === 0) continue;
    ranges.push({ first, last, rules: [...collect(covering, rulesOf), ...wildcard] });
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
