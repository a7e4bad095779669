/**
 * A compiled snapshot as canonical text: equal policies print equally, so that golden tests and the
 * admin server show what is really in force. No secret's value is printed.
 */
import type { Identity, PolicyProtocol } from '../../model/identity.ts';
import { PROTOCOLS } from '../../model/identity.ts';
import { shownLine } from '../../model/shown_text.ts';
import type { HeaderMatcher } from '../ast.ts';
import type { CompiledHttpRule, CompiledRule } from '../compile/compiled_rule.ts';
import type { PortRules } from '../compile/port_rules.ts';
import type { PortTable } from '../compile/port_table.ts';
import type { CompiledEndpoint, PolicySnapshot } from '../snapshot.ts';

const VERDICTS = ['deny', 'allow', 'pass'] as const;

/** Ends in a newline. */
export function printSnapshot(snapshot: PolicySnapshot): string {
  const lines = snapshot.endpoints().flatMap((endpoint) => printEndpoint(endpoint));
  return `${lines.length === 0 ? 'no policies: everything is denied' : lines.map(shownLine).join('\n')}\n`;
}

interface TableOwner extends CompiledEndpoint {
  tables(direction: 'ingress' | 'egress'): ReadonlyMap<PolicyProtocol, PortTable>;
}

function printEndpoint(endpoint: CompiledEndpoint): string[] {
  const owner = endpoint as TableOwner;
  return [
    `endpoint ${owner.name} (${owner.endpointIps.join(', ')})`,
    ...(['ingress', 'egress'] as const).flatMap((direction) => {
      const ports = PROTOCOLS.flatMap(
        (protocol) => owner.tables(direction).get(protocol)?.all() ?? [],
      );
      if (ports.length === 0) return [`  ${direction}: deny all`];
      return [`  ${direction}:`, ...ports.flatMap(printPort)];
    }),
  ];
}

function printPort(port: PortRules): string[] {
  const range = port.first === port.last ? String(port.first) : `${port.first}-${port.last}`;
  const name = port.first === 0 ? 'any other port' : `port ${range}`;
  return [`    ${port.protocol} ${name}`, ...port.rules.flatMap(printRule)];
}

function printRule(rule: CompiledRule): string[] {
  const parts = [
    `${rule.precedence}`,
    VERDICTS[rule.kind] as string,
    ...(rule.passPrecedence === 0 ? [] : [`to ${rule.passPrecedence}`]),
    rule.remotes === null ? 'any remote' : `remotes ${printIdentities(rule.remotes)}`,
    ...(rule.proxyId === 0 ? [] : [`listener ${rule.proxyId}`]),
    ...(rule.serverNames.length === 0
      ? []
      : [`server names ${rule.serverNames.map(({ text }) => text).join(' ')}`]),
  ];
  const lines = [`      ${parts.join(', ')}  [${rule.ref.policy} ${rule.ref.rule}]`];
  if (rule.http !== null) lines.push(...rule.http.map(printHttpRule));
  for (const { source } of rule.dns?.rules ?? []) {
    const names = [source.matchName, source.matchPattern].filter((name) => name !== null);
    lines.push(`        dns ${names.join(' or ')}`);
  }
  return lines;
}

function printHttpRule(rule: CompiledHttpRule): string {
  const matchers = rule.path === null ? rule.others : [rule.path, ...rule.others];
  const parts = matchers.map(({ source }) => printMatcher(source));
  for (const { source } of rule.headerMatches) {
    // What stands in for a secret may be one itself.
    const fallback = source.value === '' ? '' : ' or its own value';
    const value =
      source.secret === null ? JSON.stringify(source.value) : `secret ${source.secret}${fallback}`;
    parts.push(
      `${source.name} ${value} match:${source.matchAction} mismatch:${source.mismatchAction}`,
    );
  }
  return `        http ${parts.length === 0 ? 'any request' : parts.join(', ')}`;
}

function printMatcher(matcher: HeaderMatcher): string {
  const missing = matcher.treatMissingAsEmpty ? ' (missing is empty)' : '';
  return `${matcher.isInverted ? 'not ' : ''}${printCondition(matcher)}${missing}`;
}

function printCondition({ name, value }: HeaderMatcher): string {
  switch (value.kind) {
    case 'present':
      return `${name} ${value.isPresent ? 'present' : 'absent'}`;
    case 'regex':
      return `${name} ~ ${value.pattern}`;
    case 'range':
      return `${name} in [${value.start}, ${value.end})`;
    case 'never':
      return `${name} never`;
    default:
      return `${name} ${value.kind}${value.ignoreCase ? ' (any case)' : ''} ${JSON.stringify(value.text)}`;
  }
}

function printIdentities(remotes: ReadonlySet<Identity>): string {
  return remotes.size === 0 ? 'nobody' : [...remotes].sort((a, b) => a - b).join(' ');
}
