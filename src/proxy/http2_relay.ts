/**
 * hot path
 *
 * HTTP/2 (and so gRPC) between one downstream and one upstream connection at a time, as a relay of
 * frames: heads are decoded, validated, judged and encoded anew; content is passed as it comes. Stream
 * numbers stay, so streams are opened upstream in the order in which they came; windows are accounted on
 * both sides, and credit goes back as bytes leave.
 */
import { grpcStatusIn } from '../codec/grpc/status.ts';
import { Http2Connection } from '../codec/http2/connection.ts';
import {
  DATA,
  FAULT,
  HEAD,
  MALFORMED,
  NEED_MORE,
  PING_ACKED,
  RESET,
  SENT,
  STREAM_ERROR,
  TRAILERS,
} from '../codec/http2/event.ts';
import type { EventFacts } from '../codec/http2/event_facts.ts';
import { ERROR_CODES } from '../codec/http2/frame.ts';
import type { Http2RequestHead } from '../codec/http2/request_head.ts';
import { SlabPool } from '../codec/http2/slab_pool.ts';
import type { Http2Stream } from '../codec/http2/stream.ts';
import type { Decision, Permit } from '../model/decision.ts';
import { FAULTS, type Fault } from '../model/fault.ts';
import type { CloseCause } from '../model/record.ts';
import { DRY_RUN_PERMIT } from '../policy/permit.ts';
import type { Relay } from './connection.ts';
import { NO_DEADLINE } from './deadlines.ts';
import type { RelayContext } from './http1_relay.ts';
import { Http2Exchange } from './http2_exchange.ts';
import { Http2Outlet } from './http2_outlet.ts';
import { connectionTimeout, exchangeTimeout } from './http2_timeouts.ts';
import { type Http2Upstream, type Http2UpstreamEvents, writeFrames } from './http2_upstream.ts';
import { denialReply, faultReply, type LocalReply } from './local_reply.ts';
import { RequestLife } from './request_life.ts';

/** One for the process: slabs move between connections. */
const POOL = new SlabPool();

export class Http2Relay implements Relay, Http2UpstreamEvents {
  readonly #context: RelayContext;
  readonly #connection: Http2Connection<Http2Exchange>;
  readonly #outlet: Http2Outlet;
  readonly #onWritten = (): void => this.#connection.written();
  readonly #startedMs: number;
  #lastMoveMs: number;
  /** Since when a head is unfinished, however many pieces of it came: `NO_DEADLINE` when none is. */
  #headSinceMs = NO_DEADLINE;
  #isDraining = false;
  #isOver = false;

