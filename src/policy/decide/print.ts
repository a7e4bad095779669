/**
 * A compiled snapshot as canonical text: equal policies print equally, so that golden tests and the
 * admin server show what is really in force. No secret's value is printed.
 */
import type { Identity } from '../../model/identity.ts';
import { PROTOCOLS } from '../../model/identity.ts';
import { shownLine } from '../../model/shown_text.ts';
import type { CompiledEndpoint } from '../compiled/compiled_endpoint.ts';
import type { CompiledRule } from '../compiled/compiled_rule.ts';
import type { PortRules } from '../compiled/port_rules.ts';
import { remotesOf } from '../compiled/rule_remotes.ts';
import type { PolicySnapshot } from '../compiled/snapshot.ts';
import type { Remotes } from '../identity/remotes.ts';
import { printL7 } from '../l7/protocols.ts';

/** Ends in a newline. */
export function printSnapshot(snapshot: PolicySnapshot): string {
  const remotes = snapshot.who?.remotes ?? null;
  const lines = snapshot.endpoints().flatMap((endpoint) => printEndpoint(endpoint, remotes));
  return `${lines.length === 0 ? 'no policies: everything is denied' : lines.map(shownLine).join('\n')}\n`;
}

function printEndpoint(owner: CompiledEndpoint, remotes: Remotes | null): string[] {
  return [
    `endpoint ${owner.name} (${owner.endpointIps.join(', ')})`,
    ...(['ingress', 'egress'] as const).flatMap((direction) => {
      const ports = PROTOCOLS.flatMap(
        (protocol) => owner.tables(direction).get(protocol)?.all() ?? [],
      );
      if (ports.length === 0) return [`  ${direction}: deny all`];
      return [`  ${direction}:`, ...ports.flatMap((port) => printPort(port, remotes))];
    }),
  ];
}

function printPort(port: PortRules, remotes: Remotes | null): string[] {
  const range = port.first === port.last ? String(port.first) : `${port.first}-${port.last}`;
  const name = port.first === 0 ? 'any other port' : `port ${range}`;
  return [
    `    ${port.protocol} ${name}`,
    ...port.rules.flatMap((rule) => printRule(rule, remotes)),
  ];
}

function printRule(rule: CompiledRule, remotes: Remotes | null): string[] {
  const about = remotesOf(rule, remotes);
  const parts = [
    `${rule.precedence}`,
    rule.source.verdict.kind,
    ...(rule.passPrecedence === 0 ? [] : [`to ${rule.passPrecedence}`]),
    about === null ? 'any remote' : `remotes ${printIdentities(about)}`,
    ...(rule.proxyId === 0 ? [] : [`listener ${rule.proxyId}`]),
    ...(rule.serverNames.length === 0
      ? []
      : [`server names ${rule.serverNames.map(({ text }) => text).join(' ')}`]),
  ];
  const lines = [`      ${parts.join(', ')}  [${rule.ref.policy} ${rule.ref.rule}]`];
  if (rule.l7.kind !== 'none') lines.push(...printL7(rule.l7).map((line) => `        ${line}`));
  return lines;
}

function printIdentities(remotes: ReadonlySet<Identity>): string {
  return remotes.size === 0 ? 'nobody' : [...remotes].sort((a, b) => a - b).join(' ');
}
