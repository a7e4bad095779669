/** Lint against the endpoints that are known: selectors that match nobody, CIDRs over pods and nodes. */
import { type IpAddress, type IpPrefix, prefixContains } from '../../model/address.ts';
import type { IdentityTable } from '../resolve/identity_table.ts';
import type { Inventory } from '../resolve/inventory.ts';
import { selectorText } from '../resolve/peer_mismatch.ts';
import { Selections } from '../resolve/selection.ts';
import { SubjectIndex } from '../resolve/subject_index.ts';
import type { CidrGroup, DirectionRule, PolicySpec } from '../rule.ts';
import { LabelSet } from '../selector.ts';
import { type Finding, finding } from './finding.ts';
import { differingNames } from './named_port_lint.ts';
import { servicePorts } from './service_port_lint.ts';

export interface KnownCluster {
  readonly inventory: Inventory;
  readonly table: IdentityTable;
  readonly cidrGroups: readonly CidrGroup[];
}

export function lintAgainst(specs: readonly PolicySpec[], known: KnownCluster): Finding[] {
  const selections = new Selections({
    table: known.table,
    cluster: known.inventory.cluster,
    cidrGroups: known.cidrGroups,
    services: known.inventory.services,
  });
  const addresses = new KnownAddresses(known);
  return [
    ...unselecting(specs, known.inventory),
    ...differingNames(specs, known, selections),
    ...servicePorts(specs, known.inventory.services, selections),
    ...specs.flatMap(({ rules }) =>
      rules.flatMap((rule) => [...nobody(rule, selections), ...overEndpoints(rule, addresses)]),
    ),
  ];
}

function unselecting(specs: readonly PolicySpec[], { endpoints }: Inventory): Finding[] {
  const index = new SubjectIndex(specs);
  const selecting = new Set<PolicySpec>();
  const seen = new Set<string>();
  for (const { labels } of endpoints) {
    const key = labels.join('\n');
    if (seen.has(key)) continue;
    seen.add(key);
    for (const spec of index.selecting(new LabelSet(labels))) selecting.add(spec);
  }
  return specs.flatMap((spec) => {
    if (selecting.has(spec)) return [];
    const field = spec.subject.kind === 'nodes' ? 'nodeSelector' : 'endpointSelector';
    const message = `${field} (${selectorText(spec.subject.selector)}) matches none of the ${endpoints.length} endpoints given, so the policy applies to nobody`;
    return [finding('no-endpoint-selected', spec.origin, { message })];
  });
}

function nobody(rule: DirectionRule, selections: Selections): Finding[] {
  return (rule.peers ?? []).flatMap((peer) => {
    if (peer.kind !== 'selector' && peer.kind !== 'nodes') return [];
    const found = selections.ofPeer(peer, 'some');
    if (found.some(({ remotes }) => remotes === null || remotes.size > 0)) return [];
    const message = `no endpoint that is given has ${selectorText(peer.selector)}, so this peer selects nobody`;
    return [finding('no-endpoint-selected', rule.origin, { message })];
  });
}

/** The whole world is not meant to name pods; any other prefix over them most likely is. */
function overEndpoints(rule: DirectionRule, addresses: KnownAddresses): Finding[] {
  return (rule.peers ?? []).flatMap((peer) => {
    if (peer.kind !== 'cidr' || peer.prefix.length === 0) return [];
    const inside = addresses.within(peer.prefix, peer.except);
    const [first] = inside;
    if (first === undefined) return [];
    const more = inside.length > 1 ? ` and ${inside.length - 1} more` : '';
    const message = `${peer.prefix.text} covers ${first.name} (${first.ip.text})${more}, and CIDRs select neither pods nor nodes: name them by labels or entities`;
    return [finding('cidr-over-endpoints', rule.origin, { message })];
  });
}

interface KnownAddress {
  readonly name: string;
  readonly ip: IpAddress;
  /** Of the family and the bytes, in an order in which a prefix is a range. */
  readonly key: string;
}

/** Beyond so many of one prefix no more are counted. */
const COUNTED_MAX = 1000;

class KnownAddresses {
  readonly #sorted: readonly KnownAddress[];

  constructor({ inventory, table }: KnownCluster) {
    const pods = inventory.endpoints.flatMap(({ name, ips }) =>
      ips.map((ip) => ({ name, ip, key: keyOf(ip) })),
    );
    const nodes = inventory.cidrs.flatMap(({ prefix, identity }) => {
      const entry = identity === null ? null : table.entry(identity);
      const isHost = prefix.length === prefix.address.bytes.length * 8;
      // An identity with prefixes of its own is one of addresses, not a node or pod.
      if (entry === null || entry.prefixes.length > 0 || !isHost || isWorld(entry.set)) return [];
      const name = entry.set.labels[0] ?? `identity ${entry.identity}`;
      return [{ name, ip: prefix.address, key: keyOf(prefix.address) }];
    });
    this.#sorted = [...pods, ...nodes].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  within(prefix: IpPrefix, except: readonly IpPrefix[]): readonly KnownAddress[] {
    const found: KnownAddress[] = [];
    for (let i = this.#firstAtLeast(keyOf(prefix.address)); i < this.#sorted.length; i++) {
      const known = this.#sorted[i] as KnownAddress;
      const own = hostPrefix(known.ip);
      if (!prefixContains(prefix, own) || found.length >= COUNTED_MAX) break;
      if (!except.some((outer) => prefixContains(outer, own))) found.push(known);
    }
    return found;
  }

  #firstAtLeast(key: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#sorted[middle] as KnownAddress).key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function keyOf({ family, bytes }: IpAddress): string {
  return `${family} ${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

function hostPrefix(address: IpAddress): IpPrefix {
  return { address, length: address.bytes.length * 8, text: address.text };
}

function isWorld(set: LabelSet): boolean {
  return set.labels.some((label) => label.startsWith('reserved:world'));
}
