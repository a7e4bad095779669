/**
 * One rule element taken apart: one piece for each (port, protocol, selector). Pieces that agree in
 * `mergeKey` are about the same traffic and the same selector, and become one wire rule.
 */
import type { Identity, PolicyProtocol } from '../../model/identity.ts';
import { POLICY_PROTOCOLS, PROTOCOLS } from '../../model/identity.ts';
import { type L7Rules, NO_L7, type RuleOrigin } from '../ast.ts';
import type { RemoteSelector } from '../remote_selector.ts';
import type { DirectionRule, IcmpSelector, ListenerRef, PortsRule } from '../rule.ts';
import type { RedirectKind } from './precedence.ts';
import { ANY_REMOTE, type Selection, type Selections } from './selection.ts';

export interface Piece {
  readonly mergeKey: string;
  readonly level: number;
  readonly action: 'allow' | 'deny' | 'pass';
  /** Of a pass: see npds.proto pass_precedence. */
  readonly passTarget: number;
  readonly port: PiecePort;
  readonly selectorKey: string;
  readonly remotes: ReadonlySet<Identity> | null;
  readonly selector: RemoteSelector | null;
  readonly origin: RuleOrigin;
  readonly l7: L7Rules;
  readonly serverNames: readonly string[];
  readonly listener: ListenerRef | null;
  readonly isTlsTerminated: boolean;
  readonly isTlsOriginated: boolean;
}

export interface PiecePort {
  readonly port: number;
  readonly endPort: number;
  /** Not resolved yet when set; `port` is 0 then. */
  readonly name: string | null;
  readonly protocol: PolicyProtocol;
}

export interface PieceContext {
  readonly selections: Selections;
  readonly level: number;
  readonly passTarget: number;
}

/**
 * No pieces for an element without peers and ports: `ingress: [{}]` only switches default deny on (A.6).
 * One with peers alone is about every protocol there is, one with ports about TCP, UDP and SCTP.
 */
export function piecesOf(rule: DirectionRule, context: PieceContext): Piece[] {
  // An empty toPorts is as good as none: Cilium asks for its length (rule.go mergeIngress).
  const ports = rule.ports !== null && rule.ports.length > 0 ? rule.ports : null;
  if (ports === null && !rule.hasIcmps && rule.peers === null) return [];
  const selections = selectionsOf(rule, context.selections);
  const pieces = (element: PortsRule | null, places: readonly PiecePort[]): Piece[] =>
    places.flatMap((port) =>
      selections.map((selection) => pieceOf(rule, element, { port, selection, context })),
    );
  if (ports !== null) return ports.flatMap((element) => pieces(element, portsOf(element)));
  return pieces(null, rule.hasIcmps ? (rule.icmps ?? []).map(icmpPlace) : EVERY_PORT);
}

/** Shifted by one, as 0 stands for any. */
function icmpPlace({ protocol, type }: IcmpSelector): PiecePort {
  return { port: type + 1, endPort: type + 1, name: null, protocol };
}

/** Peers that are absent select anybody; those that are present and empty select nobody. */
function selectionsOf(rule: DirectionRule, selections: Selections): readonly Selection[] {
  if (rule.peers === null) return [ANY_REMOTE];
  const mode = rule.action === 'deny' ? 'some' : 'every';
  const byKey = new Map<string, Selection>();
  for (const peer of rule.peers) {
    for (const selection of selections.ofPeer(peer, mode)) byKey.set(selection.key, selection);
  }
  return [...byKey.values()];
}

function portsOf(element: PortsRule): readonly PiecePort[] {
  // An element that names no port says nothing: the agent walks the ports of each element.
  const selectors = element.ports ?? [{ port: 0, endPort: 0, name: null, protocols: PROTOCOLS }];
  return selectors.flatMap(({ port, endPort, name, protocols }) =>
    protocols.map((protocol) => ({
      port: name === null ? port : 0,
      endPort: name === null ? Math.max(port, endPort) : 0,
      name,
      protocol,
    })),
  );
}

interface PiecePlace {
  readonly port: PiecePort;
  readonly selection: Selection;
  readonly context: PieceContext;
}

function pieceOf(rule: DirectionRule, element: PortsRule | null, place: PiecePlace): Piece {
  const { port, selection, context } = place;
  const isAllow = rule.action === 'allow';
  const portText = `${port.protocol} ${port.name ?? `${port.port}-${port.endPort}`}`;
  return {
    mergeKey: `${portText} ${context.level} ${selection.key}`,
    level: context.level,
    action: rule.action,
    passTarget: context.passTarget,
    port,
    selectorKey: selection.key,
    remotes: selection.remotes,
    selector: selection.selector,
    origin: element?.origin ?? rule.origin,
    // Deny rules have ports only; were one to have L7 rules, ignoring them denies more, not less.
    l7: isAllow ? l7Of(element) : NO_L7,
    serverNames: isAllow ? (element?.serverNames ?? []) : [],
    listener: isAllow ? (element?.listener ?? null) : null,
    isTlsTerminated: isAllow && element?.isTlsTerminated === true,
    isTlsOriginated: isAllow && element?.isTlsOriginated === true,
  };
}

function l7Of(element: PortsRule | null): L7Rules {
  return element === null || element.l7.kind === 'none' || element.l7.rules.length === 0
    ? NO_L7
    : element.l7;
}

/** The parser that a redirect for this piece would use; null: no redirect. */
export function parserOf(piece: Piece): RedirectKind | null {
  if (piece.listener !== null) return 'crd';
  if (piece.l7.kind !== 'none') return piece.l7.kind;
  const isTls = piece.serverNames.length > 0 || piece.isTlsTerminated || piece.isTlsOriginated;
  return isTls ? 'tls' : null;
}

const EVERY_PORT: readonly PiecePort[] = POLICY_PROTOCOLS.map((protocol) => ({
  port: 0,
  endPort: 0,
  name: null,
  protocol,
}));
