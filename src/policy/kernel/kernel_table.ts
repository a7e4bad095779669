/**
 * The compiled policy as a kernel can ask it: for each local endpoint, direction and protocol, disjoint
 * areas of ports that are cut into prefixes; for each area a verdict for everybody, and the identities
 * that get another one. Pure; the same policy gives the same table in any order of documents.
 *
 *     endpoint ──► egress policy, ingress policy            (shared by all that have the same)
 *     policy, protocol, port ──longest prefix──► area ──► slot: identity → verdict; else the area's own
 *
 * A table is total: each protocol has an area of all ports, `other` included, so a packet that finds no
 * area is one that somebody else's table should have answered, and is refused.
 */
import type {
  Direction,
  Identity,
  KernelProtocol,
  PolicyProtocol,
  Protocol,
} from '../../model/identity.ts';
import { KERNEL_PROTOCOLS, PROTOCOLS } from '../../model/identity.ts';
import type { CompiledEndpoint, DirectionTables } from '../compiled/compiled_endpoint.ts';
import type { CompiledRule } from '../compiled/compiled_rule.ts';
import type { PortRules } from '../compiled/port_rules.ts';
import type { PolicySnapshot, Workload } from '../compiled/snapshot.ts';
import { compareText } from '../labels.ts';
import { type KernelVerdict, rulesByName, verdictsOf } from './kernel_verdict.ts';
import { type PortPrefix, portPrefixes } from './port_prefixes.ts';
import { SlotIndex, type SlotUse } from './slot_index.ts';

export interface KernelTable {
  readonly endpoints: readonly KernelEndpoint[];
  /** A policy's id is its index + 1. */
  readonly policies: readonly KernelPolicy[];
  /** A slot's id is its index + 1; 0 is the slot without exceptions. */
  readonly slots: readonly ReadonlyMap<Identity, KernelVerdict>[];
  /** What is in force otherwise than its author may think; one line each. */
  readonly warnings: readonly string[];
  /** What an identity that comes later gets. */
  readonly slotIndex: SlotIndex;
}

export interface KernelEndpoint {
  readonly name: string;
  /** Unique, at least 1. */
  readonly endpointId: number;
  /** Null: to be found. */
  readonly interface: string | null;
  readonly podUid: string | null;
  readonly ips: readonly string[];
  readonly identity: Identity;
  readonly egressPolicy: number;
  readonly ingressPolicy: number;
}

export interface KernelPolicy {
  readonly areas: readonly KernelArea[];
}

export interface KernelArea {
  readonly protocol: PolicyProtocol;
  /** Inclusive. 0 to 65535: every port without an area of its own. ICMP: type << 8 | code. */
  readonly first: number;
  readonly last: number;
  readonly prefixes: readonly PortPrefix[];
  readonly slot: number;
  /** For remotes that the slot does not list. */
  readonly verdict: KernelVerdict;
}

export interface KernelTableOptions {
  /** UDP of DNS rules is let through unread; else it is "redirect", as TCP. */
  readonly isDnsAllowed: boolean;
}

export function kernelTable(snapshot: PolicySnapshot, options: KernelTableOptions): KernelTable {
  return new TableBuilder(snapshot, options).build();
}

const PORT_MAX = 0xffff;

/** An area before its exceptions have a number. */
type Draft = Omit<KernelArea, 'slot' | 'prefixes'> & {
  readonly exceptions: ReadonlyMap<Identity, KernelVerdict>;
  readonly rules: readonly CompiledRule[];
  readonly isDnsPlain: boolean;
  readonly hasNames: boolean;
};

class TableBuilder {
  readonly #snapshot: PolicySnapshot;
  readonly #options: KernelTableOptions;
  readonly #policies: KernelPolicy[] = [];
  readonly #policyByContent = new Map<string, number>();
  readonly #policyByTables = new Map<DirectionTables, number>();
  readonly #slots: ReadonlyMap<Identity, KernelVerdict>[] = [];
  readonly #slotByContent = new Map<string, number>();
  readonly #uses: SlotUse[] = [];
  readonly #warnings = new Set<string>();

  constructor(snapshot: PolicySnapshot, options: KernelTableOptions) {
    this.#snapshot = snapshot;
    this.#options = options;
  }

