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
import type { Http1RequestHead } from '../codec/http1/request_head.ts';
import type { Http1ResponseHead } from '../codec/http1/response_head.ts';
import type { Decision } from '../model/decision.ts';
import { FAULTS, type Fault } from '../model/fault.ts';
import type { CloseCause } from '../model/record.ts';
import { unshared } from '../platform/socket_reads.ts';
import { ContentPace } from './content_pace.ts';
import { NO_DEADLINE } from './deadlines.ts';
import { Http1Exchange } from './http1_exchange.ts';
import { Http1Intake, type IntakeEvents } from './http1_intake.ts';
import { Http1Outlet } from './http1_outlet.ts';
import { expiredBetween, expiredFault } from './http1_timeouts.ts';
import { Http1Upstream, type ResponseEvents } from './http1_upstream.ts';
import {
  denialReply,
  faultReply,
  type LocalReply,
  NOTHING_READ,
  type ReplyContext,
} from './local_reply.ts';
import type { Relay, RelayContext } from './relay.ts';
import { RequestLife } from './request_life.ts';
import type { Tunnel } from './tunnel.ts';

export class Http1Relay implements Relay, ResponseEvents, IntakeEvents {
  readonly #context: RelayContext;
  readonly #intake: Http1Intake;
  readonly #upstream: Http1Upstream;
  readonly #outlet: Http1Outlet;
  #exchange: Http1Exchange | null = null;
  #tunnel: Tunnel | null = null;
  #isDownstreamEnded = false;
  #isOver = false;
  #requestCount = 0;
  readonly #pace: ContentPace;
  /** Of a byte in either direction. */
  #lastMoveMs: number;

  constructor(context: RelayContext) {
    this.#context = context;
    const { downstream, shared } = context;
    this.#intake = new Http1Intake(downstream, this, shared.parsing);
    this.#upstream = new Http1Upstream(context, this);
    this.#outlet = new Http1Outlet(context, this.#upstream);
    this.#lastMoveMs = context.clock.nowMs();
    this.#pace = new ContentPace(this.#lastMoveMs);
  }

  // --- downstream

