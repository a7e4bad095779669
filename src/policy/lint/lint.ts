/**
 * Lint of a whole policy set: rules that are valid and do something else than their author thinks.
 * Works on decoded specs alone, so it needs no endpoints: one selector covers another when its
 * requirements are a subset of the other's, which is sound and finds what people really write.
 * Pure.
 */
import type { HttpRule } from '../ast.ts';
import type {
  DirectionRule,
  LabelSelector,
  Peer,
  PolicySpec,
  PortSelector,
  PortsRule,
} from '../rule.ts';
import { type Finding, note, warning } from './finding.ts';
import { lintHttpRule } from './http_rule_lint.ts';

export interface LintContext {
  /** Port names that some endpoint defines; null when no endpoints are known. */
  readonly namedPorts: ReadonlySet<string> | null;
}

/** Findings in the order of the specs. */
export function lintSpecs(specs: readonly PolicySpec[], context: LintContext): readonly Finding[] {
  const entries = specs.flatMap(entriesOf);
  return [...entries.flatMap((entry) => lintEntry(entry, context)), ...voidedEntries(entries)];
}

/** One toPorts element (or the absence of one) with what stands around it. */
interface Entry {
  readonly spec: PolicySpec;
  readonly rule: DirectionRule;
  /** Null: no toPorts, so every port. */
  readonly ports: PortsRule | null;
}

function entriesOf(spec: PolicySpec): Entry[] {
  const entries: Entry[] = [];
  for (const rule of spec.rules) {
    if (rule.ports === null) entries.push({ spec, rule, ports: null });
    else for (const ports of rule.ports) entries.push({ spec, rule, ports });
  }
  return entries;
}

function lintEntry(entry: Entry, context: LintContext): Finding[] {
  const { ports } = entry;
  if (ports === null || ports.l7.kind === 'none') return [];
  const findings = [...lintReach(entry, ports, context)];
  if (!entry.spec.enableDefaultDeny[entry.rule.direction]) {
    findings.push(
      note(
        'never-denies',
        ports.origin,
        `enableDefaultDeny is off for ${entry.rule.direction}, so unless another policy asks for default deny these rules observe and never deny`,
      ),
    );
  }
  if (ports.l7.kind !== 'http') return findings;
  findings.push(...ports.l7.rules.flatMap(lintHttpRule), ...shadowedRules(ports.l7.rules));
  return findings;
}

/** L7 rules on ports from which no connection ever comes to the proxy. */
function lintReach(entry: Entry, ports: PortsRule, context: LintContext): Finding[] {
  const findings: Finding[] = [];
  if (entry.rule.peers !== null && entry.rule.peers.length === 0) {
    findings.push(
      warning(
        'never-redirected',
        ports.origin,
        'the peer list is empty and selects nobody, so these rules are never asked',
      ),
    );
  }
  if (entry.spec.subject.kind === 'nodes' && ports.l7.kind === 'http') {
    findings.push(
      warning('never-redirected', ports.origin, 'host policies hand no connection to the proxy'),
    );
  }
  for (const port of ports.ports ?? []) {
    if (port.name === null || context.namedPorts === null || context.namedPorts.has(port.name))
      continue;
    findings.push(
      warning('never-redirected', ports.origin, `no known endpoint names a port "${port.name}"`),
    );
  }
  if (ports.isTlsTerminated || ports.isTlsOriginated) {
    findings.push(
      warning(
        'not-enforced-here',
        ports.origin,
        'TLS is neither terminated nor originated yet: a TLS connection to this port is denied',
      ),
    );
  }
  return findings;
}

/**
 * An allow without L7 rules on the same port and for the same remotes: Cilium (and we) then allow
 * everything there, as rules are alternatives.
 */
function voidedEntries(entries: readonly Entry[]): Finding[] {
  const findings: Finding[] = [];
  const plain = entries.filter(isPlainAllow);
  for (const entry of entries) {
    if (entry.ports === null || entry.ports.l7.kind === 'none' || entry.rule.action !== 'allow')
      continue;
    const voiding = plain.find((other) => isVoidedBy(entry, other));
    if (voiding === undefined) continue;
    const place = voiding.ports?.origin ?? voiding.rule.origin;
    findings.push(
      warning(
        'l4-voids-l7',
        entry.ports.origin,
        `${place.rule} of ${place.policy} allows the same port without L7 rules${peersText(voiding)}, so these rules restrict nothing`,
      ),
    );
  }
  return findings;
}

