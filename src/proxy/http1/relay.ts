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
import type { Http1RequestHead } from '../../codec/http1/request_head.ts';
import type { RequestParser } from '../../codec/http1/request_parser.ts';
import type { Http1ResponseHead } from '../../codec/http1/response_head.ts';
import type { Decision, DenyDecision } from '../../model/decision.ts';
import { FAULTS, type Fault } from '../../model/fault.ts';
import { type Cause, upstreamFaultOf } from '../../model/fault_detail.ts';
import type { CloseCause } from '../../model/record.ts';
import { unshared } from '../../platform/socket_reads.ts';
import { admittedFields } from '../judge/admission.ts';
import {
  denialReply,
  faultReply,
  type LocalReply,
  NOTHING_READ,
  type ReplyContext,
} from '../request/local_reply.ts';
import { CUT_CAUSES, type CutFault, type Relay, type RelayContext } from '../request/relay.ts';
import { type Found, newLife, type RequestLife } from '../request/request_life.ts';
import { Http1Clock } from './clock.ts';
import { Http1Exchange } from './exchange.ts';
import { Http1Intake, type IntakeEvents } from './intake.ts';
import { Http1Judge } from './judge.ts';
import { Http1Outlet } from './outlet.ts';
import { Switched } from './switched.ts';
import { Http1Upstream, type ResponseEvents } from './upstream.ts';

export class Http1Relay implements Relay, ResponseEvents, IntakeEvents {
  readonly name = 'http1';
  readonly #context: RelayContext;
  readonly #intake: Http1Intake;
  readonly #upstream: Http1Upstream;
  readonly #outlet: Http1Outlet;
  readonly #clock: Http1Clock;
  readonly #judges: Http1Judge;
  readonly #switched: Switched;
  #exchange: Http1Exchange | null = null;
  #isDownstreamEnded = false;
  #isOver = false;
  #requestCount = 0;

