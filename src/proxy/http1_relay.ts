/**
 * hot path
 *
 * HTTP/1.1 between one downstream and one upstream connection, as a relay of bytes: a canonical head
 * goes on as the slice that was read, any other as serialised from what was judged; content goes on as
 * slices. Requests are taken one after the other, each judged when it is its turn.
 *
 *     idle ──head──► judged ─┬─ deny, fault ──► local reply, rest discarded ──► idle or closed
 *      ▲                     └─ allow ──► connect ──► forward ──► response complete ──┐
 *      └──────────────────────────── both sides keep the connection ◄────────────────┤
 *                                                          101 ──► tunnel             └─► closed
 */
import type { Socket } from 'node:net';
import { CONTENT, FAULT, HEAD, MESSAGE_END } from '../codec/http1/events.ts';
import type { Http1RequestHead } from '../codec/http1/request_head.ts';
import type { Http1ResponseHead } from '../codec/http1/response_head.ts';
import { ResponseParser } from '../codec/http1/response_parser.ts';
import { serialiseRequestHead, serialiseResponseHead } from '../codec/http1/serialise.ts';
import type { Decision, Permit } from '../model/decision.ts';
import { FAULTS, type Fault } from '../model/fault.ts';
import type { CloseCause } from '../model/record.ts';
import { DRY_RUN_PERMIT } from '../policy/permit.ts';
import { Http1Exchange } from './http1_exchange.ts';
import { Http1Intake, type IntakeEvents } from './http1_intake.ts';
import { expiredFault } from './http1_timeouts.ts';
import { denialReply, faultReply, type LocalReply, type ReplyContext } from './local_reply.ts';
import type { PolicySubject } from './policy_subject.ts';
import { type LifeContext, RequestLife } from './request_life.ts';
import type { Shared } from './shared.ts';
import { Tunnel } from './tunnel.ts';
import { type UpstreamEvents, UpstreamLink } from './upstream_link.ts';

export interface RelayContext extends LifeContext {
  readonly shared: Shared;
  readonly downstream: Socket;
  readonly subject: PolicySubject;
  /** The relay is over. `isLingering`: what was written may still be unread. */
  readonly onClose: (cause: CloseCause, how: 'linger' | 'reset' | 'destroy') => void;
}

export class Http1Relay implements UpstreamEvents, IntakeEvents {
  readonly #context: RelayContext;
  readonly #intake: Http1Intake;
  #responses: ResponseParser;
  #exchange: Http1Exchange | null = null;
  #upstream: UpstreamLink | null = null;
  #tunnel: Tunnel | null = null;
  #isDownstreamEnded = false;
  #isOver = false;
  #requestCount = 0;
  #lastRequestByteMs: number;
  #lastMoveMs: number;

