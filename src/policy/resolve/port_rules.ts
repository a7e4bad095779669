/**
 * Merged pieces → wire rules, by port: named ports become numbers, listeners become proxy ids,
 * precedences are set. A rule whose selector selects nobody yet stays; the compiler leaves it out for as long as
 * that is so. A port without rules is left out: an empty list would mean "allow all" on the wire (the class of
 * CVE-2025-64715).
 */
import type { Direction, Identity, PolicyProtocol } from '../../model/identity.ts';
import { POLICY_PROTOCOLS } from '../../model/identity.ts';
import type { L7Rules, PortPolicy, PortRule, RuleOrigin, RuleVerdict } from '../ast.ts';
import { compareText } from '../labels.ts';
import type { RemoteSelector } from '../remote_selector.ts';
import type { Inventory, InventoryEndpoint } from './inventory.ts';
import { anyHttpRule, compareOrigins, withL7Wildcard } from './merge.ts';
import type { NamedPorts } from './named_ports.ts';
import { type Piece, parserOf } from './piece.ts';
import {
  allowPrecedence,
  denyPrecedence,
  passPrecedence,
  redirectPrecedence,
} from './precedence.ts';

export interface PortRulesContext {
  readonly direction: Direction;
  /** The subject. */
  readonly endpoint: InventoryEndpoint;
  /** `toPorts[].listener.name` → proxy id. */
  readonly listeners: Inventory['listeners'];
  /** What names mean at destinations. */
  readonly namedPorts: NamedPorts;
  /** No selecting rule asks for default deny: L7 rules then observe and never deny (A.6). */
  readonly isL7Observing: boolean;
  /** Rules on every port that come from no policy. */
  readonly extra: readonly PortRule[];
}

/** Something that is valid and cannot take effect as it stands. */
export interface ResolveWarning {
  readonly origin: RuleOrigin;
  readonly message: string;
}

export interface PortRulesResult {
  readonly ports: readonly PortPolicy<PolicyProtocol>[];
  readonly warnings: readonly ResolveWarning[];
}

export function portPoliciesOf(
  pieces: readonly Piece[],
  context: PortRulesContext,
): PortRulesResult {
  const builder = new PortPoliciesBuilder(context);
  for (const piece of pieces) builder.add(piece);
  for (const rule of context.extra) {
    for (const protocol of POLICY_PROTOCOLS)
      builder.addRule({ port: 0, endPort: 0, protocol }, rule);
  }
  return { ports: builder.ports(), warnings: builder.warnings };
}

interface PortPlace {
  readonly port: number;
  readonly endPort: number;
  readonly protocol: PolicyProtocol;
}

/** One number that a named port stands for, and the remotes for which it does. */
interface NamedPlace extends PortPlace {
  readonly remotes: ReadonlySet<Identity> | null;
  /** Null: these remotes, or any. */
  readonly selector: RemoteSelector | null;
}

class PortPoliciesBuilder {
  readonly warnings: ResolveWarning[] = [];
  readonly #context: PortRulesContext;
  readonly #places = new Map<string, { readonly place: PortPlace; readonly rules: PortRule[] }>();

  constructor(context: PortRulesContext) {
    this.#context = context;
  }

  add(piece: Piece): void {
    const proxyId = this.#proxyIdOf(piece);
    if (proxyId === null) return;
    for (const { remotes, selector, ...place } of this.#placesOf(piece)) {
      this.addRule(place, {
        precedence: precedenceOf(piece),
        verdict: verdictOf(piece),
        proxyId,
        origin: piece.origin,
        remotes,
        ...(selector === null ? {} : { selector }),
        serverNames: piece.serverNames,
        l7: this.#l7Of(piece),
      });
    }
  }

  addRule({ port, endPort, protocol }: PortPlace, rule: PortRule): void {
    const key = `${protocol} ${port} ${endPort}`;
    const known = this.#places.get(key);
    if (known !== undefined) known.rules.push(rule);
    else this.#places.set(key, { place: { port, endPort, protocol }, rules: [rule] });
  }