  build(): KernelTable {
    const workloads = this.#snapshot.node.workloads.toSorted((a, b) => compareText(a.name, b.name));
    const owners = new Map(workloads.map((workload) => [workload, this.#ownerOf(workload)]));
    const numbers = numbered(workloads, owners);
    const endpoints = workloads.map((workload) => {
      const owner = owners.get(workload) ?? null;
      return {
        ...workload,
        endpointId: numbers.get(workload) as number,
        egressPolicy: this.#policyOf(workload, owner, 'egress'),
        ingressPolicy: this.#policyOf(workload, owner, 'ingress'),
      };
    });
    const warnings = [...this.#warnings].sort(compareText);
    const slotIndex = new SlotIndex(this.#uses);
    return { endpoints, policies: this.#policies, slots: this.#slots, warnings, slotIndex };
  }

  /** Null: there is no one policy for all of its addresses, so nothing is allowed. */
  #ownerOf(workload: Workload): CompiledEndpoint | null {
    const { name, ips } = workload;
    const named = this.#snapshot.endpointNamed(name);
    const found = new Set(ips.map((ip) => this.#snapshot.endpoint(ip)));
    if (ips.length === 0) {
      this.#warnings.add(`${name}: it has no address, so everything that it sends is refused`);
    }
    if (found.size === 0 && named !== null) found.add(named);
    const [owner] = found;
    if (owner?.isKnown === true && found.size === 1) return owner;
    this.#warnings.add(`${name}: its addresses have no policy in common, so everything is refused`);
    return null;
  }

  #policyOf(workload: Workload, owner: CompiledEndpoint | null, direction: Direction): number {
    const tables: DirectionTables = owner === null ? NO_TABLES[direction] : owner.tables(direction);
    const known = this.#policyByTables.get(tables);
    if (known !== undefined) return known;
    const drafts = this.#draftsOf(tables);
    this.#warnOfUnproxied(tables, `${workload.name} ${direction}`);
    const policy = { areas: drafts.map((draft) => this.#areaOf(draft)) };
    const content = policy.areas
      .map(({ protocol, first, last, slot, verdict }) =>
        [protocol, first, last, slot, verdict].join(' '),
      )
      .join('\n');
    const id = this.#policyByContent.get(content) ?? this.#policies.push(policy);
    this.#policyByContent.set(content, id);
    this.#policyByTables.set(tables, id);
    return id;
  }

  #draftsOf(tables: DirectionTables): readonly Draft[] {
    const drafts = PROTOCOLS.flatMap((protocol) => this.#draftsOfTable(protocol, tables));
    const isWire = KERNEL_PROTOCOLS.every((protocol) => !tables.has(protocol));
    for (const protocol of KERNEL_PROTOCOLS) {
      if (isWire) drafts.push(commonDraft(protocol, drafts));
      else drafts.push(...this.#draftsOfTable(protocol, tables));
    }
    return drafts;
  }

  #draftsOfTable(protocol: PolicyProtocol, tables: DirectionTables): Draft[] {
    const all = tables.get(protocol)?.all() ?? [];
    const drafts = all.map((rules) => this.#draftOf(protocol, rules));
    const hasWildcard = all.some(({ first }) => first === 0);
    return hasWildcard ? drafts : [nothingOf(protocol), ...drafts];
  }

  #draftOf(protocol: PolicyProtocol, rules: PortRules): Draft {
    const isDnsPlain = protocol === 'UDP' && this.#options.isDnsAllowed;
    const remotes = this.#snapshot.who?.remotes ?? null;
    // Only TCP can be shown to the proxy.
    const areNamesAsked = protocol === 'TCP';
    return {
      protocol,
      rules: rules.rules,
      isDnsPlain,
      hasNames: areNamesAsked && rulesByName(rules.rules, remotes).length > 0,
      ...placeOf(protocol, rules),
      ...verdictsOf(rules.rules, { isDnsPlain, remotes, areNamesAsked }),
    };
  }

  #areaOf({ exceptions, rules, isDnsPlain, hasNames, ...draft }: Draft): KernelArea {
    const prefixes = portPrefixes(draft.first, draft.last);
    const slot = this.#slotOf(exceptions);
    this.#uses.push({ slot, rules, isDnsPlain, hasNames, verdict: draft.verdict });
    return { ...draft, prefixes, slot };
  }

  #slotOf(exceptions: ReadonlyMap<Identity, KernelVerdict>): number {
    if (exceptions.size === 0) return 0;
    const sorted = [...exceptions].sort(([a], [b]) => a - b);
    const content = sorted.map(([identity, verdict]) => `${identity} ${verdict}`).join('\n');
    const id = this.#slotByContent.get(content) ?? this.#slots.push(new Map(sorted));
    this.#slotByContent.set(content, id);
    return id;
  }

  #warnOfUnproxied(tables: DirectionTables, whose: string): void {
    for (const protocol of ['UDP', 'SCTP'] as const) {
      for (const { first, last, rules } of tables.get(protocol)?.all() ?? []) {
        const ports = first === last ? `port ${first}` : `ports ${first}-${last}`;
        const place = `${whose}: ${protocol} ${ports}`;
        if (protocol === 'UDP' && rules.some(({ l7 }) => l7.kind === 'dns')) {
          // Those are what the proxy judges there.
          if (!this.#options.isDnsAllowed) continue;
          this.#warnings.add(`${place} has DNS rules, which nothing asks: every name is allowed`);
        } else if (rules.some(isForProxy)) {
          this.#warnings.add(
            `${place} has rules for a proxy, and none here serves ${protocol}: refused`,
          );
        }
      }
    }
  }
}

function isForProxy({ l7, serverNames, proxyId }: CompiledRule): boolean {
  return l7.kind !== 'none' || serverNames.length > 0 || proxyId !== 0;
}

/** Stand in for the tables of an endpoint without one policy: everything is denied. */
const NO_TABLES: Readonly<Record<Direction, DirectionTables>> = {
  ingress: new Map(),
  egress: new Map(),
};

function nothingOf(protocol: PolicyProtocol): Draft {
  const nothing = { rules: [], isDnsPlain: false, hasNames: false, exceptions: new Map() };
  return { protocol, first: 0, last: PORT_MAX, verdict: 'deny', ...nothing };
}

/** The engine's port 0 is every port without a range; its ICMP "ports" are types, shifted by one. */
function placeOf(
  protocol: PolicyProtocol,
  { first, last }: PortRules,
): { readonly first: number; readonly last: number } {
  if (first === 0) return { first: 0, last: PORT_MAX };
  if (protocol !== 'ICMP' && protocol !== 'ICMPv6') return { first, last };
  return { first: (first - 1) << 8, last: ((last - 1) << 8) | 0xff };
}

/**
 * The wire form has no word for ICMP and the rest: a remote may use them when it may use every port of
 * every transport protocol, which is what a rule without ports becomes on the wire.
 */
function commonDraft(protocol: KernelProtocol, drafts: readonly Draft[]): Draft {
  const wildcards = PROTOCOLS.map((transport: Protocol) =>
    drafts.find((draft) => draft.protocol === transport && draft.first === 0),
  );
  const common = (identity: Identity | null): KernelVerdict => {
    const isAllowed = wildcards.every((draft) => {
      const own = identity === null ? undefined : draft?.exceptions.get(identity);
      return (own ?? draft?.verdict) === 'allow';
    });
    return isAllowed ? 'allow' : 'deny';
  };
  const verdict = common(null);
  const exceptions = new Map<Identity, KernelVerdict>();
  for (const draft of wildcards) {
    for (const identity of draft?.exceptions.keys() ?? []) {
      const own = common(identity);
      if (own !== verdict) exceptions.set(identity, own);
    }
  }
  return {
    protocol,
    first: 0,
    last: PORT_MAX,
    verdict,
    exceptions,
    rules: [],
    isDnsPlain: false,
    hasNames: false,
  };
}

/** The engine's ids where they are unique; policies in wire form may come without one. */
function numbered(
  workloads: readonly Workload[],
  owners: ReadonlyMap<Workload, CompiledEndpoint | null>,
): ReadonlyMap<Workload, number> {
  const numbers = new Map<Workload, number>();
  const taken = new Set<number>();
  for (const workload of workloads) {
    const endpointId = owners.get(workload)?.endpointId ?? 0;
    if (endpointId === 0 || taken.has(endpointId)) continue;
    taken.add(endpointId);
    numbers.set(workload, endpointId);
  }
  let next = 1;
  for (const workload of workloads) {
    if (numbers.has(workload)) continue;
    while (taken.has(next)) next++;
    taken.add(next);
    numbers.set(workload, next);
  }
  return numbers;
}
