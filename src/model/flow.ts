/**
 * A flow: one thing that happened between two sides, with everything resolved that a reader needs. The log, the
 * metrics and whoever follows flows read this and nothing else, so that names, labels and protocol facts are
 * worked out in one place (observe/flow/record_flow.ts for requests, redirect/kernel_flows.ts for the kernel).
 *
 * Texts of a request are shown as they may be shown: secrets are replaced, the query is there only when the access
 * log may have it. A flow of the kernel has no request.
 */
import type { IpText } from './address.ts';
import type { IdentitySource } from './connection_meta.ts';
import type { DenyReason, Layer, LoggedHeader, RuleRef } from './decision.ts';
import type { DropReason } from './drop_reason.ts';
import type { Fault } from './fault.ts';
import type { Cause } from './fault_detail.ts';
import type { Direction, Identity, Port, ProxyId } from './identity.ts';
import type { FlowVerdict, ResponseSource } from './record.ts';
import type { HttpVersion } from './request_head.ts';

export type Flow = ProxyFlow | KernelFlow;

export interface FlowBase {
  /** Of the process that saw it; with `number` it names the flow. */
  readonly instance: string;
  readonly number: number;
  /** The node's name. */
  readonly node: string;
  /** When it ended, or was refused: milliseconds since the epoch. */
  readonly endedAtMs: number;
  /** Null: not known, as of a packet that no endpoint of this node sent or was to get. */
  readonly direction: Direction | null;
  /** True: from the side that was asked to the side that asked. Null: both ways in one, or not known. */
  readonly isReply: boolean | null;
  /** Of IP: 6 is TCP. */
  readonly ipProtocol: number;
  readonly source: FlowSide;
  readonly destination: FlowSide;
}

/** A request, or a connection that the proxy refused before its first request: one for each record. */
export interface ProxyFlow extends FlowBase {
  readonly origin: 'proxy';
  readonly direction: Direction;
  readonly verdict: FlowVerdict;
  /** The same object for all flows of a connection that one policy judges, while a policy is in force. */
  readonly connection: FlowConnection;
  readonly facts: ProtocolFacts;
  /** What the enforced policy said; null when the request never got so far. */
  readonly decision: FlowDecision | null;
  /** What the policy with its dry-run parts says, when that is not what is enforced. */
  readonly shadowDecision: FlowDecision | null;
  /** True when `decision` is a denial that the whole proxy's dry-run let through. */
  readonly isDryRun: boolean;
  /** The client had sent its FIN before the response began. */
  readonly isHalfClosed: boolean;
  readonly policyRevision: number;
  /** What header matches asked for and did not find. */
  readonly missing: readonly LoggedHeader[];
  /** What header matches found and refused, removed or replaced. */
  readonly rejected: readonly LoggedHeader[];
  readonly fault: Fault | null;
  readonly cause: FlowCause | null;
  readonly responseSource: ResponseSource;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
  readonly overheadMs: number;
}

/** What the kernel did with packets of two sides without the proxy. */
export interface KernelFlow extends FlowBase {
  readonly origin: 'kernel';
  readonly verdict: 'denied' | 'redirected';
  /** Null: it was not dropped. */
  readonly dropReason: DropReason | null;
  /** Packets since the flow of the same sides before. */
  readonly count: number;
}

export interface FlowConnection {
  /** Unique within the process. */
  readonly id: number;
  readonly listener: string;
  readonly proxyId: ProxyId;
  /** Relative to the endpoint whose policy this is about. */
  readonly direction: Direction;
  readonly source: FlowSide;
  readonly destination: FlowSide;
  /** Whose policy applied: "namespace/name", or the address when no policy is known for it. */
  readonly endpoint: string;
  readonly identitySource: IdentitySource;
}

export interface FlowSide {
  readonly ip: IpText;
  /** 0: the protocol has none. */
  readonly port: Port;
  /** Null: not known. */
  readonly identity: Identity | null;
  /** Sorted; what the identity stands for. */
  readonly labels: readonly string[];
  /** "" when it is of none, or not known. */
  readonly namespace: string;
  /** The pod's name without its namespace; "" when the address is of none that is known. */
  readonly pod: string;
  /** Who made the pod; null: not known. The files that policies come from do not tell it. */
  readonly workload: Workload | null;
  /** By which names the address was found. */
  readonly names: readonly string[];
  /** Whose address and port it is; null: of no Service. */
  readonly service: FlowService | null;
}

export interface FlowService {
  readonly namespace: string;
  readonly name: string;
}

/** A side before anybody has looked who it is. */
export type FlowAddress = Pick<FlowSide, 'ip' | 'port'>;

export interface Workload {
  /** "Deployment", "CronJob". */
  readonly kind: string;
  readonly name: string;
}

/** The words of a decision, without what lets something go on. */
export interface FlowDecision {
  readonly verdict: 'allow' | 'deny';
  readonly layer: Layer;
  readonly reason: DenyReason | null;
  readonly rule: RuleRef | null;
  /** Whose word it is, where both sides' policies were asked. */
  readonly half?: Direction;
  /** By which the other side allowed it, too. */
  readonly otherRule?: RuleRef | null;
}

/** Which rule was broken, and by which byte. */
export type FlowCause = Pick<Cause, 'detail' | 'offset' | 'byte'>;

/** What was spoken, one form a protocol. */
export type ProtocolFacts = TransportFacts | TlsFacts | HttpFacts | DnsFacts;

/** Nothing of the bytes is known. */
export interface TransportFacts {
  readonly kind: 'transport';
}

/** TLS that was not terminated here. */
export interface TlsFacts {
  readonly kind: 'tls';
  readonly serverName: string;
}

export interface HttpFacts {
  readonly kind: 'http';
  /** `part`: the head was refused, this is what was seen of it. `nothing`: not even that, but it was answered. */
  readonly seen: 'whole' | 'part' | 'nothing';
  readonly version: HttpVersion | '';
  /** "" when it was not seen, as with the other texts. */
  readonly method: string;
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  /** Of a part: a text is longer than what is shown of it. */
  readonly isCut: boolean;
  /** 0 when no response was sent. */
  readonly status: number;
  /** Of the TLS around it; "" without. */
  readonly serverName: string;
  readonly isGrpc: boolean;
  readonly grpc: GrpcFacts | null;
  readonly trace: TraceFacts | null;
  /** Request fields that the access log may have. */
  readonly headers: readonly LoggedHeader[];
}

export interface GrpcFacts {
  readonly service: string;
  readonly method: string;
  readonly status: number | null;
}

/** The caller's, of a valid W3C `traceparent`. */
export interface TraceFacts {
  readonly traceId: string;
  readonly spanId: string;
}

export interface DnsFacts {
  readonly kind: 'dns';
  readonly query: string;
  /** "A", "AAAA". */
  readonly types: readonly string[];
  /** Null: not answered. */
  readonly responseCode: number | null;
  readonly ips: readonly IpText[];
  readonly ttlSeconds: number;
}

/** One text for one flow. */
export function flowId({ instance, number }: Pick<Flow, 'instance' | 'number'>): string {
  return `${instance}-${number}`;
}
