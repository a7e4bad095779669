/**
 * Nodes as endpoints: the own one is the host, the others are remote nodes. A node where the API server is has its
 * label, too. Cilium's objects of nodes add the addresses of what Cilium itself has there.
 */
import type { IpAddress, IpText } from '../../../model/address.ts';
import type { LabelFilter } from '../../../policy/label_filter.ts';
import {
  CLUSTER_KEY,
  formatLabel,
  k8sLabel,
  LABEL_SOURCE_K8S,
  reservedLabel,
  sortedLabels,
} from '../../../policy/labels.ts';
import type { InventoryEndpoint } from '../../../policy/resolve/inventory.ts';
import { type Labels, uniqueIps, valueOfLabel } from '../../decode/kube/fact_reader.ts';
import type { CiliumNodeFacts, NodeFacts } from '../../decode/kube/node.ts';
import { type AddressClaims, CLAIM_RANKS, type Claim } from './address_claims.ts';

export interface NodeOptions {
  readonly cluster: string;
  /** Null: none is ours. */
  readonly nodeName: string | null;
  /** Identities of other nodes have their labels (Cilium's enable-node-selector-labels). */
  readonly hasNodeLabels: boolean;
  /** Of labels of the host, as of those of a workload. */
  readonly hostFilter: LabelFilter;
  /** Of labels of other nodes. */
  readonly nodeFilter: LabelFilter;
  readonly claims: AddressClaims;
}

type Role = 'node' | 'tunnel' | 'health' | 'ingress';

interface NodeClaim extends Claim {
  readonly kind: 'node';
  readonly node: string;
}

interface NodeEntry {
  node: NodeFacts | null;
  cilium: CiliumNodeFacts | null;
  claims: ReadonlyMap<Role, NodeClaim>;
}

/** By the key under which it is to be listed; null: there is none. */
export type NodeEndpoints = readonly (readonly [string, InventoryEndpoint | null])[];

const ZONE = 'topology.kubernetes.io/zone';

export class Nodes {
  readonly #options: NodeOptions;
  readonly #entries = new Map<string, NodeEntry>();
  readonly #dirty = new Set<string>();
  #apiServerIps: ReadonlySet<IpText> = new Set();

  constructor(options: NodeOptions) {
    this.#options = options;
  }

