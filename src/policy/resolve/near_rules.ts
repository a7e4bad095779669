/**
 * What each rule of the policies that select an endpoint would have wanted of a connection, rules
 * included that no longer stand in the compiled policy because they select nobody that is known: with a
 * selector that is wrong, that is just the rule which its author looks for. Pure; linear in the rules.
 */
import type { Direction, Identity, PolicyProtocol } from '../../model/identity.ts';
import type { RuleOrigin } from '../ast.ts';
import type { IdentityEntry } from '../identity/identity_entry.ts';
import type { DirectionRule, Peer, PolicySpec, PortSelector } from '../rule.ts';
import { LabelSet } from '../selector.ts';
import type { InventoryEndpoint } from './inventory.ts';
import { type PeerMismatch, peerMismatch } from './peer_mismatch.ts';
import type { Selections } from './selection.ts';

export interface NearRule {
  /** Of the toPorts element; of the whole rule when it has none. */
  readonly origin: RuleOrigin;
  readonly verdict: DirectionRule['action'];
  /** "TCP 80, UDP 53"; "every port". */
  readonly ports: string;
  readonly isPortCovered: boolean;
  readonly isRemoteSelected: boolean;
  /** Nearest first; empty when the remote is selected. */
  readonly peers: readonly PeerMismatch[];
}

export interface NearQuestion {
  /** Those that select the endpoint and are enforced. */
  readonly specs: readonly PolicySpec[];
  readonly subject: InventoryEndpoint | null;
  readonly direction: Direction;
  readonly protocol: PolicyProtocol;
  /** Of ICMP the type + 1. */
  readonly port: number;
  readonly remote: Identity;
  readonly remoteEntry: IdentityEntry | null;
  readonly selections: Selections;
}

/** In the order of policies and rules. */
export function nearRules(question: NearQuestion): readonly NearRule[] {
  return question.specs.flatMap((spec) =>
    spec.rules.flatMap((rule) =>
      rule.direction === question.direction ? nearRule(spec, rule, question) : [],
    ),
  );
}

/** How little is missing: the port counts as much as the remote. */
export function closenessOf({ isPortCovered, isRemoteSelected, peers }: NearRule): number {
  return (isPortCovered ? 1 : 0) + (isRemoteSelected ? 1 : (peers[0]?.nearness ?? 0) * 0.99);
}

function nearRule(spec: PolicySpec, rule: DirectionRule, question: NearQuestion): NearRule[] {
  const hasPorts = rule.ports !== null && rule.ports.length > 0;
  if (rule.peers === null && !hasPorts && !rule.hasIcmps) return [];
  const isRemoteSelected =
    rule.peers === null || rule.peers.some((peer) => selects(peer, rule, question));
  const remote = {
    verdict: rule.action,
    isRemoteSelected,
    peers: isRemoteSelected ? [] : mismatches(rule.peers ?? [], spec, question),
  };
  if (rule.hasIcmps) {
    const icmps = rule.icmps ?? [];
    const isPortCovered = icmps.some(
      ({ protocol, type }) => protocol === question.protocol && type + 1 === question.port,
    );
    const ports = icmps.map(({ protocol, type }) => `${protocol} type ${type}`).join(', ');
    return [{ ...remote, origin: rule.origin, ports, isPortCovered }];
  }
  if (!hasPorts) {
    return [{ ...remote, origin: rule.origin, ports: 'every port', isPortCovered: true }];
  }
  return (rule.ports ?? []).map(({ origin, ports }) => ({
    ...remote,
    origin,
    ports: ports === null ? 'every port' : ports.map(portText).join(', '),
    isPortCovered: ports === null || ports.some((port) => covers(port, question)),
  }));
}

function selects(peer: Peer, rule: DirectionRule, { selections, remote }: NearQuestion): boolean {
  return selections
    .ofPeer(peer, rule.action === 'deny' ? 'some' : 'every')
    .some(({ remotes }) => remotes === null || remotes.has(remote));
}

function mismatches(
  peers: readonly Peer[],
  spec: PolicySpec,
  { remoteEntry }: NearQuestion,
): readonly PeerMismatch[] {
  const facts = {
    labels: remoteEntry?.set ?? new LabelSet([]),
    prefixes: remoteEntry?.prefixes ?? [],
    namespace: spec.namespace,
  };
  return peers.map((peer) => peerMismatch(peer, facts)).sort((a, b) => b.nearness - a.nearness);
}

function covers(
  selector: PortSelector,
  { protocol, port, subject, direction }: NearQuestion,
): boolean {
  if (!selector.protocols.some((one) => one === protocol)) return false;
  if (selector.name === null) {
    return (
      selector.port === 0 ||
      (selector.port <= port && port <= Math.max(selector.port, selector.endPort))
    );
  }
  // On egress a name is the destination's, and may be any number.
  if (direction === 'egress') return false;
  return (subject?.namedPorts ?? []).some(
    (one) => one.name === selector.name && one.protocol === protocol && one.port === port,
  );
}

function portText({ name, port, endPort, protocols }: PortSelector): string {
  const number = port === 0 ? 'every port' : endPort > port ? `${port}-${endPort}` : String(port);
  return `${protocols.join('/')} ${name ?? number}`;
}
