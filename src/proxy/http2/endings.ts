/**
 * hot path
 *
 * How an HTTP/2 exchange ends: complete, cancelled by the client, given up by the upstream or answered by
 * us. Each way leaves both streams closed, all credit returned and one record made. Never decides.
 */
import type { Http2Connection } from '../../codec/http2/connection.ts';
import { ERROR_CODES } from '../../codec/http2/frame.ts';
import type { Http2Stream } from '../../codec/http2/stream.ts';
import { FAULTS, type Fault } from '../../model/fault.ts';
import { type OwnResetCause, resetCauseOf } from '../../model/stream_reset.ts';
import { faultReply, type LocalReply } from '../request/local_reply.ts';
import type { RequestLife } from '../request/request_life.ts';
import type { Http2Exchange } from './exchange.ts';
import type { Http2Tally } from './tally.ts';

export class Http2Endings {
  readonly #connection: Http2Connection<Http2Exchange>;
  /** It may wait to be opened upstream; that is over. */
  readonly #leaveQueue: (exchange: Http2Exchange) => void;
  readonly #tally: Http2Tally;

  constructor(
    connection: Http2Connection<Http2Exchange>,
    options: {
      readonly leaveQueue: (exchange: Http2Exchange) => void;
      readonly tally: Http2Tally;
    },
  ) {
    this.#connection = connection;
    this.#leaveQueue = options.leaveQueue;
    this.#tally = options.tally;
  }

  /**
   * The response is whole. RFC 9113 8.1: then the rest of the request is not wanted, which upstream and
   * client are told with NO_ERROR; the client not before the last byte of the response has left.
   */
  complete(exchange: Http2Exchange): void {
    exchange.isResponseEnded = true;
    this.#connection.noteAnswered();
    // What of the request still waits for the upstream's window goes nowhere, ended or not.
    if (exchange.upstream !== null && !exchange.upstream.isClosed) {
      this.#dropUpstream(exchange, ERROR_CODES.NO_ERROR, 'response-complete');
      this.#connection.discard(exchange.downstream);
    }
    this.responseLeft(exchange);
  }

  /** Something of the response has left: perhaps its end. */
  responseLeft(exchange: Http2Exchange): void {
    const { downstream, life } = exchange;
    if (!exchange.isResponseEnded || !downstream.isLocalEnded) return;
    if (!downstream.isClosed) {
      this.#tally.reset(exchange, 'proxy', 'response-complete');
      this.#connection.resetStream(downstream, ERROR_CODES.NO_ERROR);
    }
    life.finish(null);
  }

  /** The client ended it: the upstream stream goes, too, with the same code. */
  cancel(exchange: Http2Exchange, errorCode: number): void {
    this.#tally.reset(exchange, 'downstream', resetCauseOf(errorCode));
    this.#dropUpstream(exchange, errorCode, 'downstream-reset');
    exchange.life.finish('downstream-reset');
  }

  /** The client broke a rule of its stream. */
  refuse(exchange: Http2Exchange, fault: Fault): void {
    this.#tally.reset(exchange, 'proxy', fault);
    this.#dropUpstream(exchange, ERROR_CODES.CANCEL, fault);
    exchange.life.finish(fault);
  }

  /** The upstream reset it. Passed on: REFUSED_STREAM, CANCEL and NO_ERROR mean something to the client. */
  reset(exchange: Http2Exchange, errorCode: number, fault: Fault): void {
    this.#connection.discard(exchange.downstream);
    // A whole response that waits for the client's window is not lost by what comes after it.
    if (exchange.isResponseEnded) return;
    this.#tally.reset(exchange, 'upstream', resetCauseOf(errorCode));
    this.#connection.resetStream(exchange.downstream, errorCode);
    exchange.life.finish(fault);
  }

  /** The upstream failed: a clear end for the client, an answer if none was begun. */
  giveUp(exchange: Http2Exchange, fault: Fault): void {
    if (exchange.life.isFinished) return;
    if (exchange.isResponseEnded) {
      this.#connection.discard(exchange.downstream);
    } else if (exchange.isResponseStarted || FAULTS[fault].status === 0) {
      this.abort(exchange, fault === 'upstream-closed' ? 'upstream-truncated' : fault);
    } else {
      this.answerFault(exchange, fault);
    }
  }

  /** Both streams are reset, whatever has been sent. */
  abort(exchange: Http2Exchange, fault: Fault): void {
    this.#tally.reset(exchange, 'proxy', fault);
    this.#dropUpstream(exchange, ERROR_CODES.CANCEL, fault);
    const { ENHANCE_YOUR_CALM, INTERNAL_ERROR } = ERROR_CODES;
    const errorCode = fault === 'overloaded' ? ENHANCE_YOUR_CALM : INTERNAL_ERROR;
    this.#connection.resetStream(exchange.downstream, errorCode);
    this.#connection.discard(exchange.downstream);
    exchange.life.finish(fault);
  }

  answerFault(exchange: Http2Exchange, fault: Fault): void {
    this.answer(exchange, faultReply(fault, replyContext(exchange)), fault);
  }

  /** The caller resets the stream. */
  answerMalformed(exchange: Http2Exchange, fault: Fault): void {
    this.#tally.reset(exchange, 'proxy', fault);
    this.#dropUpstream(exchange, ERROR_CODES.CANCEL, fault);
    this.#connection.discard(exchange.downstream);
    exchange.isResponseStarted = true;
    exchange.isResponseEnded = true;
    const { downstream, life, head } = exchange;
    const reply = faultReply(fault, replyContext(exchange));
    this.respond(downstream, life, { reply, isHeadMethod: head.method === 'HEAD' });
    life.finish(fault);
  }

  /** `fault` null: a denial. */
  answer(exchange: Http2Exchange, reply: LocalReply, fault: Fault | null): void {
    this.#dropUpstream(exchange, ERROR_CODES.CANCEL, fault ?? 'response-complete');
    this.#connection.discard(exchange.downstream);
    exchange.isResponseStarted = true;
    exchange.isResponseEnded = true;
    const { downstream, life, head } = exchange;
    this.respond(downstream, life, { reply, isHeadMethod: head.method === 'HEAD' });
    // On record whether the client reads it or not.
    life.finish(fault);
    this.responseLeft(exchange);
  }

  respond(
    stream: Http2Stream<Http2Exchange>,
    life: RequestLife,
    options: { readonly reply: LocalReply; readonly isHeadMethod: boolean },
  ): void {
    const { reply, isHeadMethod } = options;
    const { status, fields, body } = reply;
    const hasBody = body.length > 0 && !isHeadMethod;
    life.answered(reply, hasBody ? body.length : 0);
    this.#connection.respond(stream, { status, fields, isEndStream: !hasBody });
    if (!hasBody) return;
    this.#connection.sendData(stream, body, { start: 0, end: body.length, isEndStream: true });
  }

  #dropUpstream(exchange: Http2Exchange, errorCode: number, cause: OwnResetCause): void {
    const { upstream, connection } = exchange;
    exchange.held = null;
    exchange.heldTrailers = null;
    if (upstream === null || connection === null) {
      this.#leaveQueue(exchange);
      return;
    }
    if (!upstream.isClosed) this.#tally.reset(exchange, 'proxy', cause);
    connection.resetStream(upstream, errorCode);
    // Closed by a normal end it may still owe the credit of what waits for the client.
    connection.discard(upstream);
  }
}

export function replyContext(exchange: Http2Exchange) {
  return {
    isGrpc: exchange.head.isGrpc,
    isHeadMethod: exchange.head.method === 'HEAD',
    isClosing: false,
    location: exchange.head.redirectTo,
  };
}
