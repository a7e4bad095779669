/**
 * CiliumNetworkPolicy rules after decoding and before they are resolved for each endpoint: typed,
 * sanitized, selectors not yet evaluated. `control/decode` makes them, `policy/resolve` turns them
 * into `EndpointPolicy` (policy/ast.ts). Field names are those of pkg/policy/api where they exist.
 *
 * `null` = the field was absent; an empty array = it was present and empty, and selects nothing.
 */
import type { IpPrefix } from '../model/address.ts';
import type { Direction, Protocol } from '../model/identity.ts';
import type { L7Rules, RuleOrigin } from './ast.ts';
import type { LabelSelector } from './selector.ts';

export type { LabelRequirement, LabelSelector } from './selector.ts';

/** One `spec` (or element of `specs`), with what its object gives it. */
export interface PolicySpec {
  /** `policy` is "namespace/name" (CNP), "NetworkPolicy namespace/name", "name" (CCNP, CNP of the cluster); `rule` is "" or "specs[i]". */
  readonly origin: RuleOrigin;
  /** Null for clusterwide kinds. A CNP without one is in "default". */
  readonly namespace: string | null;
  readonly isDryRun: boolean;
  readonly subject: Subject;
  /** Where the spec stands among others: Cilium's tiers; CNP and CCNP are always `normal`, 0. */
  readonly tier: Tier;
  readonly priority: number;
  readonly enableDefaultDeny: Readonly<Record<Direction, boolean>>;
  readonly rules: readonly DirectionRule[];
}

export type Tier = 'admin' | 'normal' | 'baseline';

/** Which endpoints a spec applies to. Scoping (own namespace) is already in the selector. */
export type Subject =
  | { readonly kind: 'endpoints'; readonly selector: LabelSelector }
  | { readonly kind: 'nodes'; readonly selector: LabelSelector };

/** One element of ingress, ingressDeny, egress or egressDeny. */
export interface DirectionRule {
  readonly origin: RuleOrigin;
  readonly direction: Direction;
  readonly action: 'allow' | 'deny' | 'pass';
  /** Null: no peer field, so any remote (when there are ports) or nothing at all (when not). */
  readonly peers: readonly Peer[] | null;
  /** Null: no toPorts, so every port and protocol. */
  readonly ports: readonly PortsRule[] | null;
  /** True when the element has `icmps`: then it says nothing about TCP, UDP or SCTP. */
  readonly hasIcmps: boolean;
  /** For the kernel, no proxy sees ICMP. Absent when there is none. */
  readonly icmps?: readonly IcmpSelector[];
}

/** One element of `icmps[].fields`: messages of one type, of every code. */
export interface IcmpSelector {
  readonly protocol: 'ICMP' | 'ICMPv6';
  /** 0 to 255. */
  readonly type: number;
}

/** Entries of one peer field; a remote is selected when any entry selects it. */
export type Peer =
  | {
      readonly kind: 'selector';
      readonly selector: LabelSelector;
      /**
       * It names no cluster, so it selects only the local one's (the agent's policy-default-local-cluster). The
       * cluster's name is known where the peer is resolved.
       */
      readonly isLocalCluster: boolean;
    }
  | { readonly kind: 'entity'; readonly entity: Entity }
  | { readonly kind: 'cidr'; readonly prefix: IpPrefix; readonly except: readonly IpPrefix[] }
  | { readonly kind: 'cidr-group'; readonly name: string; readonly except: readonly IpPrefix[] }
  | {
      readonly kind: 'cidr-group-selector';
      readonly selector: LabelSelector;
      readonly except: readonly IpPrefix[];
    }
  | {
      readonly kind: 'fqdn';
      readonly matchName: string | null;
      readonly matchPattern: string | null;
    }
  | {
      readonly kind: 'nodes';
      readonly selector: LabelSelector;
      /** The node itself, too, and not only the others: `nodes` of a ClusterNetworkPolicy. */
      readonly hasHost: boolean;
    }
  | {
      readonly kind: 'service';
      readonly namespace: string | null;
      readonly name: string | null;
      readonly selector: LabelSelector | null;
    }
  /** Cloud-provider groups: nothing here can resolve them, so they select nothing (lint says so). */
  | { readonly kind: 'group'; readonly about: string };

export const ENTITIES = [
  'all',
  'world',
  'world-ipv4',
  'world-ipv6',
  'cluster',
  'cluster-mesh',
  'host',
  'init',
  'ingress',
  'unmanaged',
  'remote-node',
  'health',
  'none',
  'kube-apiserver',
] as const;

export type Entity = (typeof ENTITIES)[number];

/** One element of toPorts. */
export interface PortsRule {
  readonly origin: RuleOrigin;
  /** Null: every port; empty: no port, so the element says nothing (as the agent reads it). */
  readonly ports: readonly PortSelector[] | null;
  readonly serverNames: readonly string[];
  readonly listener: ListenerRef | null;
  readonly isTlsTerminated: boolean;
  readonly isTlsOriginated: boolean;
  /** `http: []` counts as none; `http: [{}]` is one rule that matches every request. */
  readonly l7: L7Rules;
}

export interface PortSelector {
  /** A number (0 = any) or, when `name` is set, resolved for each endpoint. */
  readonly port: number;
  readonly endPort: number;
  readonly name: string | null;
  /** ANY is already expanded to TCP, UDP and SCTP; protocols we never see (VRRP, ...) are []. */
  readonly protocols: readonly Protocol[];
}

/** `toPorts[].listener`: only the listener so named may serve the rule. */
export interface ListenerRef {
  readonly envoyConfigKind: string | null;
  readonly envoyConfigName: string | null;
  readonly name: string;
  readonly priority: number;
}

/** CiliumCIDRGroup, so that `cidrGroupRef` and `cidrGroupSelector` resolve. */
export interface CidrGroup {
  readonly name: string;
  /** "source:key=value". */
  readonly labels: readonly string[];
  readonly prefixes: readonly IpPrefix[];
}
