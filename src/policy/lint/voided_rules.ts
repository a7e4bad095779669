/**
 * L7 rules beside an allow without L7 rules on the same port and for the same remotes: Cilium (and we)
 * then allow everything there, as rules are alternatives.
 */
import type { Peer, PolicySpec, PortSelector } from '../rule.ts';
import { selectorKey } from '../selector.ts';
import { isAnyRemote, peersCover, portsCover, selectorCovers } from './covering.ts';
import type { Entry } from './entry.ts';
import { type Finding, finding } from './finding.ts';
import { SelectorIndex } from './selector_index.ts';
import { subsets } from './subsets.ts';

/** Under one key all say nearly the same: the first few tell enough. */
const CANDIDATES_MAX = 16;

export function voidedEntries(entries: readonly Entry[]): Finding[] {
  const index = new PlainAllows();
  for (const entry of entries) if (isPlainAllow(entry)) index.add(entry);
  return entries.flatMap((entry) => {
    const { ports, rule } = entry;
    if (ports === null || ports.l7.kind === 'none' || rule.action !== 'allow') return [];
    const voiding = index.find(entry);
    if (voiding === null) return [];
    const place = voiding.ports?.origin ?? voiding.rule.origin;
    const forWhom = voiding.rule.peers === null ? ' for any remote' : '';
    const message = `${place.rule} of ${place.policy} allows the same port without L7 rules${forWhom}, so these rules restrict nothing`;
    return [finding('l4-voids-l7', ports.origin, { message })];
  });
}

function isPlainAllow({ rule, ports }: Entry): boolean {
  if (rule.action !== 'allow' || rule.hasIcmps) return false;
  if (ports === null) return rule.peers !== null;
  return ports.l7.kind === 'none' && ports.serverNames.length === 0 && ports.listener === null;
}

type ByPeerAndPort = Map<string, Entry[]>;

class PlainAllows {
  readonly #bySubject = new Map<string, SelectorIndex<ByPeerAndPort>>();

  add(entry: Entry): void {
    const place = this.#placeOf(entry).at(entry.spec.subject.selector);
    for (const peer of peerKeys(entry.rule.peers)) {
      for (const port of portKeys(entry.ports?.ports ?? null)) {
        const key = `${peer} ${port}`;
        const known = place.get(key);
        if (known === undefined) place.set(key, [entry]);
        else if (known.length < CANDIDATES_MAX) known.push(entry);
      }
    }
  }

  /** The first found that voids the entry. */
  find(entry: Entry): Entry | null {
    const peers = isAnyRemote(entry.rule.peers) ? [ANY] : [ANY, ...firstPeerKeys(entry.rule.peers)];
    const ports = [ANY, ...askedPortKeys(entry.ports?.ports ?? null)];
    for (const place of this.#placeOf(entry).covering(entry.spec.subject.selector)) {
      for (const peer of peers) {
        for (const port of ports) {
          const found = place.get(`${peer} ${port}`)?.find((other) => isVoidedBy(entry, other));
          if (found !== undefined) return found;
        }
      }
    }
    return null;
  }

  #placeOf({ spec, rule }: Entry): SelectorIndex<ByPeerAndPort> {
    const key = `${rule.direction} ${levelKey(spec)}`;
    let index = this.#bySubject.get(key);
    if (index === undefined) {
      index = new SelectorIndex<ByPeerAndPort>(() => new Map());
      this.#bySubject.set(key, index);
    }
    return index;
  }
}

function levelKey({ subject, tier, priority }: PolicySpec): string {
  return `${subject.kind} ${tier} ${priority}`;
}

const ANY = '*';
const SELECTOR = 'selector';

/** What an allow for these peers is filed under: one of the keys that it is looked for by. */
function peerKeys(peers: readonly Peer[] | null): readonly string[] {
  if (isAnyRemote(peers)) return [ANY];
  return [...new Set((peers ?? []).map(peerKey))];
}

/** A list is covered only when its first peer is. */
function firstPeerKeys(peers: readonly Peer[] | null): readonly string[] {
  const first = peers?.[0];
  if (first === undefined) return [];
  if (first.kind !== 'selector') return [peerKey(first)];
  // A selector with fewer requirements covers it: that of its namespace alone, most often.
  return subsets(first.selector.requirements).map(
    (requirements) => `${SELECTOR} ${selectorKey({ requirements })}`,
  );
}

function peerKey(peer: Peer): string {
  switch (peer.kind) {
    case 'selector':
      return `${SELECTOR} ${selectorKey(peer.selector)}`;
    case 'entity':
      return `entity ${peer.entity}`;
    case 'fqdn':
      return `fqdn ${peer.matchName ?? ''} ${peer.matchPattern ?? ''}`;
    case 'cidr':
      return `cidr ${peer.prefix.text}`;
    default:
      return peer.kind;
  }
}

/** Ranges are filed as such; a port is looked for among them, too. */
function portKeys(ports: readonly PortSelector[] | null): readonly string[] {
  if (ports === null) return [ANY];
  return [
    ...new Set(ports.map((one) => (one.name === null && isWide(one) ? RANGE : portKey(one)))),
  ];
}

function askedPortKeys(ports: readonly PortSelector[] | null): readonly string[] {
  const first = ports?.[0];
  return first === undefined ? [] : [portKey(first), RANGE];
}

const RANGE = 'range';

function isWide({ port, endPort }: PortSelector): boolean {
  return port === 0 || endPort > port;
}

function portKey({ name, port }: PortSelector): string {
  return name ?? String(port);
}

function isVoidedBy(entry: Entry, other: Entry): boolean {
  return (
    selectorCovers(other.spec.subject.selector, entry.spec.subject.selector) &&
    peersCover(other.rule.peers, entry.rule.peers) &&
    portsCover(other.ports?.ports ?? null, entry.ports?.ports ?? null)
  );
}
