/**
 * DNS rules and HTTP rules on one port for the same remotes. Cilium's agent cannot merge them for one selector
 * (L7ParserType.Merge: the endpoint keeps the policy that it had); for a remote of two selectors it hands the
 * connection to the HTTP proxy, whose priority comes first (ListenerPriorityHTTP 101, ListenerPriorityDNS 121).
 */
import type { L7Protocol } from '../../model/decision.ts';
import type { Peer, PortSelector } from '../rule.ts';
import { isAnyRemote, peersCover } from './covering.ts';
import type { Entry } from './entry.ts';
import { type Finding, finding } from './finding.ts';
import { SelectorIndex } from './selector_index.ts';

/** On one port, under one selector, of which the first few tell enough. */
const CANDIDATES_MAX = 16;

export function dnsBesideHttp(entries: readonly Entry[]): Finding[] {
  const dns = entries.filter((entry) => isAllowOf(entry, 'dns'));
  const http = entries.filter((entry) => isAllowOf(entry, 'http'));
  if (dns.length === 0 || http.length === 0) return [];
  const found = new Map<Entry, Entry>();
  const ofHttp = new EntriesByPort(http);
  for (const entry of dns) {
    const beside = ofHttp.find(entry);
    if (beside !== null) found.set(entry, beside);
  }
  const ofDns = new EntriesByPort(dns);
  for (const entry of http) {
    const beside = ofDns.find(entry);
    if (beside !== null && !found.has(beside)) found.set(beside, entry);
  }
  return [...found].map(([one, other]) => told(one, other));
}

function told(dns: Entry, http: Entry): Finding {
  const place = http.ports?.origin ?? http.rule.origin;
  const then = isMerged(dns, http)
    ? 'Cilium cannot merge them, and a set in which both select an endpoint is rejected here'
    : 'a connection of a remote that both are for goes to the HTTP proxy, so these names are never asked';
  const message = `${place.rule} of ${place.policy} has HTTP rules on the same port for the same remotes: ${then}`;
  return finding('dns-beside-http', dns.ports?.origin ?? dns.rule.origin, { message });
}

/** Rules of one selector and one port are one rule to the agent; those of a range and a port in it are two. */
function isMerged(one: Entry, other: Entry): boolean {
  const isSamePort = portsOf(one).some((a) =>
    portsOf(other).some((b) => a.port === b.port && a.endPort === b.endPort && portsMeet(a, b)),
  );
  return isSamePort && havePeerInCommon(one.rule.peers, other.rule.peers);
}

function havePeerInCommon(one: readonly Peer[] | null, other: readonly Peer[] | null): boolean {
  if (isAnyRemote(one) || isAnyRemote(other)) return isAnyRemote(one) && isAnyRemote(other);
  return (one ?? []).some((a) =>
    (other ?? []).some((b) => peersCover([a], [b]) && peersCover([b], [a])),
  );
}

function isAllowOf({ rule, ports }: Entry, kind: L7Protocol): boolean {
  return rule.action === 'allow' && ports?.l7.kind === kind;
}

class EntriesByPort {
  readonly #byPlace = new Map<string, SelectorIndex<Map<string, Entry[]>>>();

  constructor(entries: readonly Entry[]) {
    for (const entry of entries) {
      const byPort = this.#indexFor(entry).at(entry.spec.subject.selector);
      for (const key of portKeys(entry)) {
        const known = byPort.get(key);
        if (known === undefined) byPort.set(key, [entry]);
        else if (known.length < CANDIDATES_MAX) known.push(entry);
      }
    }
  }

  /** One for all subjects of `entry`, and for some of its remotes and ports. */
  find(entry: Entry): Entry | null {
    const asked = new Set([...portKeys(entry), RANGE]);
    for (const byPort of this.#indexFor(entry).covering(entry.spec.subject.selector)) {
      for (const key of asked) {
        const found = byPort.get(key)?.find((other) => isBeside(entry, other));
        if (found !== undefined) return found;
      }
    }
    return null;
  }

  #indexFor({ spec, rule }: Entry): SelectorIndex<Map<string, Entry[]>> {
    const key = `${rule.direction} ${spec.subject.kind} ${spec.tier} ${spec.priority}`;
    let index = this.#byPlace.get(key);
    if (index === undefined) {
      index = new SelectorIndex<Map<string, Entry[]>>(() => new Map());
      this.#byPlace.set(key, index);
    }
    return index;
  }
}

const RANGE = 'range';

function portKeys(entry: Entry): readonly string[] {
  return [...new Set(portsOf(entry).map(portKey))];
}

function portsOf({ ports }: Entry): readonly PortSelector[] {
  return ports?.ports ?? [];
}

function portKey({ name, port, endPort }: PortSelector): string {
  if (name !== null) return name;
  return endPort > port ? RANGE : String(port);
}

function isBeside(entry: Entry, other: Entry): boolean {
  const [a, b] = [entry.rule.peers, other.rule.peers];
  if (!peersCover(a, b) && !peersCover(b, a)) return false;
  return portsOf(entry).some((a) => portsOf(other).some((b) => portsMeet(a, b)));
}

function portsMeet(a: PortSelector, b: PortSelector): boolean {
  if (!a.protocols.some((protocol) => b.protocols.includes(protocol))) return false;
  if (a.name !== null || b.name !== null) return a.name === b.name;
  return a.port <= b.endPort && b.port <= a.endPort;
}