function isPlainAllow(entry: Entry): boolean {
  if (entry.rule.action !== 'allow' || entry.rule.hasIcmps) return false;
  if (entry.ports === null) return entry.rule.peers !== null;
  return (
    entry.ports.l7.kind === 'none' &&
    entry.ports.serverNames.length === 0 &&
    entry.ports.listener === null
  );
}

function isVoidedBy(entry: Entry, other: Entry): boolean {
  return (
    entry.rule.direction === other.rule.direction &&
    entry.spec.tier === other.spec.tier &&
    entry.spec.priority === other.spec.priority &&
    subjectCovers(other.spec, entry.spec) &&
    peersCover(other.rule.peers, entry.rule.peers) &&
    portsCover(other.ports?.ports ?? null, entry.ports?.ports ?? null)
  );
}

function subjectCovers(outer: PolicySpec, inner: PolicySpec): boolean {
  return (
    outer.subject.kind === inner.subject.kind &&
    selectorCovers(outer.subject.selector, inner.subject.selector)
  );
}

/** Null peers = any remote. */
function peersCover(outer: readonly Peer[] | null, inner: readonly Peer[] | null): boolean {
  if (outer === null) return true;
  if (outer.some((peer) => peer.kind === 'entity' && peer.entity === 'all')) return true;
  if (inner === null) return false;
  return inner.length > 0 && inner.every((peer) => outer.some((other) => peerCovers(other, peer)));
}

function peerCovers(outer: Peer, inner: Peer): boolean {
  if (outer.kind === 'selector' && inner.kind === 'selector') {
    return selectorCovers(outer.selector, inner.selector);
  }
  if (outer.kind === 'entity' && inner.kind === 'entity') return outer.entity === inner.entity;
  if (outer.kind === 'fqdn' && inner.kind === 'fqdn') {
    return outer.matchName === inner.matchName && outer.matchPattern === inner.matchPattern;
  }
  if (outer.kind === 'cidr' && inner.kind === 'cidr') {
    return outer.prefix.text === inner.prefix.text && outer.except.length === 0;
  }
  return false;
}

function selectorCovers(outer: LabelSelector, inner: LabelSelector): boolean {
  const have = new Set(inner.requirements.map(requirementText));
  return outer.requirements.every((requirement) => have.has(requirementText(requirement)));
}

function requirementText(requirement: LabelSelector['requirements'][number]): string {
  return JSON.stringify([requirement.key, requirement.operator, [...requirement.values].sort()]);
}

/** Null = every port. */
function portsCover(
  outer: readonly PortSelector[] | null,
  inner: readonly PortSelector[] | null,
): boolean {
  if (outer === null) return true;
  if (inner === null) return false;
  return inner.every((port) => outer.some((other) => portCovers(other, port)));
}

function portCovers(outer: PortSelector, inner: PortSelector): boolean {
  if (!inner.protocols.every((protocol) => outer.protocols.includes(protocol))) return false;
  if (outer.name !== null || inner.name !== null) return outer.name === inner.name;
  if (outer.port === 0) return true;
  return outer.port <= inner.port && inner.endPort <= outer.endPort;
}

/** A rule whose conditions are a superset of another's: whatever it allows, the other one does. */
function shadowedRules(rules: readonly HttpRule[]): Finding[] {
  const findings: Finding[] = [];
  rules.forEach((rule, index) => {
    if (rule.headerMatches.length > 0) return;
    const by = rules.find((other, otherIndex) => isShadowedBy(rule, index, other, otherIndex));
    if (by !== undefined) {
      findings.push(
        warning(
          'shadowed',
          rule.origin,
          `adds nothing: ${by.origin.rule} already allows all that it allows`,
        ),
      );
    }
  });
  return findings;
}

function isShadowedBy(rule: HttpRule, index: number, other: HttpRule, otherIndex: number): boolean {
  if (index === otherIndex || other.headerMatches.length > 0) return false;
  const have = conditions(rule);
  const need = conditions(other);
  if (have.size === need.size && otherIndex > index) return false;
  return [...need].every((condition) => have.has(condition));
}

/** A pattern that matches everything is no condition. */
function conditions(rule: HttpRule): ReadonlySet<string> {
  return new Set(
    rule.matchers
      .filter(({ value }) => value.kind !== 'regex' || !isEverything(value.pattern))
      .map(({ name, value, isInverted }) =>
        JSON.stringify([name, isInverted, value], (_, item: unknown) =>
          typeof item === 'bigint' ? String(item) : item,
        ),
      ),
  );
}

function isEverything(pattern: string): boolean {
  return /^\^?\/?\.\*\$?$/.test(pattern);
}

function peersText(entry: Entry): string {
  return entry.rule.peers === null ? ' for any remote' : '';
}
