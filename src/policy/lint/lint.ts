/**
 * Lint of a whole policy set: rules that are valid and do something else than their author thinks.
 * Works on decoded specs; what it says without endpoints holds whatever endpoints there are. Its cost
 * is that of the set's size. Pure.
 */
import type { PolicySpec, PortsRule } from '../rule.ts';
import { type CostContext, lintCost } from './cost_lint.ts';
import { dnsBesideHttp } from './dns_beside_http.ts';
import { type Entry, entriesOf } from './entry.ts';
import { filteredLabels } from './filtered_labels.ts';
import { type Finding, finding } from './finding.ts';
import { type KnownCluster, lintAgainst } from './known_lint.ts';
import { lintL7 } from './l7_lint.ts';
import { lintRule } from './rule_lint.ts';
import { lintSet } from './set_lint.ts';
import { voidedEntries } from './voided_rules.ts';

export interface LintContext {
  /** Port names that some endpoint defines; null when no endpoints are known. */
  readonly namedPorts: ReadonlySet<string> | null;
  /** Null when no endpoints are known. */
  readonly known: KnownCluster | null;
  /** Null: what patterns cost is not looked at. */
  readonly cost: CostContext | null;
}

/** Findings in no order that counts: who tells them sorts them by place. */
export function lintSpecs(specs: readonly PolicySpec[], context: LintContext): readonly Finding[] {
  const entries = specs.flatMap(entriesOf);
  return [
    ...specs.flatMap((spec) => spec.rules.flatMap((rule) => lintRule(spec, rule))),
    ...entries.flatMap((entry) => lintEntry(entry, context)),
    ...voidedEntries(entries),
    ...dnsBesideHttp(entries),
    ...lintSet(specs),
    ...filteredLabels(specs, context.known?.inventory ?? null),
    ...(context.cost === null ? [] : lintCost(entries, context.cost)),
    ...(context.known === null ? [] : lintAgainst(specs, context.known)),
  ];
}

function lintEntry(entry: Entry, context: LintContext): Finding[] {
  const { ports } = entry;
  if (ports === null || ports.l7.kind === 'none') return [];
  const findings = [...lintReach(entry, ports, context)];
  const { direction } = entry.rule;
  if (!entry.spec.enableDefaultDeny[direction]) {
    const message = `enableDefaultDeny is off for ${direction}, so unless another policy asks for default deny these rules observe and never deny`;
    findings.push(finding('never-denies', ports.origin, { message }));
  }
  return [...findings, ...lintL7(ports.l7)];
}

/** L7 rules on ports from which no connection ever comes to the proxy. */
function lintReach(entry: Entry, ports: PortsRule, context: LintContext): Finding[] {
  const findings: Finding[] = [];
  const never = (message: string): void => {
    findings.push(finding('never-redirected', ports.origin, { message }));
  };
  if (entry.rule.peers !== null && entry.rule.peers.length === 0) {
    never('the peer list is empty and selects nobody, so these rules are never asked');
  }
  if (entry.spec.subject.kind === 'nodes' && ports.l7.kind === 'http') {
    never('host policies hand no connection to the proxy');
  }
  for (const { name } of ports.ports ?? []) {
    if (name === null || context.namedPorts === null || context.namedPorts.has(name)) continue;
    never(`no known endpoint names a port "${name}"`);
  }
  if (ports.isTlsTerminated || ports.isTlsOriginated) {
    const message =
      'TLS is neither terminated nor originated yet: a TLS connection to this port is denied';
    findings.push(finding('not-enforced-here', ports.origin, { message }));
  }
  return findings;
}