  ports(): readonly PortPolicy<PolicyProtocol>[] {
    return [...this.#places.values()]
      .map(({ place, rules }) => ({ ...place, rules: rules.sort(compareRules) }))
      .sort(
        (a, b) =>
          POLICY_PROTOCOLS.indexOf(a.protocol) - POLICY_PROTOCOLS.indexOf(b.protocol) ||
          a.port - b.port ||
          a.endPort - b.endPort,
      );
  }

  /** Null: the listener is not known, so nobody may serve the rule. */
  #proxyIdOf(piece: Piece): number | null {
    if (piece.listener === null) return 0;
    const proxyId = this.#context.listeners.get(piece.listener.name);
    if (proxyId !== undefined) return proxyId;
    this.#warn(piece, `listener "${piece.listener.name}" is not known, so the rule selects nobody`);
    return null;
  }

  #l7Of(piece: Piece): L7Rules {
    if (piece.action !== 'allow') return piece.l7;
    // TLS contexts alone still mean the HTTP filter chain: other bytes are not to pass unread.
    const isTls = piece.isTlsTerminated || piece.isTlsOriginated;
    const l7: L7Rules =
      isTls && piece.l7.kind === 'none'
        ? { kind: 'http', rules: [anyHttpRule(piece.origin)] }
        : piece.l7;
    return this.#context.isL7Observing ? withL7Wildcard(l7, piece.origin) : l7;
  }

  #placesOf(piece: Piece): readonly NamedPlace[] {
    const { port, endPort, protocol, name } = piece.port;
    const { remotes, selector } = piece;
    if (name === null) return [{ port, endPort, protocol, remotes, selector }];
    const places =
      this.#context.direction === 'ingress'
        ? namedPlaces(this.#context.endpoint, piece).map((place) => ({
            ...place,
            remotes,
            selector,
          }))
        : this.#destinationPlaces(piece);
    if (places.length === 0) {
      this.#warn(piece, `named port "${name}"/${protocol} is not resolved, so the rule is skipped`);
    }
    return places;
  }

  /** On egress a name means what the destination calls so. */
  #destinationPlaces(piece: Piece): readonly NamedPlace[] {
    const { protocol, name } = piece.port;
    const numbers = this.#context.namedPorts.numbersOf(name ?? '', protocol, piece.remotes);
    // Any remote, and all who have the name agree on its number: Cilium then allows that number.
    const isAny = piece.remotes === null && numbers.size === 1;
    return [...numbers].map(([port, remotes]) => ({
      port,
      endPort: port,
      protocol,
      remotes: isAny ? null : remotes,
      selector: null,
    }));
  }

  #warn(piece: Piece, message: string): void {
    this.warnings.push({ origin: piece.origin, message });
  }
}

function namedPlaces(endpoint: InventoryEndpoint, piece: Piece): readonly PortPlace[] {
  return endpoint.namedPorts
    .filter(({ name, protocol }) => name === piece.port.name && protocol === piece.port.protocol)
    .map(({ port, protocol }) => ({ port, endPort: port, protocol }));
}

function verdictOf(piece: Piece): RuleVerdict {
  return piece.action === 'pass'
    ? { kind: 'pass', passPrecedence: piece.passTarget }
    : { kind: piece.action };
}

function precedenceOf(piece: Piece): number {
  switch (piece.action) {
    case 'deny':
      return denyPrecedence(piece.level);
    case 'pass':
      return passPrecedence(piece.level);
    case 'allow': {
      const parser = parserOf(piece);
      if (parser === null) return allowPrecedence(piece.level);
      return redirectPrecedence(piece.level, parser, piece.listener?.priority ?? 0);
    }
  }
}

/** Precedence downwards, no L7 before L7, then by origin and selector: the same in any order, whoever there is. */
function compareRules(a: PortRule, b: PortRule): number {
  return (
    b.precedence - a.precedence ||
    Number(a.l7.kind !== 'none') - Number(b.l7.kind !== 'none') ||
    compareOrigins(a.origin, b.origin) ||
    compareText(a.selector?.key ?? remotesText(a), b.selector?.key ?? remotesText(b))
  );
}

/** Kept for each set: sorting asks for it again and again, and rules share them. */
const remotesTexts = new WeakMap<ReadonlySet<Identity>, string>();

function remotesText({ remotes }: PortRule): string {
  if (remotes === null) return '';
  let text = remotesTexts.get(remotes);
  if (text === undefined) {
    text = [...remotes].sort((a, b) => a - b).join(',');
    remotesTexts.set(remotes, text);
  }
  return text;
}
