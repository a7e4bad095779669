/**
 * What `resolve` finds out about a connection before its first byte is read: who is calling, whom,
 * and whose policy applies. Addresses never change; another snapshot may know the remote by another
 * identity, and then there is another meta (proxy/judge/policy_subject.ts), unlike in bpf_metadata.cc.
 *
 *     ingress: subject = original destination, remote = source,      port = destination port
 *     egress:  subject = original source,      remote = destination, port = destination port
 */
import type { IpText, SocketAddress } from './address.ts';
import type { Direction, Identity, Port, Protocol, ProxyId } from './identity.ts';
import type { JudgedFrontend } from './service_frontend.ts';

/** Where the remote identity came from; "none" means nobody knew it, so it is world. */
export type IdentitySource =
  | 'fixed'
  | 'endpoints'
  | 'bpf-conntrack'
  | 'bpf-ipcache'
  | 'redirect-record'
  | 'none';

export type Transport = Extract<Protocol, 'TCP' | 'UDP'>;

/** As whom the upstream sees us: an address, and SO_MARK in Cilium's layout. */
export interface Sender {
  /** The client's, which is not ours; null: one of the node's own. */
  readonly address: SocketAddress | null;
  readonly mark: number;
}

/** What one policy is asked: the ingress of an endpoint about its client, or the egress about its server. */
export interface Half {
  readonly direction: Direction;
  /** The address whose policy applies. */
  readonly endpointIp: IpText;
  readonly remoteIdentity: Identity;
}

/** Who the sides were when the connection began; they are never looked up again. */
export interface RecordedIdentities {
  readonly source: RecordedIdentity;
  readonly destination: RecordedIdentity;
}

export interface RecordedIdentity {
  readonly identity: Identity;
  /** Hash of the labels that the number stood for; see `identityCheck` (redirect/layout.ts). */
  readonly check: bigint;
}

/** A destination that is the address of a Service, by the policy in force. */
export interface Dialled {
  readonly frontend: JudgedFrontend;
  /** Whom policy is asked about in place of the address, each once. An allow needs all of them, and that they are not too many. */
  readonly behind: readonly Behind[];
}

export interface Behind {
  readonly identity: Identity;
  readonly port: Port;
}

export interface ConnectionMeta {
  /** Unique in the process. */
  readonly connectionId: number;
  readonly listener: string;
  readonly proxyId: ProxyId;
  /** That the policy is asked for. */
  readonly transport: Transport;
  readonly direction: Direction;
  /** The client's address, as the redirect or the PROXY header tells it. */
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  /** Where we connect to: the destination, or the listener's fixed upstream. */
  readonly upstream: SocketAddress;
  /** The address whose policy applies. */
  readonly endpointIp: IpText;
  /** The port that the policy is asked for, unless it is asked about what is `dialled`. */
  readonly port: Port;
  readonly remoteIdentity: Identity;
  readonly identitySource: IdentitySource;
  /** Null: the destination is judged as what it is. */
  readonly dialled: Dialled | null;
  /** The other side's policy, when that is an endpoint of this node, too: then both are asked. */
  readonly second: Half | null;
  readonly recorded: RecordedIdentities | null;
  readonly sender: Sender | null;
}
