/**
 * hot path
 *
 * One request from its first byte to its record. Whatever happens to it, `finish` is called once, and
 * once only makes the record.
 */
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { PartialRequest } from '../../model/partial_request.ts';
import type { FlowVerdict, Recorder, RequestRecord, ResponseSource } from '../../model/record.ts';
import type { RequestHead } from '../../model/request_head.ts';
import type { Clock } from '../../platform/platform.ts';
import type { PolicySubject } from '../judge/policy_subject.ts';
import type { LocalReply } from './local_reply.ts';

export interface Found {
  readonly cause: Cause | null;
  readonly partial: PartialRequest | null;
}

export interface LifeContext {
  readonly meta: ConnectionMeta;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly share: RequestShare;
}

/** Who is told of each request on a connection: it counts them. */
export interface RequestShare {
  requestOpened(): void;
  requestClosed(isAllowed: boolean, nowMs: number): void;
}

/** What the lives on one connection have in common. */
export interface JudgedContext extends LifeContext {
  readonly subject: PolicySubject;
}

/** Of a request that begins, or of bytes that are none: by the policy and for the identity of this moment. */
export function newLife(context: JudgedContext, startedMs: number): RequestLife {
  const life = new RequestLife(context, startedMs);
  life.recordJudgement(context.subject, null);
  return life;
}

export class RequestLife {
  readonly #context: LifeContext;
  #meta: ConnectionMeta;
  /** Of the monotonic clock. */
  readonly startedMs: number;
  head: RequestHead | null = null;
  /** Of a request without a head. */
  partial: PartialRequest | null = null;
  /** Of the fault with which it will finish. */
  cause: Cause | null = null;
  decision: Decision | null = null;
  shadowDecision: Decision | null = null;
  isDryRun = false;
  isHalfClosed = false;
  policyRevision = 0;
  serverName = '';
  status = 0;
  grpcStatus: number | null = null;
  responseSource: ResponseSource = 'none';
  bytesIn = 0;
  bytesOut = 0;
  overheadMs = 0;
  #isFinished = false;

  constructor(context: LifeContext, startedMs: number) {
    this.#context = context;
    this.#meta = context.meta;
    this.startedMs = startedMs;
    context.share.requestOpened();
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** What a parser says of a request or a response that it refuses. */
  found(found: Found | null): void {
    this.cause = found?.cause ?? null;
    this.partial = this.head === null ? (found?.partial ?? null) : null;
  }

  /** The policy and the identity of the moment; `decision` null when nothing was decided yet. */
  recordJudgement(subject: PolicySubject, decision: Decision | null): void {
    this.decision = decision;
    this.#meta = subject.meta;
    this.policyRevision = subject.revision;
    this.serverName = subject.serverName;
  }

  judge(subject: PolicySubject, head: RequestHead): Decision {
    const { clock } = this.#context;
    const beforeMs = clock.nowMs();
    const decision = subject.judgeRequest(head);
    this.recordJudgement(subject, decision);
    this.shadowDecision = subject.shadowRequest(head);
    this.overheadMs += clock.nowMs() - beforeMs;
    return decision;
  }

  /** Cut by a policy that came later: that one is on record, and the identity that it was asked for. */
  cutBy(subject: PolicySubject, decision: Decision): void {
    this.recordJudgement(subject, decision);
    this.finish('policy-changed');
  }

  /** Bytes each way of a tunnel. */
  passed(fromDownstream: number, fromUpstream: number): void {
    this.bytesIn += fromDownstream;
    this.bytesOut += fromUpstream;
  }

  /** By us, with so many bytes. */
  answered(reply: LocalReply, byteLength: number): void {
    this.status = reply.status;
    this.grpcStatus = reply.grpcStatus;
    this.responseSource = 'local';
    this.bytesOut += byteLength;
  }

  /** `fault` null: it went as decided. */
  finish(fault: Fault | null, cause: Cause | null = this.cause): void {
    if (this.#isFinished) return;
    this.cause = cause;
    this.#isFinished = true;
    const { recorder, clock, share } = this.#context;
    const nowMs = clock.nowMs();
    share.requestClosed(this.decision?.verdict === 'allow', nowMs);
    recorder.record(this.#record(fault, nowMs));
  }

  #record(fault: Fault | null, nowMs: number): RequestRecord {
    const { clock } = this.#context;
    return {
      meta: this.#meta,
      verdict: this.#verdict(fault),
      decision: this.decision,
      shadowDecision: this.shadowDecision,
      isDryRun: this.isDryRun,
      isHalfClosed: this.isHalfClosed,
      policyRevision: this.policyRevision,
      head: this.head,
      partial: this.partial,
      fault,
      cause: fault === null ? null : this.cause,
      status: this.status,
      responseSource: this.responseSource,
      grpcStatus: this.grpcStatus,
      serverName: this.serverName,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      endedAtMs: clock.wallMs(),
      durationMs: nowMs - this.startedMs,
      overheadMs: this.overheadMs,
    };
  }

  #verdict(fault: Fault | null): FlowVerdict {
    if (fault === 'policy-changed') return 'denied';
    if (fault !== null) return 'error';
    return this.decision?.verdict === 'deny' && !this.isDryRun ? 'denied' : 'forwarded';
  }
}
