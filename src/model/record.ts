/**
 * The one record that every request (and every connection refused before its first request) ends
 * in, on every path. The proxy fills it; `observe/` makes the log line and the counters of it.
 */
import type { IpText } from './address.ts';
import type { ConnectionMeta } from './connection_meta.ts';
import type { Decision } from './decision.ts';
import type { Fault } from './fault.ts';
import type { Cause } from './fault_detail.ts';
import type { PartialRequest } from './partial_request.ts';
import type { RequestHead } from './request_head.ts';
import type { ResetBy, ResetCause } from './stream_reset.ts';

/** What happened, not what was decided: an allowed request can still end in an error. */
export type FlowVerdict = 'forwarded' | 'denied' | 'error';

/** Who made the response that the client saw; "none" when it saw none. */
export type ResponseSource = 'upstream' | 'local' | 'none';

export interface RequestRecord {
  readonly meta: ConnectionMeta;
  readonly verdict: FlowVerdict;
  /** What the enforced policy said; null when the request never got so far. */
  readonly decision: Decision | null;
  /** What the policy with its dry-run parts says, when that is not what is enforced. */
  readonly shadowDecision: Decision | null;
  /** True when `decision` is a denial that `--dry-run` let through. */
  readonly isDryRun: boolean;
  /** The client had sent its FIN before the response began: it may have given up. */
  readonly isHalfClosed?: boolean;
  readonly policyRevision: number;
  /** Null when the head could not be read, or when the connection itself was refused. */
  readonly head: RequestHead | null;
  /** What was seen of a request whose head was refused; null when `head` is there, or nothing was seen. */
  readonly partial: PartialRequest | null;
  /** Absent where it is not about a DNS question. */
  readonly question?: QuestionFacts;
  readonly fault: Fault | null;
  /** Which rule was broken, where the fault has several. */
  readonly cause: Cause | null;
  /** 0 when no response was sent. */
  readonly status: number;
  readonly responseSource: ResponseSource;
  readonly grpcStatus: number | null;
  /** Server name of a TLS connection, else "". */
  readonly serverName: string;
  /** Head and content bytes from the client, and to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Milliseconds since the epoch. */
  readonly endedAtMs: number;
  readonly durationMs: number;
  /** Of the duration, what the proxy itself took from head to verdict. */
  readonly overheadMs: number;
}

/** A DNS question, and what came of it. */
export interface QuestionFacts {
  /** As policy compared it; "" when it could not be read. */
  readonly name: string;
  /** "A", "TYPE65280"; "" when it could not be read. */
  readonly type: string;
  /** Of the answer that was let go, or of ours; null: none was. */
  readonly rcode: number | null;
  /** Of the name that was asked. */
  readonly ips: readonly IpText[];
  readonly ttlSeconds: number;
}

export type UpstreamConnectOutcome = 'connected' | 'failed' | 'timeout';

/** Why a downstream connection ended, for counters. */
export type CloseCause =
  | 'finished'
  | 'downstream-closed'
  /** By the client before its last response began. */
  | 'half-closed'
  | 'upstream-closed'
  | 'fault'
  | 'denied'
  | 'timeout'
  | 'policy-changed'
  | 'overloaded'
  | 'evicted'
  | 'drained';

/** What a connection was when it was closed to make room: never allowed anything, or between requests, or in one. */
export type ShareState = 'spare' | 'idle' | 'busy';

/** The bound at which it was. */
export type EvictionBound = 'connections' | 'requests' | 'memory' | 'questions';

/** Who holds the connections of a data plane, now. */
export interface HolderCounts {
  readonly identities: number;
  readonly addresses: number;
  /** Connections of the identity, and of the address, that have the most. */
  readonly largestIdentity: number;
  readonly largestAddress: number;
}

/** Given to the data plane; its methods never throw and never block. */
export interface Recorder {
  /** Exactly once for each request, and for each connection refused before its first request. */
  record(record: RequestRecord): void;
  /** An exception that was caught at the edge of one connection: a bug of ours, counted loudly. */
  internalError(where: string, error: unknown): void;
  /** What happens to connections, streams and bounds. */
  readonly events: PlaneEvents;
}

export const HELD_OUTCOMES = ['in-force', 'timeout', 'full'] as const;

export type HeldOutcome = (typeof HELD_OUTCOMES)[number];

/** Counted, and told to nobody one by one. */
export interface PlaneEvents {
  connectionOpened(listener: string): void;
  connectionClosed(listener: string, cause: CloseCause): void;
  upstreamConnected(listener: string, outcome: UpstreamConnectOutcome, durationMs: number): void;
  upstreamRetried(listener: string): void;
  /** HTTP/2 streams of downstream connections, in any number at a time. */
  streamsOpened(listener: string, count: number): void;
  streamsClosed(listener: string, count: number): void;
  /** At most once a stream. */
  streamsReset(by: ResetBy, cause: ResetCause, count: number): void;
  /** A DNS message that is no question, or answers nothing that was asked: as if it had not come. */
  dnsMessageIgnored(from: 'downstream' | 'upstream'): void;
  /**
   * An answer that had to wait until its addresses are in force: they were, or that took too long, or too many wait
   * already. The last two have gone to their clients without.
   */
  dnsAnswerHeld(outcome: HeldOutcome): void;
  /** Closed to make room for others, by the largest holder at a bound. */
  evicted(bound: EvictionBound, state: ShareState): void;
  /** Told now and then. */
  held(counts: HolderCounts): void;
}