  constructor(context: RelayContext) {
    const { limits, behaviour } = context.shared.options;
    this.#context = context;
    this.#startedMs = context.clock.nowMs();
    this.#lastMoveMs = this.#startedMs;
    this.#connection = new Http2Connection<Http2Exchange>({
      role: 'server',
      limits,
      pool: POOL,
      isPathNormalised: behaviour.isPathNormalised,
    });
    this.#outlet = new Http2Outlet({
      shared: context.shared,
      meta: context.meta,
      pool: POOL,
      events: this,
      onHeldSent: ({ downstream }, byteCount) => this.#connection.credit(downstream, byteCount),
    });
  }

  // --- downstream

  onDownstreamData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#lastMoveMs = this.#context.clock.nowMs();
    const connection = this.#connection;
    connection.receive(chunk, this.#lastMoveMs);
    while (!this.#isOver) {
      const event = connection.next();
      if (event === NEED_MORE) break;
      this.#headSinceMs = NO_DEADLINE;
      if (event === FAULT) {
        this.#fail(connection.facts.fault);
        return;
      }
      this.#take(event, connection.facts);
    }
    if (!connection.isInHead) this.#headSinceMs = NO_DEADLINE;
    else if (this.#headSinceMs === NO_DEADLINE) this.#headSinceMs = this.#lastMoveMs;
    this.onTurnEnd();
  }

  onDownstreamDrain(): void {
    this.#outlet.resume();
  }

  onUpstreamDrain(): void {
    if (!this.#outlet.isCongested) this.#context.downstream.resume();
  }

  onDownstreamEnd(): void {
    if (!this.#isOver) this.#end('downstream-closed', 'downstream-closed', 'linger');
  }

  onDownstreamGone(isReset: boolean): void {
    if (this.#isOver) return;
    this.#end(isReset ? 'downstream-reset' : 'downstream-closed', 'downstream-closed', 'destroy');
  }

  /** Everything that one read brought is dealt with: one write for each side. */
  onTurnEnd(): void {
    if (this.#isOver) return;
    this.#outlet.openWaiting();
    this.#outlet.flush();
    this.#flush();
    if (this.#isDraining && this.#connection.streamCount === 0) this.#close('drained', 'linger');
  }

  #take(event: number, facts: EventFacts<Http2Exchange>): void {
    const { stream } = facts;
    if (event === HEAD && facts.requestHead !== null) {
      this.#onRequestHead(facts.requestHead, stream, facts.isEndStream);
    } else if (event === MALFORMED) {
      this.#onMalformed(stream, facts);
    } else if (event === PING_ACKED) {
      this.#connection.endDrain();
    } else if (stream.context !== null) {
      this.#takeOf(event, stream.context, facts);
    }
  }

  #takeOf(event: number, exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    exchange.lastMoveMs = this.#lastMoveMs;
    if (event === DATA) this.#onRequestData(exchange, facts);
    else if (event === TRAILERS) this.#onRequestTrailers(exchange, facts);
    else if (event === SENT) this.#creditUpstream(exchange, facts.byteCount);
    else if (event === RESET) this.#cancel(exchange, 'downstream-reset', facts.errorCode);
    else if (event === STREAM_ERROR) {
      this.#cancel(exchange, 'http2-error', ERROR_CODES.CANCEL);
    }
  }

  #onRequestHead(
    head: Http2RequestHead,
    stream: Http2Stream<Http2Exchange>,
    isEndStream: boolean,
  ): void {
    const { shared } = this.#context;
    const life = this.#newLife();
    const nowMs = this.#lastMoveMs;
    const exchange = new Http2Exchange(head, life, { stream, isEndStream, nowMs });
    stream.context = exchange;
    life.head = head;
    life.bytesIn = head.byteLength;
    if (head.redirectTo !== '') this.#answerFault(exchange, 'escaped-slash');
    else if (shared.isOverloaded) this.#answerFault(exchange, 'overloaded');
    else this.#judge(exchange);
  }

  #judge(exchange: Http2Exchange): void {
    const { shared, subject, clock } = this.#context;
    const { life, head } = exchange;
    const beforeMs = clock.nowMs();
    const decision = subject.judgeRequest(head);
    life.decision = decision;
    life.policyRevision = subject.revision;
    life.shadowDecision = subject.shadowRequest(head);
    life.overheadMs = clock.nowMs() - beforeMs;
    if (decision.verdict === 'allow') {
      this.#admit(exchange, decision.permit, decision);
    } else if (shared.options.behaviour.isDryRun) {
      life.isDryRun = true;
      this.#admit(exchange, DRY_RUN_PERMIT, decision);
    } else {
      const { denial } = shared.options.behaviour;
      this.#answer(exchange, denialReply(decision, denial, this.#replyContext(exchange)), null);
    }
  }

  /** Allowed: it waits for its turn to be opened upstream. */
  #admit(exchange: Http2Exchange, permit: Permit, decision: Decision): void {
    const mutations = decision.verdict === 'allow' ? decision.mutations : [];
    const source = exchange.head.source(mutations);
    if (source === null) {
      this.#answerFault(exchange, 'internal-error');
      return;
    }
    exchange.permit = permit;
    exchange.source = source;
    this.#outlet.admit(exchange);
  }

  #onRequestData(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    const { bytes, start, end, isEndStream } = facts;
    exchange.life.bytesIn += end - start;
    if (isEndStream) exchange.isRequestEnded = true;
    if (exchange.life.isFinished && exchange.upstream === null) {
      this.#connection.credit(exchange.downstream, end - start);
    } else if (exchange.upstream === null || exchange.link === null) {
      // Copied, as it outlives the read; the window that we gave is its bound.
      exchange.held.push(Buffer.from(bytes.subarray(start, end)));
    } else {
      const { connection } = exchange.link;
      const left = connection.sendData(exchange.upstream, bytes, { start, end, isEndStream });
      const isGone = exchange.upstream.isClosed && !isEndStream;
      this.#connection.credit(exchange.downstream, isGone ? end - start : left);
    }
  }

  #onRequestTrailers(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    exchange.isRequestEnded = true;
    if (exchange.upstream === null || exchange.link === null) {
      exchange.heldTrailers = facts.fields;
      return;
    }
    const source = { fields: facts.fields, kinds: facts.kinds, from: 0 };
    exchange.link.connection.sendHeaders(exchange.upstream, source, true);
  }

  /** The request itself, or what follows its head, is malformed. */
  #onMalformed(stream: Http2Stream<Http2Exchange>, facts: EventFacts<Http2Exchange>): void {
    const { fault, errorCode } = facts;
    const exchange = stream.context;
    if (exchange !== null) {
      this.#cancel(exchange, fault, ERROR_CODES.CANCEL);
    } else if (errorCode === ERROR_CODES.NO_ERROR && FAULTS[fault].status !== 0) {
      // Understood and refused; what is malformed gets a reset only (RFC 9113 8.1.1).
      const life = this.#newLife();
      const context = { isGrpc: false, isHeadMethod: false, isClosing: false, location: '' };
      this.#respond(stream, life, faultReply(fault, context));
      life.finish(fault);
    } else {
      this.#newLife().finish(fault);
    }
    this.#connection.resetStream(stream, errorCode);
  }

  // --- upstream

  onResponseHead(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    const head = facts.responseHead;
    if (head === null) return;
    this.#moved(exchange);
    exchange.life.bytesOut += head.byteLength;
    this.#connection.relayHeaders(exchange.downstream, facts);
    if (head.isInformational) return;
    exchange.isResponseStarted = true;
    exchange.life.status = head.status;
    exchange.life.responseSource = 'upstream';
    if (!facts.isEndStream) return;
    if (exchange.head.isGrpc) exchange.life.grpcStatus = grpcStatusIn(facts.fields);
    exchange.life.finish(null);
  }

  onResponseData(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    const { bytes, start, end, isEndStream } = facts;
    this.#moved(exchange);
    exchange.life.bytesOut += end - start;
    const left = this.#connection.sendData(exchange.downstream, bytes, { start, end, isEndStream });
    this.#creditUpstream(exchange, exchange.downstream.isClosed ? end - start : left);
    if (isEndStream) exchange.life.finish(null);
  }

  onResponseTrailers(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    this.#moved(exchange);
    if (exchange.head.isGrpc) exchange.life.grpcStatus = grpcStatusIn(facts.fields);
    this.#connection.relayHeaders(exchange.downstream, facts);
    exchange.life.finish(null);
  }

  /** Passed on as it is: REFUSED_STREAM, CANCEL and NO_ERROR mean something to the client. */
  onResponseReset(exchange: Http2Exchange, errorCode: number): void {
    this.#connection.resetStream(exchange.downstream, errorCode);
    exchange.life.finish(exchange.life.isFinished ? null : 'upstream-reset');
  }

  onResponseFault(exchange: Http2Exchange, fault: Fault): void {
    this.#giveUp(exchange, fault);
  }

  onRequestSent(exchange: Http2Exchange, byteCount: number): void {
    this.#moved(exchange);
    this.#connection.credit(exchange.downstream, byteCount);
  }

  onRoom(): void {
    this.#outlet.openWaiting();
  }

  /** Streams that the upstream did not look at can be sent again: the client is told so. */
  onGoAway(upstream: Http2Upstream, lastStreamId: number): void {
    this.#outlet.leave(upstream);
    for (const stream of [...upstream.connection.streams()]) {
      const exchange = stream.context;
      if (stream.id <= lastStreamId || exchange === null) continue;
      upstream.connection.resetStream(stream, ERROR_CODES.CANCEL);
      this.#connection.resetStream(exchange.downstream, ERROR_CODES.REFUSED_STREAM);
      exchange.life.finish('upstream-closed');
    }
  }

  onLost(upstream: Http2Upstream, fault: Fault): void {
    const exchanges = [...upstream.connection.streams()].map((stream) => stream.context);
    for (const exchange of exchanges) if (exchange !== null) this.#giveUp(exchange, fault);
    for (const exchange of this.#outlet.lost(upstream)) this.#giveUp(exchange, fault);
  }

  #creditUpstream(exchange: Http2Exchange, byteCount: number): void {
    if (exchange.upstream !== null) {
      exchange.link?.connection.credit(exchange.upstream, byteCount);
    }
  }

  // --- endings of one exchange

  /** The client ended it: the upstream stream goes, too. */
  #cancel(exchange: Http2Exchange, fault: Fault, errorCode: number): void {
    if (exchange.upstream !== null && exchange.link !== null) {
      exchange.link.connection.resetStream(exchange.upstream, errorCode);
    }
    exchange.life.finish(fault);
  }

  /** The upstream ended it: a clear end for the client, an answer if none was begun. */
  #giveUp(exchange: Http2Exchange, fault: Fault): void {
    if (exchange.life.isFinished) return;
    if (exchange.isResponseStarted || FAULTS[fault].status === 0) {
      this.#connection.resetStream(exchange.downstream, ERROR_CODES.INTERNAL_ERROR);
      exchange.life.finish(fault);
    } else {
      this.#answerFault(exchange, fault);
    }
  }

  #answerFault(exchange: Http2Exchange, fault: Fault): void {
    this.#answer(exchange, faultReply(fault, this.#replyContext(exchange)), fault);
  }

  /** RFC 9113 8.1: after a complete answer the rest of the request is not wanted. */
  #answer(exchange: Http2Exchange, reply: LocalReply, fault: Fault | null): void {
    if (exchange.upstream !== null && exchange.link !== null) {
      exchange.link.connection.resetStream(exchange.upstream, ERROR_CODES.CANCEL);
    }
    this.#respond(exchange.downstream, exchange.life, reply, exchange.head.method === 'HEAD');
    exchange.life.finish(fault);
    exchange.held = [];
    if (!exchange.isRequestEnded) {
      this.#connection.resetStream(exchange.downstream, ERROR_CODES.NO_ERROR);
    }
  }

  #respond(
    stream: Http2Stream<Http2Exchange>,
    life: RequestLife,
    reply: LocalReply,
    isHeadMethod = false,
  ): void {
    const { status, fields, body } = reply;
    const hasBody = body.length > 0 && !isHeadMethod;
    life.status = status;
    life.grpcStatus = reply.grpcStatus;
    life.responseSource = 'local';
    life.bytesOut += body.length;
    this.#connection.respond(stream, { status, fields, isEndStream: !hasBody });
    if (!hasBody) return;
    this.#connection.sendData(stream, body, { start: 0, end: body.length, isEndStream: true });
  }

  #replyContext(exchange: Http2Exchange) {
    return {
      isGrpc: exchange.head.isGrpc,
      isHeadMethod: exchange.head.method === 'HEAD',
      isClosing: false,
      location: exchange.head.redirectTo,
    };
  }

  #moved(exchange: Http2Exchange): void {
    this.#lastMoveMs = this.#context.clock.nowMs();
    exchange.lastMoveMs = this.#lastMoveMs;
  }

  #newLife(): RequestLife {
    const { subject } = this.#context;
    const life = new RequestLife(this.#context, this.#lastMoveMs);
    life.policyRevision = subject.revision;
    life.serverName = subject.serverName;
    return life;
  }

  // --- endings of the connection

  #fail(fault: Fault): void {
    this.#flush();
    const hasOpen = this.#connection.streamCount > 0;
    if (!hasOpen) this.#newLife().finish(fault);
    this.#end(fault, 'fault', 'linger');
  }

  /** Every exchange in hand ends with `fault`. */
  #end(fault: Fault, cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    for (const stream of this.#connection.streams()) stream.context?.life.finish(fault);
    this.#close(cause, how);
  }

  #close(cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#outlet.close();
    this.#context.onClose(cause, how);
  }

  /** A client that does not read stops the upstreams, not only the windows. */
  #flush(): void {
    const { downstream } = this.#context;
    writeFrames(downstream, this.#connection.take(), this.#onWritten);
    if (downstream.writableNeedDrain || this.#connection.isCongested) this.#outlet.pause();
    // The other way round: an upstream that does not read stops the client.
    if (this.#outlet.isCongested) downstream.pause();
  }

  // --- from the registry

  expire(nowMs: number): void {
    if (this.#isOver) return;
    const connection = this.#connection;
    const timeout = connectionTimeout(connection, this.#context.shared.options.limits, {
      nowMs,
      startedMs: this.#startedMs,
      lastMoveMs: this.#lastMoveMs,
      headSinceMs: this.#headSinceMs,
    });
    this.#outlet.expire(nowMs);
    if (timeout === null) {
      this.#expireStreams(nowMs);
      this.onTurnEnd();
      return;
    }
    connection.goAway(timeout.errorCode, timeout.detail);
    this.#flush();
    if (timeout.fault === null) this.#close('timeout', 'linger');
    else this.#fail(timeout.fault);
  }

  #expireStreams(nowMs: number): void {
    const { limits } = this.#context.shared.options;
    for (const stream of [...this.#connection.streams()]) {
      const exchange = stream.context;
      const fault = exchange === null ? null : exchangeTimeout(exchange, limits, nowMs);
      if (exchange !== null && fault !== null) this.#giveUp(exchange, fault);
    }
  }

  judgeOpen(): Decision {
    return this.#context.subject.judgeConnection();
  }

  reject(decision: Decision): boolean {
    if (this.#isOver) return false;
    let hasRecord = false;
    for (const stream of this.#connection.streams()) {
      const life = stream.context?.life;
      if (life === undefined || life.isFinished) continue;
      life.decision = decision;
      hasRecord = true;
    }
    this.#end('policy-changed', 'policy-changed', 'reset');
    return hasRecord;
  }

  /** Twice, a round trip apart, so that no stream on its way is lost (RFC 9113 6.8). */
  drain(): void {
    if (this.#isOver || this.#isDraining) return;
    this.#isDraining = true;
    this.#connection.beginDrain();
    this.#connection.ping();
    this.onTurnEnd();
  }

  cut(): void {
    if (!this.#isOver) this.#end('draining', 'drained', 'destroy');
  }

  internalError(error: unknown): void {
    if (this.#isOver) return;
    this.#context.recorder.internalError('http2', error);
    this.#end('internal-error', 'fault', 'reset');
  }

  onUpstreamError(error: unknown): void {
    this.internalError(error);
  }
}