  setNode(name: string, facts: NodeFacts | null): void {
    this.#replace(name, (entry) => {
      entry.node = facts;
    });
  }

  setCiliumNode(name: string, facts: CiliumNodeFacts | null): void {
    this.#replace(name, (entry) => {
      entry.cilium = facts;
    });
  }

  /** "": it has none, or the node is not known. */
  zoneOf(name: string): string {
    return valueOfLabel(this.#entries.get(name)?.node?.labels ?? [], ZONE) ?? '';
  }

  *names(of: 'node' | 'cilium'): Iterable<string> {
    for (const [name, entry] of this.#entries) if (entry[of] !== null) yield name;
  }

  setApiServerIps(ips: ReadonlySet<IpText>): void {
    for (const ip of new Set([...ips, ...this.#apiServerIps])) {
      if (ips.has(ip) && this.#apiServerIps.has(ip)) continue;
      const owner = this.#options.claims.ownerOf(ip);
      if (owner?.kind === 'node') this.#dirty.add((owner as NodeClaim).node);
    }
    this.#apiServerIps = ips;
  }

  touch(claim: Claim): void {
    this.#dirty.add((claim as NodeClaim).node);
  }

  takeChanged(): NodeEndpoints {
    const changed = [...this.#dirty].flatMap((name) => this.#endpointsOf(name));
    this.#dirty.clear();
    return changed;
  }

  #replace(name: string, change: (entry: NodeEntry) => void): void {
    const entry = this.#entries.get(name) ?? { node: null, cilium: null, claims: NO_CLAIMS };
    change(entry);
    const claims = this.#claimsOf(name, entry);
    for (const role of ROLES) {
      const [before = null, after = null] = [entry.claims.get(role), claims.get(role)];
      this.#options.claims.replace(before, after);
    }
    entry.claims = claims;
    if (entry.node === null && entry.cilium === null) this.#entries.delete(name);
    else this.#entries.set(name, entry);
    this.#dirty.add(name);
  }

  #claimsOf(node: string, entry: NodeEntry): ReadonlyMap<Role, NodeClaim> {
    const isOwn = node === this.#options.nodeName;
    const own = isOwn ? CLAIM_RANKS.ownNode : CLAIM_RANKS.node;
    const createdS = entry.node?.createdS ?? entry.cilium?.createdS ?? 0;
    const nodeIps = uniqueIps([...(entry.node?.ips ?? []), ...(entry.cilium?.ips ?? [])]);
    const named = new Set(nodeIps.map(({ text }) => text));
    const ips: Record<Role, readonly IpAddress[]> = {
      node: nodeIps,
      // Cilium's own may be the same, and nobody contests his own address.
      tunnel: (entry.node?.tunnelIps ?? []).filter(({ text }) => !named.has(text)),
      health: entry.cilium?.healthIps ?? [],
      ingress: entry.cilium?.ingressIps ?? [],
    };
    return new Map(
      ROLES.map((role) => {
        const rank = role === 'tunnel' ? CLAIM_RANKS.tunnel : own;
        const claim = {
          kind: 'node',
          key: nodeKey(node, role),
          rank,
          createdS,
          nodeName: null,
        } as const;
        return [role, { ...claim, node, claimedIps: ips[role] }];
      }),
    );
  }

  #endpointsOf(name: string): NodeEndpoints {
    const entry = this.#entries.get(name) ?? null;
    const owned = (role: Role): readonly IpAddress[] => {
      const claim = entry?.claims.get(role);
      if (claim === undefined) return [];
      return claim.claimedIps.filter(({ text }) => this.#options.claims.ownerOf(text) === claim);
    };
    const { nodeName } = this.#options;
    const isOwn = name === nodeName;
    const isLocal = nodeName === null || isOwn;
    const endpoint = (
      key: string,
      ips: readonly IpAddress[],
      labels: readonly string[],
    ): NodeEndpoints[number] => [
      key,
      ips.length === 0 ? null : { ...PLAIN, name: key, ips, labels, isLocal },
    ];
    const ips = uniqueIps([...owned('node'), ...owned('tunnel')]);
    const atApiServer = ips.filter(({ text }) => this.#apiServerIps.has(text));
    const labels = entry?.node?.labels ?? [];
    // The host is one identity, whatever address it is seen by; other nodes are known by each.
    const others = isOwn ? ips : ips.filter((ip) => !atApiServer.includes(ip));
    const isApiServer = atApiServer.length > 0;
    return [
      endpoint(
        nodeKey(name, 'node'),
        others,
        isOwn ? this.#hostLabels(labels, isApiServer) : this.#nodeLabels(labels, false),
      ),
      endpoint(
        nodeKey(name, 'kube-apiserver'),
        isOwn ? [] : atApiServer,
        this.#nodeLabels(labels, true),
      ),
      endpoint(nodeKey(name, 'health'), owned('health'), HEALTH),
      endpoint(nodeKey(name, 'ingress'), owned('ingress'), INGRESS),
    ];
  }

  /** Those of the node are labels of its host endpoint, so that host policies find it (InitWithNodeLabels). */
  #hostLabels(labels: Labels, isApiServer: boolean): readonly string[] {
    const { hostFilter } = this.#options;
    const own = labels.flatMap(([key, value]) =>
      hostFilter.isPartOfIdentity(LABEL_SOURCE_K8S, key) ? [k8sLabel(key, value)] : [],
    );
    return sortedLabels([HOST, ...(isApiServer ? [API_SERVER] : []), ...own]);
  }

  /** As nodeIdentityLabels of the agent. */
  #nodeLabels(labels: Labels, isApiServer: boolean): readonly string[] {
    if (!this.#options.hasNodeLabels) return isApiServer ? API_SERVER_NODE : REMOTE_NODE;
    const { nodeFilter, cluster } = this.#options;
    const own = labels.flatMap(([key, value]) =>
      nodeFilter.isPartOfIdentity(SOURCE_NODE, key)
        ? [formatLabel({ source: SOURCE_NODE, key, value })]
        : [],
    );
    return sortedLabels([
      ...(isApiServer ? API_SERVER_NODE : REMOTE_NODE),
      k8sLabel(CLUSTER_KEY, cluster),
      ...own,
    ]);
  }
}

/** Upper case: no namespace is so called, so no pod either. */
function nodeKey(name: string, role: Role | 'kube-apiserver'): string {
  return role === 'node' ? `Node/${name}` : `Node/${name}:${role}`;
}

const ROLES: readonly Role[] = ['node', 'tunnel', 'health', 'ingress'];
const NO_CLAIMS: ReadonlyMap<Role, NodeClaim> = new Map();
const SOURCE_NODE = 'node';
const HOST = reservedLabel('host');
const API_SERVER = reservedLabel('kube-apiserver');
const REMOTE_NODE: readonly string[] = Object.freeze([reservedLabel('remote-node')]);
const API_SERVER_NODE: readonly string[] = Object.freeze([
  API_SERVER,
  reservedLabel('remote-node'),
]);
const HEALTH: readonly string[] = Object.freeze([reservedLabel('health')]);
const INGRESS: readonly string[] = Object.freeze([reservedLabel('ingress')]);

const PLAIN = {
  identity: null,
  endpointId: 0,
  namedPorts: [],
  interface: null,
  podUid: null,
} as const;
