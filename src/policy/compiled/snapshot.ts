/**
 * Compiled policy at one moment. A snapshot is built whole, off the hot path, and swapped in by
 * replacing one reference; nothing in it changes afterwards (caches aside, which are bounded and
 * invisible). Asking for what it does not know gives DENY_ALL, never undefined.
 */
import type { IpPrefix } from '../../model/address.ts';
import type { RuleRef } from '../../model/decision.ts';
import type { Identity } from '../../model/identity.ts';
import type { EndpointPlace, IdentityBatch } from '../identity/delta.ts';
import type { Remotes } from '../identity/remotes.ts';
import type { Roster } from '../identity/roster.ts';
import type { ServiceTable } from '../identity/service_table.ts';
import type { IdentityLookup, LabelLookup } from '../lookups.ts';
import type { CompiledEndpoint } from './compiled_endpoint.ts';

export interface PolicySnapshot {
  readonly revision: number;
  /** Every rule that a decision can name; `RuleRef.index` points here. */
  readonly rules: readonly RuleRef[];
  /** Names of the policies (CNP, CCNP, NPDS) in force, sorted. */
  readonly policyNames: readonly string[];
  /** Longest prefix → identity, as far as the endpoints file and the policies' CIDRs know. */
  readonly ipcache: IdentityLookup;
  readonly labels: LabelLookup;
  /** Whoever is behind an address of it is judged in its place. */
  readonly services: ServiceTable;
  /** The same with other Services. */
  withServices(services: ServiceTable): PolicySnapshot;
  /** The endpoint that owns the address; its port policies deny all when there is none. */
  endpoint(ip: string): CompiledEndpoint;
  /** By "namespace/name"; null when there is none (tools say so, the proxy asks by address). */
  endpointNamed(name: string): CompiledEndpoint | null;
  endpoints(): readonly CompiledEndpoint[];
  /** Those of endpoints that have a subject: what batches move. */
  places(): readonly EndpointPlace[];
  /**
   * Numbers of the `toFQDNs` in the egress rules of the endpoint at the address that select the canonical name, in
   * `who.remotes`. None: nobody needs to know who has the name for this endpoint.
   */
  naming(endpointIp: string, name: string): readonly number[];
  /** Null: the snapshot takes no batches, and its rules are about those that they were made with. */
  readonly who: Who | null;
  /**
   * The same rules with the batch's identities, and on this node with these workloads if they are others now. Throws a
   * BrokenTableError when the batch does not fit.
   */
  after(batch: IdentityBatch, workloads?: readonly Workload[]): PolicySnapshot;
  /**
   * The same with the policies in dry-run counted in; null when no policy is in dry-run. This
   * snapshot is what is enforced, `shadow` is only judged, logged and counted.
   */
  readonly shadow: PolicySnapshot | null;
  /** What a kernel that enforces the same policy has to be told besides the rules. */
  readonly node: NodeContents;
}

/** Who is who, and who the selectors of the rules select. */
export interface Who {
  readonly roster: Roster;
  readonly remotes: Remotes;
  /** The same for snapshots of one set whose ports are laid out the same. */
  readonly layout: object;
}

export interface NodeContents {
  /** What `ipcache` answers from. */
  readonly prefixes: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  /** Endpoints of the inventory that have an interface on this node, or may have one. */
  readonly workloads: readonly Workload[];
}

export interface Workload {
  readonly name: string;
  /** The host's side of it; null: to be found. */
  readonly interface: string | null;
  /** See `InventoryEndpoint.podUid`. */
  readonly podUid: string | null;
  readonly ips: readonly string[];
  readonly identity: Identity;
}

export const NO_NODE_CONTENTS: NodeContents = Object.freeze({ prefixes: [], workloads: [] });