  constructor(context: RelayContext) {
    const { limits, behaviour } = context.shared.options;
    this.#context = context;
    const heldBytesMax = limits.pipelinedBytesMax;
    this.#intake = new Http1Intake(context.downstream, this, {
      limits,
      heldBytesMax,
      ...behaviour,
    });
    this.#responses = this.#newResponses();
    this.#lastMoveMs = context.clock.nowMs();
    this.#lastRequestByteMs = this.#lastMoveMs;
  }

  // --- downstream

  onDownstreamData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#lastMoveMs = this.#context.clock.nowMs();
    this.#lastRequestByteMs = this.#lastMoveMs;
    if (this.#tunnel !== null) {
      this.#tunnel.fromDownstream(chunk);
      return;
    }
    // One write for a head and the content that came with it.
    const socket = this.#upstream?.socket;
    socket?.cork();
    this.#intake.take(chunk, this.#lastMoveMs);
    socket?.uncork();
  }

  onDownstreamDrain(): void {
    if (this.#tunnel === null) this.#upstream?.socket.resume();
  }

  /** The client has sent its FIN: it reads on, and asks nothing more. */
  onDownstreamEnd(): void {
    if (this.#isOver) return;
    this.#isDownstreamEnded = true;
    if (this.#tunnel !== null) {
      this.#tunnel.downstreamEnded();
    } else if (this.#exchange === null) {
      if (this.#intake.isInHead) this.#faultBeforeHead('downstream-closed');
      else this.#close('finished', 'linger');
    } else if (!this.#exchange.isRequestComplete && !this.#exchange.isDiscarding) {
      this.#abort('downstream-closed', 'downstream-closed');
    } else {
      this.#exchange.isClosing = true;
    }
  }

  /** The client is gone. */
  onDownstreamGone(isReset: boolean): void {
    if (this.#isOver) return;
    if (this.#tunnel !== null) this.#tunnel.fail();
    else this.#abort(isReset ? 'downstream-reset' : 'downstream-closed', 'downstream-closed');
  }

  // --- requests

  isOver(): boolean {
    return this.#isOver;
  }

  isBusy(): boolean {
    return this.#exchange?.isRequestComplete ?? false;
  }

  onHeld(byteLength: number): boolean {
    const { earlyTunnelBytesMax } = this.#context.shared.options.limits;
    const isUpgrade = this.#exchange !== null && this.#exchange.head.upgrade !== '';
    if (!isUpgrade || byteLength <= earlyTunnelBytesMax) return false;
    this.#fault('early-tunnel-bytes');
    return true;
  }

  onIntakeError(error: unknown): void {
    this.internalError(error);
  }

  onRequestFault(fault: Fault): void {
    this.#fault(fault);
  }

  onRequestHead(head: Http1RequestHead): void {
    const { shared } = this.#context;
    this.#requestCount += 1;
    const life = this.#newLife();
    const exchange = new Http1Exchange(head, life);
    this.#exchange = exchange;
    life.head = head;
    life.bytesIn = head.byteLength;
    const { requestsPerConnectionMax } = shared.options.limits;
    if (requestsPerConnectionMax !== 0 && this.#requestCount >= requestsPerConnectionMax) {
      exchange.isClosing = true;
    }
    if (shared.isDraining) exchange.isClosing = true;
    if (head.redirectTo !== '') this.#fault('escaped-slash');
    else if (shared.isOverloaded) this.#fault('overloaded');
    else this.#judge(exchange);
  }

  #judge(exchange: Http1Exchange): void {
    const { shared, subject, clock } = this.#context;
    const { life, head } = exchange;
    const beforeMs = clock.nowMs();
    const decision = subject.judgeRequest(head);
    life.decision = decision;
    life.policyRevision = subject.revision;
    life.shadowDecision = subject.shadowRequest(head);
    life.overheadMs = clock.nowMs() - beforeMs;
    if (decision.verdict === 'allow') {
      this.#forward(exchange, decision.permit, decision);
    } else if (shared.options.behaviour.isDryRun) {
      life.isDryRun = true;
      this.#forward(exchange, DRY_RUN_PERMIT, decision);
    } else {
      const reply = denialReply(
        decision,
        shared.options.behaviour.denial,
        this.#replyContext(exchange),
      );
      this.#reply(exchange, reply, null);
    }
  }

  /** What was judged is what is sent: the bytes that were read when they say just that. */
  #forward(exchange: Http1Exchange, permit: Permit, decision: Decision): void {
    const { head } = exchange;
    const mutations = decision.verdict === 'allow' ? decision.mutations : [];
    let bytes: Buffer;
    try {
      bytes =
        head.isCanonical && mutations.length === 0
          ? head.raw
          : serialiseRequestHead(head, mutations);
    } catch (error) {
      this.#context.recorder.internalError('serialise', error);
      this.#fault('internal-error');
      return;
    }
    if (exchange.isRetryable) exchange.sentHead = bytes;
    this.#send(exchange, permit, bytes);
  }

  #send(exchange: Http1Exchange, permit: Permit, bytes: Buffer): void {
    this.#upstream ??= this.#connect(permit);
    this.#upstream.requestCount += 1;
    this.#responses.begin(exchange.head.method, exchange.head.upgrade !== '');
    this.#upstream.socket.write(bytes);
  }

  onRequestContent(content: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.life.bytesIn += content.length;
    if (exchange.isDiscarding) {
      exchange.discardedBytes += content.length;
      if (exchange.discardedBytes > this.#context.shared.options.limits.discardedContentBytesMax) {
        this.#close('denied', 'linger');
      }
      return;
    }
    const socket = this.#upstream?.socket;
    if (socket === undefined) return;
    const hasRoom = socket.write(content);
    if (!hasRoom) this.#context.downstream.pause();
  }

  onRequestEnd(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.isRequestComplete = true;
    if (exchange.isDiscarding) this.#endExchange();
  }

  // --- upstream

  onUpstreamConnected(): void {
    const link = this.#upstream;
    if (link === null) return;
    const { meta, recorder, clock } = this.#context;
    recorder.upstreamConnected(meta.listener, 'connected', clock.nowMs() - link.startedMs);
  }

  onUpstreamDrain(): void {
    if (this.#tunnel === null && !this.isBusy()) this.#context.downstream.resume();
  }

  onUpstreamData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#lastMoveMs = this.#context.clock.nowMs();
    if (this.#tunnel !== null) {
      this.#tunnel.fromUpstream(chunk);
      return;
    }
    const { downstream } = this.#context;
    const responses = this.#responses;
    downstream.cork();
    try {
      let offset = 0;
      for (;;) {
        const event = responses.next(chunk, offset);
        offset = responses.offset;
        if (event === HEAD) this.#onResponseHead(responses.head, chunk, offset);
        else if (event === CONTENT) this.#onResponseContent(responses.content);
        else if (event === MESSAGE_END) this.#onResponseEnd();
        else if (event === FAULT) this.#onResponseFault(responses.fault);
        else break;
        if (this.#isOver || this.#tunnel !== null) return;
      }
    } finally {
      downstream.uncork();
    }
  }

  onUpstreamEnd(): void {
    if (this.#isOver) return;
    if (this.#tunnel !== null) {
      this.#tunnel.upstreamEnded();
      return;
    }
    const event = this.#responses.finish();
    if (event === MESSAGE_END) this.#onResponseEnd();
    else if (event === FAULT) this.#onUpstreamLost(this.#responses.fault);
    else this.#close('upstream-closed', 'linger');
  }

  onUpstreamFailed(): void {
    if (this.#isOver) return;
    if (this.#tunnel !== null) {
      this.#tunnel.fail();
      return;
    }
    const link = this.#upstream;
    if (link !== null && !link.isConnected) {
      const { meta, recorder, clock } = this.#context;
      recorder.upstreamConnected(meta.listener, 'failed', clock.nowMs() - link.startedMs);
      this.#upstream = null;
      this.#fault('connect-failed');
      return;
    }
    this.#onUpstreamLost('upstream-reset');
  }

  // --- responses

  #onResponseHead(head: Http1ResponseHead, chunk: Buffer, offset: number): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.hasResponseBytes = true;
    exchange.sentHead = null;
    if (head.isInformational) {
      // A client of HTTP/1.0 knows no informational responses (RFC 9110 15.2).
      if (exchange.head.version !== 'HTTP/1.0') this.#sendHead(exchange, head, false);
      return;
    }
    exchange.isResponseStarted = true;
    exchange.life.status = head.status;
    exchange.life.responseSource = 'upstream';
    if (head.status === 101) {
      this.#sendHead(exchange, head, false);
      this.#openTunnel(exchange, chunk.subarray(offset));
      return;
    }
    // A response before the end of its request leaves the connections in a state that no later
    // request may meet.
    const isEarly = !exchange.isRequestComplete;
    exchange.isClosing ||= isEarly || !head.isPersistent || this.#context.shared.isDraining;
    exchange.isClosing ||= exchange.head.upgrade !== '' || head.framing === 'close';
    const grpcStatus = exchange.head.isGrpc ? head.field('grpc-status') : null;
    if (grpcStatus !== null && /^[0-9]{1,3}$/.test(grpcStatus)) {
      exchange.life.grpcStatus = Number(grpcStatus);
    }
    this.#sendHead(exchange, head, exchange.isClosing);
  }

  #sendHead(exchange: Http1Exchange, head: Http1ResponseHead, isClosing: boolean): void {
    const isAsRead = head.isCanonical && (!isClosing || !head.isPersistent);
    this.#write(exchange, isAsRead ? head.raw : serialiseResponseHead(head, { isClosing }));
  }

  #onResponseContent(content: Buffer): void {
    if (this.#exchange !== null) this.#write(this.#exchange, content);
  }

  #write(exchange: Http1Exchange, bytes: Buffer): void {
    exchange.life.bytesOut += bytes.length;
    if (!this.#context.downstream.write(bytes)) this.#upstream?.socket.pause();
  }

  #onResponseEnd(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.isResponseComplete = true;
    exchange.life.finish(null);
    if (!exchange.isRequestComplete) exchange.isClosing = true;
    this.#endExchange();
  }

  #onResponseFault(fault: Fault): void {
    if (this.#exchange === null) this.#close('upstream-closed', 'linger');
    else this.#upstreamFault(fault);
  }

  /** The upstream went away in the middle of something, or before anything. */
  #onUpstreamLost(fault: Fault): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.#close('upstream-closed', 'linger');
    } else if (this.#mayRetry(exchange)) {
      this.#retry(exchange);
    } else {
      this.#upstreamFault(exchange.isResponseStarted ? 'upstream-truncated' : fault);
    }
  }

  #upstreamFault(fault: Fault): void {
    this.#upstream?.destroy();
    this.#upstream = null;
    this.#fault(fault);
  }

  /** Only a connection that had worked before, and only when not one byte came back on it. */
  #mayRetry(exchange: Http1Exchange): boolean {
    const { upstreamRetryCountMax } = this.#context.shared.options.limits;
    const isReused = this.#upstream !== null && this.#upstream.requestCount > 1;
    return (
      isReused &&
      exchange.sentHead !== null &&
      !exchange.hasResponseBytes &&
      !this.#isDownstreamEnded &&
      exchange.retryCount < upstreamRetryCountMax
    );
  }

  /** Judged again: the policy may have changed since. */
  #retry(exchange: Http1Exchange): void {
    const { subject, recorder, meta, shared } = this.#context;
    const bytes = exchange.sentHead;
    const decision = subject.judgeRequest(exchange.head);
    const permit = shared.options.behaviour.isDryRun ? DRY_RUN_PERMIT : decision.permit;
    if (bytes === null || permit === null) {
      this.#upstreamFault('upstream-closed');
      return;
    }
    exchange.retryCount += 1;
    recorder.upstreamRetried(meta.listener);
    this.#upstream?.destroy();
    this.#upstream = this.#connect(permit);
    this.#upstream.requestCount = 1;
    this.#responses = this.#newResponses();
    this.#responses.begin(exchange.head.method, false);
    this.#upstream.socket.write(bytes);
  }

  // --- endings

  #endExchange(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    this.#exchange = null;
    if (exchange.isClosing || this.#isDownstreamEnded) {
      this.#close('finished', 'linger');
      return;
    }
    this.#lastMoveMs = this.#context.clock.nowMs();
    this.#intake.proceed(this.#lastMoveMs);
  }

  #replyContext(exchange: Http1Exchange | null): ReplyContext {
    return {
      isGrpc: exchange?.head.isGrpc ?? false,
      isHeadMethod: exchange?.head.method === 'HEAD',
      isClosing: exchange === null || this.#mustCloseAfterReply(exchange),
      location: exchange?.head.redirectTo ?? '',
    };
  }

  /** After a local reply the connection is kept when the rest of the request is short and sure to come. */
  #mustCloseAfterReply(exchange: Http1Exchange): boolean {
    const { head } = exchange;
    const { discardedContentBytesMax } = this.#context.shared.options.limits;
    exchange.isClosing ||= head.expectsContinue && head.framing !== 'none';
    exchange.isClosing ||= head.upgrade !== '';
    exchange.isClosing ||= head.contentLength > discardedContentBytesMax;
    return exchange.isClosing;
  }

  /** Answers here; what is left of the request is read and dropped, the upstream sees none of it. */
  #reply(exchange: Http1Exchange, reply: LocalReply, fault: Fault | null): void {
    this.#writeReply(exchange.life, reply);
    exchange.life.finish(fault);
    exchange.isDiscarding = true;
    if (exchange.isRequestComplete || exchange.isClosing) this.#endExchange();
  }

  #writeReply(life: RequestLife, reply: LocalReply): void {
    life.status = reply.status;
    life.grpcStatus = reply.grpcStatus;
    life.responseSource = 'local';
    life.bytesOut += reply.bytes.length;
    this.#context.downstream.write(reply.bytes);
  }

  /** A fault ends the exchange with a reply if none was begun, and the connection unless it is sound. */
  #fault(fault: Fault): void {
    const exchange = this.#exchange;
    if (exchange === null || exchange.life.isFinished) {
      this.#faultBeforeHead(fault);
      return;
    }
    if (fault !== 'escaped-slash') exchange.isClosing = true;
    if (exchange.isResponseStarted || FAULTS[fault].status === 0) {
      exchange.life.finish(fault);
      this.#close('fault', 'reset');
    } else {
      this.#reply(exchange, faultReply(fault, this.#replyContext(exchange)), fault);
    }
  }

  /** A head that cannot be read, or content after a reply that breaks its framing. */
  #faultBeforeHead(fault: Fault): void {
    const exchange = this.#exchange;
    if (exchange !== null) {
      this.#close('fault', 'linger');
      return;
    }
    const life = this.#newLife();
    if (FAULTS[fault].status !== 0) {
      this.#writeReply(life, faultReply(fault, this.#replyContext(null)));
    }
    life.finish(fault);
    this.#close(fault.endsWith('timeout') ? 'timeout' : 'fault', 'linger');
  }

  /** Ends everything now; the request in hand is recorded with the fault. */
  #abort(fault: Fault, cause: CloseCause): void {
    this.#exchange?.life.finish(fault);
    if (this.#exchange === null && this.#intake.isInHead) this.#newLife().finish(fault);
    this.#close(cause, 'destroy');
  }

  #close(cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const isClean = this.#exchange === null || this.#exchange.isResponseComplete;
    if (isClean && this.#intake.isIdle) this.#upstream?.destroy();
    else this.#upstream?.reset();
    this.#upstream = null;
    this.#exchange = null;
    this.#context.onClose(cause, how);
  }

  /** Begun by the first byte of the head, if that came in an earlier chunk. */
  #newLife(): RequestLife {
    const { subject } = this.#context;
    const life = new RequestLife(this.#context, this.#intake.headStartedMs || this.#lastMoveMs);
    life.policyRevision = subject.revision;
    life.serverName = subject.serverName;
    return life;
  }

  #connect(permit: Permit): UpstreamLink {
    const { meta, clock, shared } = this.#context;
    const { bufferBytesMax } = shared.options.limits;
    return new UpstreamLink(permit, meta.upstream, {
      events: this,
      nowMs: clock.nowMs(),
      bufferBytesMax,
    });
  }

  #newResponses(): ResponseParser {
    const { limits, behaviour } = this.#context.shared.options;
    return new ResponseParser({ limits, areTrailersForwarded: behaviour.areTrailersForwarded });
  }

  // --- tunnel

  #openTunnel(exchange: Http1Exchange, early: Buffer): void {
    const link = this.#upstream;
    if (link === null) return;
    const { life } = exchange;
    this.#tunnel = new Tunnel(this.#context.downstream, link.socket, {
      onBytes: (fromDownstream, fromUpstream) => {
        life.bytesIn += fromDownstream;
        life.bytesOut += fromUpstream;
      },
      onEnd: (isFailure) => {
        life.finish(null);
        if (!isFailure) exchange.isResponseComplete = true;
        this.#close('finished', isFailure ? 'destroy' : 'linger');
      },
    });
    const held = this.#intake.takeHeld();
    if (early.length > 0) this.#tunnel.fromUpstream(early);
    if (held.length > 0) this.#tunnel.fromDownstream(held);
    if (this.#isDownstreamEnded) this.#tunnel.downstreamEnded();
  }

  // --- from the registry

  expire(nowMs: number): void {
    if (this.#isOver) return;
    const { limits } = this.#context.shared.options;
    const exchange = this.#exchange;
    if (exchange === null) {
      const { headStartedMs } = this.#intake;
      if (headStartedMs === 0) {
        if (nowMs >= this.#lastMoveMs + limits.idleTimeoutMs) this.#close('timeout', 'linger');
      } else if (nowMs >= headStartedMs + limits.headTimeoutMs) {
        this.#faultBeforeHead('head-timeout');
      }
      return;
    }
    const link = this.#upstream;
    const isTunnel = this.#tunnel !== null;
    const times = {
      startedMs: exchange.life.startedMs,
      connectingSinceMs: link === null || link.isConnected ? null : link.startedMs,
      isWaitingForClient:
        !exchange.isRequestComplete && !isTunnel && !this.#context.downstream.isPaused(),
      lastRequestByteMs: this.#lastRequestByteMs,
      lastMoveMs: this.#lastMoveMs,
    };
    const fault = expiredFault(times, nowMs, limits);
    if (fault === null) return;
    if (isTunnel) this.#abort(fault, 'timeout');
    else this.#expireExchange(exchange, fault);
  }

  #expireExchange(exchange: Http1Exchange, fault: Fault): void {
    const link = this.#upstream;
    if (fault === 'connect-timeout' && link !== null) {
      const { meta, recorder, clock } = this.#context;
      recorder.upstreamConnected(meta.listener, 'timeout', clock.nowMs() - link.startedMs);
    }
    if (exchange.life.isFinished) this.#close('timeout', 'linger');
    else if (fault === 'body-timeout') this.#fault(fault);
    else this.#upstreamFault(fault);
  }

  /** No longer allowed at L3/L4: over at once. The connection records it when nothing is in hand. */
  reject(decision: Decision): boolean {
    if (this.#isOver) return false;
    const exchange = this.#exchange;
    const hasRecord = exchange !== null && !exchange.life.isFinished;
    if (exchange !== null && hasRecord) {
      exchange.life.decision = decision;
      exchange.life.finish('policy-changed');
    }
    this.#close('policy-changed', 'reset');
    return hasRecord;
  }

  drain(): void {
    if (this.#isOver) return;
    if (this.#exchange !== null) this.#exchange.isClosing = true;
    else if (!this.#intake.isInHead) this.#close('drained', 'linger');
  }

  cut(): void {
    if (!this.#isOver) this.#abort('draining', 'drained');
  }

  internalError(error: unknown): void {
    if (this.#isOver) return;
    this.#context.recorder.internalError('relay', error);
    this.#abort('internal-error', 'fault');
  }
}
