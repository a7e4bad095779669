/**
 * hot path
 *
 * HTTP/2 (and so gRPC) between one downstream and one upstream connection at a time, as a relay of
 * frames: heads are decoded, validated, judged and encoded anew; content is passed as it comes. Stream
 * numbers stay, so streams are opened upstream in the order in which they came; windows are accounted on
 * both sides, and a stream's credit goes back as its bytes leave.
 */
import { Http2Connection } from '../../codec/http2/connection.ts';
import {
  DATA,
  FAULT,
  GOAWAY,
  HEAD,
  MALFORMED,
  NEED_MORE,
  PING_ACKED,
  RESET,
  SENT,
  SETTINGS,
  STREAM_ERROR,
  TRAILERS,
} from '../../codec/http2/event.ts';
import type { EventFacts } from '../../codec/http2/event_facts.ts';
import { ERROR_CODES } from '../../codec/http2/frame.ts';
import { SlabPool } from '../../codec/http2/slab_pool.ts';
import type { Decision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { CloseCause } from '../../model/record.ts';
import { NO_DEADLINE } from '../plane/deadlines.ts';
import type { AddressHolder } from '../plane/holders.ts';
import type { ContentHolder } from '../plane/memory/content_memory.ts';
import { CUT_CAUSES, type CutFault, type Relay, type RelayContext } from '../request/relay.ts';
import { newLife } from '../request/request_life.ts';
import { Http2Endings } from './endings.ts';
import type { Http2Exchange } from './exchange.ts';
import { Http2Judge } from './judge.ts';
import { Http2Outlet } from './outlet.ts';
import { Http2Pressure } from './pressure.ts';
import { Http2Requests } from './requests.ts';
import { Http2Responses, type ResponsesOwner } from './responses.ts';
import { Http2Tally } from './tally.ts';
import { connectionTimeout, exchangeTimeout } from './timeouts.ts';
import { type Http2Upstream, type Http2UpstreamEvents, writeFrames } from './upstream.ts';

/** One for the process: slabs move between connections. */
const POOL = new SlabPool();

const STREAM_BYTES = 4 * 1024;

export class Http2Relay implements Relay, Http2UpstreamEvents, ResponsesOwner, ContentHolder {
  readonly name = 'http2';
  readonly #context: RelayContext;
  readonly #connection: Http2Connection<Http2Exchange>;
  readonly #outlet: Http2Outlet;
  readonly #endings: Http2Endings;
  readonly #judge: Http2Judge;
  readonly #requests: Http2Requests;
  readonly #responses: Http2Responses;
  readonly #pressure: Http2Pressure;
  readonly #tally: Http2Tally;
  readonly #onWritten = (): void => {
    try {
      this.#connection.written();
      if (this.#outlet.isPaused && !this.#isOver) this.#pressure.balance();
    } catch (error) {
      this.#context.guard.broken(error);
    }
  };
  readonly #startedMs: number;
  #lastMoveMs: number;
  /** Since when a head is unfinished, however many pieces of it came: `NO_DEADLINE` when none is. */
  #headSinceMs = NO_DEADLINE;
  #isDraining = false;
  /** Both GOAWAYs are sent: a stream on its way was served, a later one is refused. */
  #isDrainAnnounced = false;
  /** What the worker's account of content was told. */
  #toldWaitingBytes = 0;
  #isOver = false;

  constructor(context: RelayContext) {
    const { limits, behaviour } = context.plane.options;
    this.#context = context;
    this.#startedMs = context.clock.nowMs();
    this.#lastMoveMs = this.#startedMs;
    this.#connection = new Http2Connection<Http2Exchange>({
      role: 'server',
      limits,
      pool: POOL,
      isPathNormalised: behaviour.isPathNormalised,
      pathParameters: behaviour.pathParameters,
      underscores: behaviour.underscores,
      streamWindowBytes: context.plane.contentMemory.streamWindowBytes,
    });
    context.plane.contentMemory.add(this);
    this.#tally = new Http2Tally(this.#connection, {
      recorder: context.recorder,
      listener: context.meta.listener,
    });
    this.#endings = new Http2Endings(this.#connection, {
      leaveQueue: (exchange) => this.#outlet.withdraw(exchange),
      tally: this.#tally,
    });
    this.#responses = new Http2Responses({
      connection: this.#connection,
      endings: this.#endings,
      tally: this.#tally,
      owner: this,
    });
    this.#outlet = new Http2Outlet({
      plane: context.plane,
      meta: context.meta,
      pool: POOL,
      events: this,
      responses: this.#responses,
      guard: context.guard,
      isStillAllowed: (exchange) => this.#judge.isStillAllowed(exchange),
      onHeldSent: ({ downstream }, byteCount) => this.#connection.credit(downstream, byteCount),
    });
    this.#judge = new Http2Judge(context, this.#endings);
    this.#requests = new Http2Requests({
      context,
      connection: this.#connection,
      outlet: this.#outlet,
      endings: this.#endings,
      judge: this.#judge,
      tally: this.#tally,
    });
    this.#pressure = new Http2Pressure({
      downstream: context.downstream,
      connection: this.#connection,
      outlet: this.#outlet,
      clock: context.clock,
      limits,
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
      if (event !== SENT) this.#headSinceMs = NO_DEADLINE;
      if (event === FAULT) {
        this.#fail(connection.facts.fault, connection.facts.cause);
        return;
      }
      this.#take(event, connection.facts);
    }
    if (!connection.isInHead) this.#headSinceMs = NO_DEADLINE;
    else if (this.#headSinceMs === NO_DEADLINE) this.#headSinceMs = this.#lastMoveMs;
    this.onTurnEnd();
  }

  onDownstreamDrain(): void {
    if (!this.#isOver) this.#pressure.balance();
  }

  onUpstreamDrain(): void {
    if (!this.#isOver) this.#pressure.balance();
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
    this.#tally.turnEnded();
    this.#tellWaiting(this.waitingBytes);
    if (this.#isDrainAnnounced && this.#connection.streamCount === 0)
      this.#close('drained', 'linger');
  }

  #take(event: number, facts: EventFacts<Http2Exchange>): void {
    const { stream } = facts;
    if (event === HEAD && facts.requestHead !== null) {
      this.#requests.head(facts.requestHead, facts, this.#lastMoveMs);
    } else if (event === MALFORMED) {
      this.#requests.malformed(stream, facts, this.#lastMoveMs);
    } else if (event === PING_ACKED) {
      if (this.#isDraining && !this.#isDrainAnnounced) this.#connection.endDrain();
      this.#isDrainAnnounced = this.#isDraining;
    } else if (event !== SETTINGS && event !== GOAWAY && stream.context !== null) {
      // Those two are of no stream, and the facts still name that of the event before.
      this.#takeOf(event, stream.context, facts);
    }
  }

  #takeOf(event: number, exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    // Content that nobody wants is no reason to wait longer for an answer to be read.
    if (!exchange.isResponseEnded || event === SENT) exchange.lastMoveMs = this.#lastMoveMs;
    if (event === DATA) this.#requests.data(exchange, facts);
    else if (event === TRAILERS) this.#requests.trailers(exchange, facts);
    else if (event === SENT) this.#responses.sent(exchange, facts.byteCount);
    else if (event === RESET) this.#endings.cancel(exchange, facts.errorCode);
    else if (event === STREAM_ERROR) {
      exchange.life.cause = facts.cause;
      this.#endings.refuse(exchange, 'http2-error');
    }
  }

  // --- upstream

  onTurnBegin(nowMs: number): void {
    this.#responses.turnBegan(nowMs);
  }

  moved(nowMs: number): void {
    this.#lastMoveMs = nowMs;
  }

  onRoom(): void {
    this.#outlet.openWaiting();
  }

  /** Streams that the upstream did not look at can be sent again: the client is told so. */
  onGoAway(upstream: Http2Upstream, lastStreamId: number): void {
    const hopeless = this.#outlet.leave(upstream);
    for (const exchange of hopeless) this.#endings.giveUp(exchange, 'upstream-closed');
    for (const stream of upstream.connection.streams()) {
      const exchange = stream.context;
      if (stream.id <= lastStreamId || exchange === null) continue;
      upstream.connection.resetStream(stream, ERROR_CODES.CANCEL);
      this.#endings.reset(exchange, ERROR_CODES.REFUSED_STREAM, 'upstream-closed');
    }
  }

  onLost(upstream: Http2Upstream, fault: Fault, cause: Cause | null): void {
    const exchanges = upstream.connection.streams().map((stream) => stream.context);
    for (const exchange of exchanges) {
      if (exchange === null) continue;
      exchange.life.cause = cause;
      if (isLossOf('upstream', fault)) this.#tally.reset(exchange, 'upstream', 'connection-lost');
      this.#endings.giveUp(exchange, fault);
    }
    for (const exchange of this.#outlet.lost(upstream)) {
      exchange.life.cause = cause;
      this.#endings.giveUp(exchange, fault);
    }
  }

  // --- memory

  get waitingBytes(): number {
    return this.#isOver ? 0 : this.#connection.heldBytes + this.#outlet.heldBytes;
  }

  get owner(): AddressHolder | null {
    return this.#context.share.holder;
  }

  /** A head that never ends is the connection's; content is its stream's. */
  shed(): void {
    this.#context.guard.run(() => this.#shed());
  }

  #shed(): void {
    if (this.#isOver) return;
    const before = this.waitingBytes;
    const exchanges = this.#connection.streams().map(({ context }) => context);
    const holding = exchanges.filter((exchange) => exchange !== null && exchange.heldBytes > 0);
    holding.sort((a, b) => (a as Http2Exchange).lastMoveMs - (b as Http2Exchange).lastMoveMs);
    for (const exchange of holding as Http2Exchange[]) {
      if (this.waitingBytes * 2 <= before) break;
      if (exchange.isResponseEnded) this.#endings.abort(exchange, 'overloaded');
      else this.#endings.giveUp(exchange, 'overloaded');
    }
    if (this.waitingBytes * 2 <= before) {
      this.onTurnEnd();
      return;
    }
    this.#connection.goAway(ERROR_CODES.ENHANCE_YOUR_CALM);
    this.#fail('overloaded', null);
  }

  #tellWaiting(byteCount: number): void {
    if (byteCount === this.#toldWaitingBytes) return;
    const change = byteCount - this.#toldWaitingBytes;
    this.#toldWaitingBytes = byteCount;
    this.#context.plane.contentMemory.changed(change);
  }

  // --- endings of the connection

  #fail(fault: Fault, cause: Cause | null): void {
    this.#flush();
    if (!this.#hasUnfinished()) newLife(this.#context, this.#lastMoveMs).finish(fault, cause);
    for (const { context } of this.#connection.streams()) {
      if (context !== null) context.life.cause = cause;
    }
    this.#end(fault, 'fault', 'linger');
  }

  #hasUnfinished(): boolean {
    for (const { context } of this.#connection.streams()) {
      if (context !== null && !context.life.isFinished) return true;
    }
    return false;
  }

  /** Every exchange in hand ends with `fault`. */
  #end(fault: Fault, cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    const isClients = isLossOf('downstream', fault);
    for (const { context } of this.#connection.streams()) {
      if (context === null) continue;
      if (isClients) this.#tally.reset(context, 'downstream', 'connection-lost');
      else this.#tally.reset(context, 'proxy', fault);
      context.life.finish(fault);
    }
    this.#close(cause, how);
  }

  #close(cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    if (this.#isOver) return;
    this.#letGo();
    this.#context.onClose(cause, how);
  }

  #letGo(): void {
    this.#isOver = true;
    this.#outlet.close();
    this.#tellWaiting(0);
    this.#context.plane.contentMemory.delete(this);
    this.#tally.over();
  }

  #flush(): void {
    const { downstream } = this.#context;
    writeFrames(downstream, this.#connection.take(), this.#onWritten);
    if (!this.#isOver) this.#pressure.balance();
  }

  // --- from the registry

  expire(nowMs: number): void {
    if (this.#isOver) return;
    this.#outlet.expire(nowMs);
    // Its last stream may have been answered by that, at the end of a drain.
    if (this.#isOver) return;
    const timeout = connectionTimeout(this.#connection, this.#context.plane.options.limits, {
      nowMs,
      startedMs: this.#startedMs,
      lastMoveMs: this.#lastMoveMs,
      headSinceMs: this.#headSinceMs,
      isPaused: this.#pressure.isPaused,
    });
    if (timeout === null) {
      this.#expireStreams(nowMs);
      this.#pressure.probe(nowMs);
      this.onTurnEnd();
      return;
    }
    this.#connection.goAway(timeout.errorCode);
    this.#flush();
    if (timeout.fault === null) this.#close('timeout', 'linger');
    else this.#fail(timeout.fault, timeout.cause);
  }

  #expireStreams(nowMs: number): void {
    const { limits } = this.#context.plane.options;
    const times = { nowMs, isPaused: this.#pressure.isPaused };
    for (const stream of this.#connection.streams()) {
      const exchange = stream.context;
      const fault = exchange === null ? null : exchangeTimeout(exchange, limits, times);
      if (exchange === null || fault === null) continue;
      // A whole response that the client does not take cannot be answered again.
      if (exchange.isResponseEnded) this.#endings.abort(exchange, fault);
      else this.#endings.giveUp(exchange, fault);
    }
  }

  lasted(): void {}

  judgeOpen(): Decision {
    return this.#context.subject.judgeConnection();
  }

  reject(decision: Decision): boolean {
    if (this.#isOver) return false;
    let hasRecord = false;
    for (const stream of this.#connection.streams()) {
      const life = stream.context?.life;
      if (life === undefined || life.isFinished) continue;
      life.cutBy(this.#context.subject, decision);
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

  cut(fault: CutFault): void {
    if (!this.#isOver) this.#end(fault, CUT_CAUSES[fault], 'destroy');
  }

  lastMoveMs(): number {
    return this.#lastMoveMs;
  }

  /** What a stream takes besides its content is a guess. */
  heldBytes(): number {
    const { outputBytes, streamCount } = this.#connection;
    return outputBytes + this.waitingBytes + STREAM_BYTES * streamCount;
  }

  abandon(): void {
    if (!this.#isOver) this.#end('internal-error', 'fault', 'reset');
  }

  sever(): void {
    if (this.#isOver) this.#outlet.close();
    else this.#letGo();
  }
}

/** That side ended the connection; with any other fault we did. */
function isLossOf(side: 'downstream' | 'upstream', fault: Fault): boolean {
  return fault === `${side}-closed` || fault === `${side}-reset`;
}
