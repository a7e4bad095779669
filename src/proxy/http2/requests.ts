/**
 * hot path
 *
 * What clients send on their streams: heads, which are judged, and what follows them on its way to the
 * upstream stream, or held until that is open.
 */
import type { Http2Connection } from '../../codec/http2/connection.ts';
import type { EventFacts } from '../../codec/http2/event_facts.ts';
import type { Http2RequestHead } from '../../codec/http2/request_head.ts';
import { SendQueue } from '../../codec/http2/send_queue.ts';
import type { Http2Stream } from '../../codec/http2/stream.ts';
import { FAULTS } from '../../model/fault.ts';
import { faultReply } from '../request/local_reply.ts';
import type { RelayContext } from '../request/relay.ts';
import { newLife } from '../request/request_life.ts';
import type { Http2Endings } from './endings.ts';
import { Http2Exchange } from './exchange.ts';
import type { Http2Judge } from './judge.ts';
import type { Http2Outlet } from './outlet.ts';
import type { Http2Tally } from './tally.ts';

export interface Http2RequestsOptions {
  readonly context: RelayContext;
  readonly connection: Http2Connection<Http2Exchange>;
  readonly outlet: Http2Outlet;
  readonly endings: Http2Endings;
  readonly judge: Http2Judge;
  readonly tally: Http2Tally;
}

export class Http2Requests {
  readonly #context: RelayContext;
  readonly #connection: Http2Connection<Http2Exchange>;
  readonly #outlet: Http2Outlet;
  readonly #endings: Http2Endings;
  readonly #judge: Http2Judge;
  readonly #tally: Http2Tally;

  constructor(options: Http2RequestsOptions) {
    this.#context = options.context;
    this.#connection = options.connection;
    this.#outlet = options.outlet;
    this.#endings = options.endings;
    this.#judge = options.judge;
    this.#tally = options.tally;
  }

  head(head: Http2RequestHead, facts: EventFacts<Http2Exchange>, nowMs: number): void {
    const { stream, isEndStream } = facts;
    const life = newLife(this.#context, nowMs);
    const exchange = new Http2Exchange(head, life, { stream, isEndStream, nowMs });
    stream.context = exchange;
    life.head = head;
    life.bytesIn = head.byteLength;
    if (head.redirectTo !== '') this.#endings.answerFault(exchange, 'escaped-slash');
    else if (this.#context.share.isRefused) this.#endings.answerFault(exchange, 'overloaded');
    else if (this.#judge.isAllowed(exchange)) this.#outlet.admit(exchange);
  }

  data(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    const { bytes, start, end, isEndStream } = facts;
    exchange.life.bytesIn += end - start;
    exchange.pace?.received(end - start);
    exchange.isContinueAwaited = false;
    // Its head goes first, as what it was before this came.
    if (exchange.upstream === null) this.#outlet.openWaiting();
    if (isEndStream) exchange.isRequestEnded = true;
    // The answer waits for the client's window: nothing more of the request is asked for.
    if (exchange.isResponseEnded) return;
    if (exchange.upstream === null || exchange.connection === null) {
      // Copied, as it outlives the read; the window that we gave is its bound.
      exchange.held ??= new SendQueue();
      exchange.held.append(bytes, start, end);
    } else {
      const left = exchange.connection.sendData(exchange.upstream, bytes, {
        start,
        end,
        isEndStream,
      });
      const isGone = exchange.upstream.isClosed && !isEndStream;
      this.#connection.credit(exchange.downstream, isGone ? end - start : left);
    }
  }

  trailers(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    if (exchange.upstream === null) this.#outlet.openWaiting();
    exchange.isRequestEnded = true;
    if (exchange.isResponseEnded) return;
    const source = { fields: facts.fields, kinds: facts.kinds, from: 0 };
    if (exchange.upstream === null || exchange.connection === null) exchange.heldTrailers = source;
    else exchange.connection.sendTrailers(exchange.upstream, exchange.sentTrailers(source));
  }

  /** The request itself, or what follows its head, is malformed. */
  malformed(stream: Http2Stream<Http2Exchange>, facts: EventFacts<Http2Exchange>, nowMs: number) {
    const { fault, errorCode, cause, partial } = facts;
    const exchange = stream.context;
    const life = exchange?.life ?? newLife(this.#context, nowMs);
    life.found({ cause, partial });
    const isAnswered = FAULTS[fault].status !== 0 && exchange?.isResponseStarted !== true;
    if (!isAnswered) {
      if (exchange === null) life.finish(fault);
      else this.#endings.refuse(exchange, fault);
    } else if (exchange === null) {
      const isHeadMethod = partial.method === 'HEAD';
      const context = { isGrpc: facts.isGrpc, isHeadMethod, isClosing: false, location: '' };
      const reply = faultReply(fault, context);
      this.#endings.respond(stream, life, { reply, isHeadMethod });
      life.finish(fault);
    } else {
      this.#endings.answerMalformed(exchange, fault);
    }
    if (exchange === null) this.#tally.resetWithoutHead(fault);
    // In the middle of a message it is the message that broke a rule, and its sender is told which way.
    const isHead = exchange === null;
    if (isAnswered && (isHead || stream.isClosed)) {
      this.#connection.resetAnswered(stream, errorCode);
    }
    this.#connection.resetStream(stream, errorCode);
  }
}
