/**
 * What the data plane is started with: plain values, already valid. `config/` makes them from the
 * user's file; tests make them by hand.
 */
import type { IpAddress, IpText, SocketAddress } from '../../model/address.ts';
import type { UnderscoreAction } from '../../model/field_alias.ts';
import type { Direction, Identity, ProxyId } from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import type { PathParameterAction } from '../../model/path_parameters.ts';
import type { Recorder } from '../../model/record.ts';
import type { Datagrams } from '../../platform/datagrams.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Sockets } from '../../platform/sockets.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { CiliumIdentities } from '../../redirect/cilium_maps.ts';
import { LISTENER_SLOTS } from '../../redirect/layout.ts';
import type { RedirectRecords } from '../../redirect/records.ts';

export interface DataPlaneOptions {
  readonly listeners: readonly ListenerOptions[];
  readonly limits: Limits;
  readonly behaviour: Behaviour;
  /** The snapshot in force; read once for each decision, never kept beyond it. */
  readonly currentSnapshot: () => PolicySnapshot;
  readonly recorder: Recorder;
  readonly platform: Platform;
  readonly sockets: Sockets;
  readonly datagrams: Datagrams;
  /** Who teaches policy what answers say; null: nobody. */
  readonly names: NameTeaching | null;
  /** Fills it with what nobody can guess. */
  readonly randomFill: (bytes: Uint8Array) => void;
  /** What the kernel knows of the connections that it sends; null without listeners that ask. */
  readonly records: RedirectRecords | null;
  /** What Cilium's datapath knows; null without listeners that ask. */
  readonly cilium: CiliumIdentities | null;
}

export interface NameTeaching {
  /** True: the answer has to wait, and `release` is called once, when it need not any more. */
  waits(taught: TaughtName, release: () => void): boolean;
}

/** What an answer says of a name that was asked. */
export interface TaughtName {
  /** Of who asked. */
  readonly endpointIp: IpText;
  /** Canonical. */
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  readonly ttlSeconds: number;
}

export interface ListenerOptions {
  readonly name: string;
  /** Absent: http. With dns, datagrams to the same port are served as well. */
  readonly protocol?: ListenerProtocol;
  /** by-record: redirected datagrams come to this one, also with http. */
  readonly areDatagramsTaken?: boolean;
  readonly address: SocketAddress;
  readonly direction: ListenerDirection;
  /** Takes connections to addresses that are not this machine's, and connects from those of its clients. */
  readonly isTransparent: boolean;
  /** Whether upstreams see the client's address, also those of the world, or the node's there. */
  readonly clientAddress: 'always' | 'endpoints';
  readonly proxyId: ProxyId;
  readonly destination: DestinationOption;
  /**
   * Whose PROXY headers are believed: texts of prefixes. None: everybody's, which the configuration allows on
   * loopback addresses only.
   */
  readonly trustedProxies?: readonly string[];
  readonly upstream: UpstreamOption;
  readonly identity: IdentityOption;
  /** SO_REUSEPORT, so that several workers share the port. */
  readonly isPortShared: boolean;
}

export const LISTENER_PROTOCOLS = ['http', 'dns'] as const;

export type ListenerProtocol = (typeof LISTENER_PROTOCOLS)[number];

/** The kernel takes the listener of a redirected connection from so many slots. */
export const RECORDED_WORKER_COUNT_MAX = LISTENER_SLOTS;

/**
 * by-record: the kernel's record of the connection says whose policies apply, those of both sides if
 * both are endpoints of this node.
 */
export type ListenerDirection = Direction | 'by-record';

export type DestinationOption =
  | { readonly kind: 'fixed'; readonly address: SocketAddress }
  /** The accepted socket's own address (TPROXY, bpf_sk_assign). */
  | { readonly kind: 'local-address' }
  /** PROXY protocol v1 or v2, required on every connection. */
  | { readonly kind: 'proxy-protocol' };

export type UpstreamOption =
  | { readonly kind: 'fixed'; readonly address: SocketAddress }
  | { readonly kind: 'original-destination' };

/** Sources are asked in order; the first that knows the address wins, else world. */
export type IdentityOption =
  | { readonly kind: 'fixed'; readonly identity: Identity }
  | { readonly kind: 'sources'; readonly sources: readonly IdentitySourceName[] };

export const IDENTITY_SOURCE_NAMES = [
  'endpoints',
  'bpf-conntrack',
  'bpf-ipcache',
  'redirect-record',
] as const;

export type IdentitySourceName = (typeof IDENTITY_SOURCE_NAMES)[number];

export interface Behaviour {
  /** Judge, log and count, but let denied requests through. */
  readonly isDryRun: boolean;
  readonly isHttp10Enabled: boolean;
  readonly areTrailersForwarded: boolean;
  /** Of requests, trailers included. */
  readonly underscores: UnderscoreAction;
  /** Protocols, lower case, to which HTTP/1.1 may switch: then it is a tunnel. */
  readonly upgrades: readonly string[];
  /** RFC 3986 normalisation, merged slashes, %2F and %5C unescaped by redirect: as Cilium's agent sets it. */
  readonly isPathNormalised: boolean;
  /** ";x=1" in a path. */
  readonly pathParameters: PathParameterAction;
  readonly denial: DenialOptions;
  /** The answer to a DNS question that policy denies. */
  readonly dnsRefusal: DnsRefusal;
  /** Towards servers by UDP: the case of the letters of a name is one more thing to guess. */
  readonly isDnsCaseVaried: boolean;
}

export const DNS_REFUSALS = ['refused', 'nxdomain'] as const;

export type DnsRefusal = (typeof DNS_REFUSALS)[number];

export interface DenialOptions {
  readonly status: number;
  /** CRLF is appended unless it ends in one (l7policy.cc). */
  readonly body: string;
  readonly contentType: string;
  /** Names policy and reason in a `proxy-status` field (RFC 9209): off, as it tells the rules. */
  readonly isReasonShown: boolean;
}

export const DEFAULT_BEHAVIOUR: Behaviour = Object.freeze({
  isDryRun: false,
  isHttp10Enabled: false,
  areTrailersForwarded: false,
  underscores: 'allow',
  upgrades: Object.freeze(['websocket']),
  isPathNormalised: true,
  pathParameters: 'keep',
  denial: Object.freeze({
    status: 403,
    body: 'Access denied\r\n',
    contentType: 'text/plain',
    isReasonShown: false,
  }),
  dnsRefusal: 'refused',
  isDnsCaseVaried: true,
});
