/**
 * hot path
 *
 * What upstreams answer, stream by stream, on its way to the client; and the credit that goes back as it leaves.
 */
import { grpcStatusIn } from '../../codec/grpc/status.ts';
import type { Http2Connection } from '../../codec/http2/connection.ts';
import type { EventFacts } from '../../codec/http2/event_facts.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { Http2Endings } from './endings.ts';
import type { Http2Exchange } from './exchange.ts';
import type { Http2Tally } from './tally.ts';
import type { Http2ResponseEvents } from './upstream.ts';

export interface ResponsesOwner {
  /** Something of an exchange came or went, in the turn that began then. */
  moved(nowMs: number): void;
}

export interface ResponsesOptions {
  /** Of the client. */
  readonly connection: Http2Connection<Http2Exchange>;
  readonly endings: Http2Endings;
  readonly tally: Http2Tally;
  readonly owner: ResponsesOwner;
}

export class Http2Responses implements Http2ResponseEvents {
  readonly #connection: Http2Connection<Http2Exchange>;
  readonly #endings: Http2Endings;
  readonly #tally: Http2Tally;
  readonly #owner: ResponsesOwner;
  /** When what is being read of an upstream came. */
  #turnMs = 0;

  constructor({ connection, endings, tally, owner }: ResponsesOptions) {
    this.#connection = connection;
    this.#endings = endings;
    this.#tally = tally;
    this.#owner = owner;
  }

  /** Before anything of what one read brought. */
  turnBegan(nowMs: number): void {
    this.#turnMs = nowMs;
  }

  onResponseHead(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    const head = facts.responseHead;
    if (head === null) return;
    this.#moved(exchange);
    exchange.life.bytesOut += head.byteLength;
    this.#connection.relayHeaders(exchange.downstream, facts);
    if (head.isInformational) {
      // The upstream is at it: until now it was not the client who was waited for.
      exchange.pace?.restart(this.#turnMs);
      exchange.isContinueAwaited = false;
      return;
    }
    exchange.isResponseStarted = true;
    exchange.life.status = head.status;
    exchange.life.responseSource = 'upstream';
    if (!facts.isEndStream) return;
    if (exchange.head.isGrpc) exchange.life.grpcStatus = grpcStatusIn(facts.fields);
    this.#endings.complete(exchange);
  }

  onResponseData(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    const { bytes, start, end, isEndStream } = facts;
    this.#moved(exchange);
    exchange.life.bytesOut += end - start;
    const left = this.#connection.sendData(exchange.downstream, bytes, { start, end, isEndStream });
    this.#credit(exchange, exchange.downstream.isClosed ? end - start : left);
    if (isEndStream) this.#endings.complete(exchange);
  }

  onResponseTrailers(exchange: Http2Exchange, facts: EventFacts<Http2Exchange>): void {
    this.#moved(exchange);
    if (exchange.head.isGrpc) exchange.life.grpcStatus = grpcStatusIn(facts.fields);
    this.#connection.relayHeaders(exchange.downstream, facts);
    this.#endings.complete(exchange);
  }

  onResponseReset(exchange: Http2Exchange, errorCode: number): void {
    this.#endings.reset(exchange, errorCode, 'upstream-reset');
  }

  onResponseFault(exchange: Http2Exchange, fault: Fault, cause: Cause | null): void {
    exchange.life.cause = cause;
    this.#tally.reset(exchange, 'proxy', fault);
    this.#endings.giveUp(exchange, fault);
  }

  onRequestSent(exchange: Http2Exchange, byteCount: number): void {
    this.#moved(exchange);
    this.#connection.credit(exchange.downstream, byteCount);
  }

  /** Content of the response has left to the client. */
  sent(exchange: Http2Exchange, byteCount: number): void {
    this.#credit(exchange, byteCount);
    this.#endings.responseLeft(exchange);
  }

  #credit(exchange: Http2Exchange, byteCount: number): void {
    if (exchange.upstream !== null) exchange.connection?.credit(exchange.upstream, byteCount);
  }

  #moved(exchange: Http2Exchange): void {
    this.#owner.moved(this.#turnMs);
    exchange.lastMoveMs = this.#turnMs;
  }
}