  onDownstreamData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#lastMoveMs = this.#context.clock.nowMs();
    if (this.#tunnel !== null) {
      this.#tunnel.fromDownstream(chunk);
      return;
    }
    this.#intake.take(chunk, this.#lastMoveMs);
  }

  onDownstreamDrain(): void {
    if (this.#isOver || this.#tunnel !== null) return;
    this.#upstream.resume();
    // Requests that waited until the client has read what it asked for before.
    if (this.#exchange === null) this.#intake.proceed(this.#context.clock.nowMs());
  }

  /** The client has sent its FIN: it reads on, and asks nothing more. */
  onDownstreamEnd(): void {
    if (this.#isOver) return;
    this.#isDownstreamEnded = true;
    if (this.#tunnel !== null) this.#tunnel.downstreamEnded();
    else this.#endOfRequests();
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

  /** Also while the client does not read: else replies to it would pile up without a bound. */
  isBusy(): boolean {
    return this.#exchange?.isRequestComplete ?? this.#context.downstream.writableNeedDrain;
  }

  /** All that was held is read. */
  onHeldRead(): void {
    if (this.#isDownstreamEnded) this.#endOfRequests();
  }

  onHeld(byteLength: number): boolean {
    const { earlyTunnelBytesMax } = this.#context.shared.options.limits;
    if (!this.#exchange?.head.upgrade || byteLength <= earlyTunnelBytesMax) return false;
    this.#fault('early-tunnel-bytes');
    return true;
  }

  onRequestFault(fault: Fault): void {
    this.#fault(fault);
  }

  onRequestHead(head: Http1RequestHead): void {
    const { shared } = this.#context;
    this.#requestCount += 1;
    const exchange = new Http1Exchange(head, this.#newLife());
    this.#exchange = exchange;
    this.#pace.begin(this.#lastMoveMs);
    const countMax = shared.options.limits.requestsPerConnectionMax;
    exchange.isClosing ||= countMax !== 0 && this.#requestCount >= countMax;
    exchange.isClosing ||= shared.isDraining;
    if (head.redirectTo !== '') this.#fault('escaped-slash');
    else if (shared.isOverloaded) this.#fault('overloaded');
    else this.#judge(exchange);
  }

  #judge(exchange: Http1Exchange): void {
    const { isDryRun, denial } = this.#context.shared.options.behaviour;
    const decision = exchange.life.judge(this.#context.subject, exchange.head);
    if (decision.verdict === 'allow' || isDryRun) {
      this.#forward(exchange, decision);
    } else {
      this.#reply(exchange, (context) => denialReply(decision, denial, context), null);
    }
  }

  #forward(exchange: Http1Exchange, decision: Decision): void {
    exchange.life.isDryRun = decision.verdict === 'deny';
    if (decision.verdict === 'allow') this.#intake.changed(decision.mutations);
    try {
      this.#upstream.send(exchange.head, decision);
    } catch (error) {
      this.#context.recorder.internalError('serialise', error);
      this.#fault('internal-error');
    }
  }

  onRequestContent(content: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.life.bytesIn += content.length;
    exchange.isContinueAwaited = false;
    this.#pace.received(content.length);
    if (exchange.isDiscarding) {
      exchange.discardedBytes += content.length;
      if (exchange.discardedBytes > this.#context.shared.options.limits.discardedContentBytesMax) {
        this.#close('denied', 'linger');
      }
      return;
    }
    this.#upstream.write(content);
  }

  onRequestEnd(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.isRequestComplete = true;
    if (exchange.isDiscarding) this.#endExchange();
  }

  // --- upstream

  onUpstreamBytes(): void {
    this.#lastMoveMs = this.#context.clock.nowMs();
  }

  onUpstreamRoom(): void {
    this.#intake.readOn();
    this.#pace.restart(this.#context.clock.nowMs());
  }

  /** As a direct server's would be, unless the client has already begun to ask more. */
  onIdleUpstreamClosed(): void {
    if (this.#exchange === null && this.#intake.isIdle) this.#close('upstream-closed', 'linger');
    else this.#replaceUpstream();
  }

  /** The next request gets another one, and what the one before had not read holds the client back no longer. */
  #replaceUpstream(): void {
    this.#upstream.drop('close');
    this.#intake.readOn();
  }

  // --- responses

  onResponseHead(head: Http1ResponseHead): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    if (head.isInformational) {
      if (head.status === 100) exchange.isContinueAwaited = false;
      this.#pace.restart(this.#lastMoveMs);
      // A client of HTTP/1.0 knows no informational responses (RFC 9110 15.2).
      if (exchange.head.version !== 'HTTP/1.0') this.#outlet.head(exchange.life, head, false);
      return;
    }
    if (!exchange.isAnsweredBy(head)) {
      this.#upstreamFault(head.status === 101 ? 'unexpected-upgrade' : 'malformed-response');
      return;
    }
    if (head.status === 101 && this.#isUpgradeRejected(exchange)) return;
    exchange.beginResponse(head, this.#context.shared.isDraining);
    this.#outlet.head(exchange.life, head, exchange.isClosing && head.status !== 101);
    if (head.status === 101) this.#openTunnel(exchange);
  }

  /** By a policy that came after the request was judged: there was no tunnel yet that it could have met. */
  #isUpgradeRejected({ head }: Http1Exchange): boolean {
    const { subject, shared } = this.#context;
    const decision = subject.judgeRequest(head);
    if (decision.verdict === 'allow' || shared.options.behaviour.isDryRun) return false;
    this.reject(decision);
    return true;
  }

  onResponseContent(content: Buffer): void {
    if (this.#exchange !== null) this.#outlet.content(this.#exchange.life, content);
  }

  onResponseEnd(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    exchange.isResponseComplete = true;
    exchange.life.finish(null);
    if (!exchange.isRequestComplete) exchange.isClosing = true;
    this.#endExchange();
  }

  onResponseFault(fault: Fault): void {
    if (this.#exchange === null) this.#close('upstream-closed', 'linger');
    else this.#upstreamFault(fault);
  }

  onUpstreamLost(fault: Fault): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.#close('upstream-closed', 'linger');
    } else if (this.#upstream.isStale && exchange.mayRetry(this.#context.shared.options.limits)) {
      this.#retry(exchange);
    } else {
      this.#upstreamFault(exchange.isResponseStarted ? 'upstream-truncated' : fault);
    }
  }

  #upstreamFault(fault: Fault): void {
    this.#upstream.drop('reset');
    this.#fault(fault);
  }

  /** Judged again: the policy may have changed since. */
  #retry(exchange: Http1Exchange): void {
    const { recorder, meta } = this.#context;
    exchange.retryCount += 1;
    recorder.upstreamRetried(meta.listener);
    this.#replaceUpstream();
    this.#judge(exchange);
  }

  // --- endings

  #endExchange(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    this.#exchange = null;
    if (exchange.isClosing || (this.#isDownstreamEnded && !this.#intake.hasMore)) {
      this.#close('finished', 'linger');
      return;
    }
    this.#lastMoveMs = this.#context.clock.nowMs();
    this.#intake.proceed(this.#lastMoveMs);
  }

  /** Answers here; what is left of the request is read and dropped, the upstream sees none of it. */
  #reply(
    exchange: Http1Exchange,
    answer: (context: ReplyContext) => LocalReply,
    fault: Fault | null,
  ): void {
    const context = exchange.replyContext(this.#context.shared.options.limits);
    this.#outlet.reply(exchange.life, answer(context), context);
    exchange.life.finish(fault);
    exchange.isDiscarding = true;
    if (exchange.isRequestComplete || exchange.isClosing) this.#endExchange();
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
      this.#reply(exchange, (context) => faultReply(fault, context), fault);
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
      this.#outlet.reply(life, faultReply(fault, NOTHING_READ), NOTHING_READ);
    }
    life.finish(fault);
    this.#close(fault.endsWith('timeout') ? 'timeout' : 'fault', 'linger');
  }

  /** The client sends nothing more: what it sent before is still answered. */
  #endOfRequests(): void {
    const exchange = this.#exchange;
    if (this.#intake.hasMore) return;
    if (exchange === null) {
      if (this.#intake.isInHead) this.#faultBeforeHead('downstream-closed');
      else this.#close('finished', 'linger');
    } else if (exchange.isRequestComplete) {
      exchange.isClosing = true;
    } else if (exchange.isDiscarding) {
      this.#close('finished', 'linger');
    } else {
      this.#abort('downstream-closed', 'downstream-closed');
    }
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
    this.#outlet.flush();
    const isClean = this.#exchange === null || this.#exchange.isResponseComplete;
    this.#upstream.drop(isClean && this.#intake.isIdle ? 'close' : 'reset');
    this.#exchange = null;
    this.#context.onClose(cause, how);
  }

  /** Begun by the first byte of the head, if that came in an earlier chunk. */
  #newLife(): RequestLife {
    const { subject } = this.#context;
    const life = new RequestLife(this.#context, this.#intake.headStartedMs || this.#lastMoveMs);
    life.judgedBy(subject, null);
    return life;
  }

  // --- tunnel

  #openTunnel(exchange: Http1Exchange): void {
    const { life } = exchange;
    this.#outlet.flush();
    const tunnel = this.#upstream.openTunnel({
      onBytes: (fromDownstream, fromUpstream) => life.passed(fromDownstream, fromUpstream),
      onEnd: (isFailure) => this.#endTunnel(exchange, isFailure),
    });
    if (tunnel === null) return;
    this.#tunnel = tunnel;
    const held = this.#intake.takeHeld();
    if (held.length > 0) tunnel.fromDownstream(held);
    if (this.#isDownstreamEnded) tunnel.downstreamEnded();
  }

  #endTunnel(exchange: Http1Exchange, isFailure: boolean): void {
    exchange.life.finish(null);
    if (!isFailure) exchange.isResponseComplete = true;
    this.#close('finished', isFailure ? 'destroy' : 'linger');
  }

  // --- from the registry

  expire(nowMs: number): void {
    if (this.#isOver) return;
    const { limits } = this.#context.shared.options;
    const exchange = this.#exchange;
    if (exchange === null) {
      const isReplyUnread = this.#context.downstream.writableNeedDrain;
      const { headStartedMs } = this.#intake;
      const idle = { headStartedMs, lastMoveMs: this.#lastMoveMs, isReplyUnread };
      const passed = expiredBetween(idle, nowMs, limits);
      if (passed === 'head-timeout') this.#faultBeforeHead(passed);
      else if (passed !== null) this.#close('timeout', passed === 'unread' ? 'destroy' : 'linger');
      return;
    }
    // It lasts: not in memory that it shares with others.
    exchange.head.keepAs(unshared);
    const isTunnel = this.#tunnel !== null;
    const isClientWaitedFor = exchange.isClientsTurn && !this.#context.downstream.isPaused();
    const times = {
      startedMs: isTunnel ? NO_DEADLINE : exchange.life.startedMs,
      connectingSinceMs: this.#upstream.connectingSinceMs,
      isContentTooSlow: isClientWaitedFor && this.#pace.isTooSlow(nowMs, limits),
      lastMoveMs: this.#lastMoveMs,
    };
    const fault = expiredFault(times, nowMs, limits);
    if (fault === null) return;
    if (isTunnel) this.#abort(fault, 'timeout');
    else this.#expireExchange(exchange, fault);
  }

  #expireExchange(exchange: Http1Exchange, fault: Fault): void {
    if (fault === 'connect-timeout') this.#upstream.countConnect('timeout');
    if (exchange.life.isFinished) this.#close('timeout', 'linger');
    else if (fault === 'body-timeout') this.#fault(fault);
    else this.#upstreamFault(fault);
  }

  /** A tunnel has no later request at which a changed policy could be met: its own one is judged again. */
  judgeOpen(): Decision {
    const { subject } = this.#context;
    const exchange = this.#tunnel === null ? null : this.#exchange;
    return exchange === null ? subject.judgeConnection() : subject.judgeRequest(exchange.head);
  }

  /** No longer allowed: over at once. The connection records it when nothing is in hand. */
  reject(decision: Decision): boolean {
    if (this.#isOver) return false;
    const life = this.#exchange?.life;
    const hasRecord = life?.isFinished === false;
    life?.judgedBy(this.#context.subject, decision);
    life?.finish('policy-changed');
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