  constructor(context: RelayContext) {
    this.#context = context;
    this.#intake = new Http1Intake(context, this);
    this.#upstream = new Http1Upstream(context, this);
    this.#outlet = new Http1Outlet(context, this.#upstream);
    this.#clock = new Http1Clock(context);
    this.#judges = new Http1Judge(context);
    this.#switched = new Switched({
      upstream: this.#upstream,
      // A reset on one side is one on the other.
      onEnd: (isFailure) => this.#close('finished', isFailure ? 'reset' : 'linger'),
    });
  }

  // --- downstream

  onDownstreamData(chunk: Buffer): void {
    if (this.#isOver) return;
    const nowMs = this.#clock.moved();
    if (!this.#switched.fromDownstream(chunk)) this.#intake.take(chunk, nowMs);
  }

  onDownstreamDrain(): void {
    if (this.#isOver || this.#switched.isOpen) return;
    this.#upstream.resume();
    // Requests that waited until the client has read what it asked for before.
    if (this.#exchange === null) this.#intake.proceed(this.#context.clock.nowMs());
  }

  /** The client has sent its FIN: it reads on, and asks nothing more. */
  onDownstreamEnd(): void {
    if (this.#isOver) return;
    this.#isDownstreamEnded = true;
    if (!this.#switched.downstreamEnded()) this.#endOfRequests();
  }

  /** The client is gone. */
  onDownstreamGone(isReset: boolean): void {
    if (this.#isOver) return;
    const fault = isReset ? 'downstream-reset' : 'downstream-closed';
    if (this.#switched.fail()) return;
    this.#abort(this.#isDownstreamEnded ? 'downstream-gave-up' : fault, 'downstream-closed');
  }

  // --- requests

  isOver(): boolean {
    return this.#isOver;
  }

  /** Also while the client does not read: else replies to it would pile up without a bound. */
  isBusy(): boolean {
    const exchange = this.#exchange;
    if (exchange === null) return this.#context.downstream.writableNeedDrain;
    return exchange.isRequestComplete || exchange.isWaiting;
  }

  /** All that was held is read. */
  onHeldRead(): void {
    if (this.#isDownstreamEnded) this.#endOfRequests();
  }

  onHeld(byteLength: number): boolean {
    const { limits } = this.#context.plane.options;
    if (this.#exchange?.isTunnelTooEarly(byteLength, limits) !== true) return false;
    this.#fault('early-tunnel-bytes');
    return true;
  }

  onRequestFault(parser: RequestParser): void {
    this.#fault(parser.fault, parser);
  }

  onRequestHead(head: Http1RequestHead): void {
    const { plane } = this.#context;
    this.#requestCount += 1;
    const exchange = new Http1Exchange(head, this.#newLife());
    this.#exchange = exchange;
    this.#clock.begin();
    const countMax = plane.options.limits.requestsPerConnectionMax;
    exchange.isClosing ||= countMax !== 0 && this.#requestCount >= countMax;
    exchange.isClosing ||= plane.isDraining;
    if (head.redirectTo !== '') this.#fault('escaped-slash');
    else if (head.isUpgradeRefused) this.#fault('upgrade-refused');
    else if (this.#context.share.isRefused) this.#fault('overloaded');
    else this.#judge(exchange);
  }

  /** The upstream sees nothing of a request, nor is it read on, before its connection is there. */
  #judge(exchange: Http1Exchange): void {
    if (!this.#isAllowed(exchange, this.#judges.denialOf(exchange))) return;
    if (this.#upstream.isConnected) {
      this.#send(exchange);
    } else {
      exchange.isWaiting = true;
      this.#upstream.connect(exchange);
    }
  }

  #isAllowed(exchange: Http1Exchange, denial: DenyDecision | null): boolean {
    if (denial === null) return true;
    const options = this.#context.plane.options.behaviour.denial;
    this.#reply(exchange, (context) => denialReply(denial, options, context), null);
    return false;
  }

  onUpstreamReady(): void {
    const exchange = this.#exchange;
    if (exchange === null || !exchange.isWaiting) return;
    exchange.isWaiting = false;
    const nowMs = this.#clock.moved();
    this.#clock.restartPace();
    const isAllowed = this.#isAllowed(exchange, this.#judges.lateDenialOf(exchange));
    if (isAllowed) this.#send(exchange);
    if (this.#isOver) return;
    if (!exchange.isRequestComplete) this.#intake.goOn(nowMs);
    else if (this.#isDownstreamEnded) this.#endOfRequests();
  }

  #send(exchange: Http1Exchange): void {
    exchange.isClosing ||= exchange.isContentOdd;
    this.#intake.judged(admittedFields(exchange.decision));
    try {
      this.#upstream.send(exchange);
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
    this.#clock.contentCame(content.length);
    if (exchange.isDiscarding) {
      const { limits } = this.#context.plane.options;
      if (!exchange.discard(content.length, limits)) this.#close('denied', 'linger');
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
    this.#clock.moved();
  }

  onUpstreamRoom(): void {
    this.#intake.readOn();
    this.#clock.restartPace();
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
      this.#clock.restartPace();
      // A client of HTTP/1.0 knows no informational responses (RFC 9110 15.2).
      if (exchange.head.version !== 'HTTP/1.0') this.#outlet.head(exchange.life, head, false);
      return;
    }
    const wrong = exchange.causeAgainst(head);
    if (wrong !== null) {
      this.#upstreamFault(upstreamFaultOf(wrong), wrong);
      return;
    }
    if (head.status === 101) {
      // By a policy that came after it was judged: there was no tunnel yet that it could have met.
      const denial = this.#judges.tunnelDenialOf(exchange);
      if (denial !== null) {
        this.reject(denial);
        return;
      }
    }
    const { isDraining } = this.#context.plane;
    exchange.beginResponse(head, { isDraining, isDownstreamEnded: this.#isDownstreamEnded });
    this.#outlet.head(exchange.life, head, exchange.isClosing && head.status !== 101);
    if (head.status === 101) this.#openTunnel(exchange);
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

  /** What nobody asked for has a record of its own, as there is no request that it could be of. */
  onResponseFault(fault: Fault, cause: Cause | null): void {
    if (this.#exchange?.life.isFinished === false) {
      this.#upstreamFault(fault, cause);
      return;
    }
    this.#newLife().finish(fault, cause);
    this.#close('fault', 'linger');
  }

  onUpstreamLost(fault: Fault, cause: Cause | null): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.#close('upstream-closed', 'linger');
    } else if (this.#isDownstreamEnded && exchange.isUnanswered(fault)) {
      exchange.life.finish('downstream-gave-up');
      this.#close('downstream-closed', 'linger');
    } else if (this.#upstream.isStale && exchange.mayRetry(this.#context.plane.options.limits)) {
      if (fault === 'unsolicited-response') this.#newLife().finish(fault, cause);
      this.#retry(exchange);
    } else {
      this.#upstreamFault(exchange.isResponseStarted ? 'upstream-truncated' : fault, cause);
    }
  }

  #upstreamFault(fault: Fault, cause: Cause | null = null): void {
    this.#upstream.drop('reset');
    this.#fault(fault, { cause, partial: null });
  }

  /** Judged again: the policy may have changed since. */
  #retry(exchange: Http1Exchange): void {
    const { recorder, meta } = this.#context;
    exchange.retryCount += 1;
    recorder.events.upstreamRetried(meta.listener);
    this.#replaceUpstream();
    this.#judge(exchange);
  }

  // --- endings

  #endExchange(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    this.#exchange = null;
    if (exchange.isClosing || (this.#isDownstreamEnded && !this.#intake.hasMore)) {
      this.#close(exchange.life.isHalfClosed ? 'half-closed' : 'finished', 'linger');
      return;
    }
    this.#intake.proceed(this.#clock.moved());
  }

  /** Answers here; what is left of the request is read and dropped, the upstream sees none of it. */
  #reply(
    exchange: Http1Exchange,
    answer: (context: ReplyContext) => LocalReply,
    fault: Fault | null,
  ): void {
    const context = exchange.replyContext(this.#context.plane.options.limits);
    this.#outlet.reply(exchange.life, answer(context), context);
    exchange.life.finish(fault);
    exchange.isDiscarding = true;
    if (exchange.isRequestComplete || exchange.isClosing) this.#endExchange();
  }

  /** A fault ends the exchange with a reply if none was begun, and the connection unless it is sound. */
  #fault(fault: Fault, found: Found | null = null): void {
    const exchange = this.#exchange;
    if (exchange === null || exchange.life.isFinished) {
      this.#faultBeforeHead(fault, found);
      return;
    }
    exchange.life.found(found);
    if (fault !== 'escaped-slash') exchange.isClosing = true;
    if (exchange.isResponseStarted || FAULTS[fault].status === 0) {
      exchange.life.finish(fault);
      this.#close('fault', 'reset');
    } else {
      this.#reply(exchange, (context) => faultReply(fault, context), fault);
    }
  }

  /** A head that cannot be read, or content after a reply that breaks its framing. */
  #faultBeforeHead(fault: Fault, found: Found | null): void {
    if (this.#exchange !== null) {
      this.#close('fault', 'linger');
      return;
    }
    const life = this.#newLife();
    life.found(found);
    if (FAULTS[fault].status !== 0) {
      this.#outlet.reply(life, faultReply(fault, NOTHING_READ), NOTHING_READ);
    }
    life.finish(fault);
    this.#close(fault.endsWith('timeout') ? 'timeout' : 'fault', 'linger');
  }

  /** The client sends nothing more: what it sent before is still answered. */
  #endOfRequests(): void {
    const exchange = this.#exchange;
    if (this.#intake.hasMore || exchange?.isWaiting) return;
    if (exchange === null) {
      if (this.#intake.isInHead) this.#faultBeforeHead('downstream-closed', null);
      else this.#close('finished', 'linger');
    } else if (exchange.isRequestComplete) {
      exchange.isClosing = true;
      this.#upstream.endRequests();
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
    return newLife(this.#context, this.#intake.headStartedMs || this.#clock.lastMoveMs);
  }

  // --- tunnel

  #openTunnel(exchange: Http1Exchange): void {
    this.#outlet.flush();
    this.#switched.open(exchange, this.#intake.takeHeld(), this.#isDownstreamEnded);
  }

  // --- from the registry

  expire(nowMs: number): void {
    if (this.#isOver) return;
    const exchange = this.#exchange;
    if (exchange === null) {
      const passed = this.#clock.expiredBetween(this.#intake.headStartedMs, nowMs);
      if (passed === 'head-timeout') this.#faultBeforeHead(passed, null);
      else if (passed !== null) this.#close('timeout', passed === 'unread' ? 'destroy' : 'linger');
      return;
    }
    const isTunnel = this.#switched.isOpen;
    const { connectingSinceMs } = this.#upstream;
    const state = { isTunnel, isDownstreamEnded: this.#isDownstreamEnded, connectingSinceMs };
    const fault = this.#clock.expiredExchange(exchange, state, nowMs);
    if (fault === null) return;
    if (isTunnel) this.#abort(fault, 'timeout');
    else this.#expireExchange(exchange, fault);
  }

  #expireExchange(exchange: Http1Exchange, fault: Fault): void {
    if (fault === 'connect-timeout') this.#upstream.countConnect('timeout');
    if (fault === 'downstream-gave-up') this.#abort(fault, 'downstream-closed');
    else if (exchange.life.isFinished) this.#close('timeout', 'linger');
    else if (fault === 'body-timeout') this.#fault(fault);
    else this.#upstreamFault(fault);
  }

  lasted(): void {
    this.#exchange?.head.keepAs(unshared);
  }

  judgeOpen(): Decision {
    return this.#judges.judgeOpen(this.#switched.isOpen ? this.#exchange : null);
  }

  /** No longer allowed: over at once. The connection records it when nothing is in hand. */
  reject(decision: Decision): boolean {
    if (this.#isOver) return false;
    const life = this.#exchange?.life;
    const hasRecord = life?.isFinished === false;
    life?.cutBy(this.#context.subject, decision);
    this.#close('policy-changed', 'reset');
    return hasRecord;
  }

  drain(): void {
    if (this.#isOver) return;
    if (this.#exchange !== null) this.#exchange.isClosing = true;
    else if (!this.#intake.isInHead) this.#close('drained', 'linger');
  }

  cut(fault: CutFault): void {
    if (!this.#isOver) this.#abort(fault, CUT_CAUSES[fault]);
  }

  lastMoveMs(): number {
    return this.#clock.lastMoveMs;
  }

  heldBytes(): number {
    const head = this.#exchange === null ? 0 : this.#exchange.head.byteLength;
    return head + this.#intake.keptBytes + this.#upstream.keptBytes;
  }

  abandon(): void {
    if (!this.#isOver) this.#abort('internal-error', 'fault');
  }

  sever(): void {
    this.#upstream.drop('reset');
  }
}
