/**
 * hot path
 *
 * The facts of one HTTP/1.1 exchange while it lasts: the request, how much of it and of its response
 * has passed, and what must happen when it is over. Plain state; `relay.ts` owns the control
 * flow.
 */
import type { Http1RequestHead } from '../../codec/http1/request_head.ts';
import type { Http1ResponseHead } from '../../codec/http1/response_head.ts';
import type { Decision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import type { Limits } from '../../model/limits.ts';
import type { Permit } from '../../model/permit.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { ReplyContext } from '../request/local_reply.ts';
import type { RequestLife } from '../request/request_life.ts';

export class Http1Exchange {
  readonly head: Http1RequestHead;
  readonly life: RequestLife;
  /**
   * Content on a method that has none by default (RFC 9110 9.3): origins that do not read it take it for
   * their next request, which nobody has judged. They are told that none follows.
   */
  readonly isContentOdd: boolean;
  retryCount = 0;
  /** By which it was judged last. */
  judgedBy: PolicySnapshot | null = null;
  /** Of that; null until it is admitted. */
  permit: Permit | null = null;
  /** For its upstream connection: nothing of it has been sent. */
  isWaiting = false;
  isRequestComplete = false;
  /** The client may be waiting for 100 (Continue) before its content: it is not late yet. */
  isContinueAwaited: boolean;
  /** The final response head has been sent downstream. */
  isResponseStarted = false;
  isResponseComplete = false;
  /** After this exchange both connections are closed. */
  isClosing = false;
  /** Answered here: what is left of the request is read and dropped. */
  isDiscarding = false;
  #discardedBytes = 0;

  constructor(head: Http1RequestHead, life: RequestLife) {
    this.head = head;
    this.life = life;
    life.head = head;
    life.bytesIn = head.byteLength;
    this.isClosing = !head.isPersistent;
    this.isContentOdd = hasOddContent(head);
    this.isContinueAwaited = head.expectsContinue;
  }

  /**
   * For a local reply. After it the connection is kept when the rest of the request is short and sure
   * to come.
   */
  replyContext({ discardedContentBytesMax }: Limits): ReplyContext {
    const { head } = this;
    this.isClosing ||= head.expectsContinue && head.framing !== 'none';
    this.isClosing ||= head.upgrade !== '';
    this.isClosing ||= head.contentLength > discardedContentBytesMax;
    return {
      isGrpc: head.isGrpc,
      isHeadMethod: head.method === 'HEAD',
      isClosing: this.isClosing,
      location: head.redirectTo,
    };
  }

  /** By which it goes on. */
  get decision(): Decision {
    const { decision } = this.life;
    if (decision === null) throw new Error('the request was not judged');
    return decision;
  }

  /** The upstream ended as the client had, without a response: nobody waits for a reply. */
  isUnanswered(fault: Fault): boolean {
    const isEnd = fault === 'upstream-closed' || fault === 'upstream-reset';
    return isEnd && this.isRequestComplete && !this.isResponseStarted;
  }

  /** Its content is owed, and nobody else may be the one who is waited for. */
  get isClientsTurn(): boolean {
    if (this.isRequestComplete || this.isContinueAwaited) return false;
    return !this.isResponseStarted && !this.head.isGrpc;
  }

  /** So many bytes wait behind an upgrade that nobody has accepted; before its end they are its content. */
  isTunnelTooEarly(byteLength: number, { earlyTunnelBytesMax }: Limits): boolean {
    const isWaiting = this.isRequestComplete && this.head.upgrade !== '';
    return isWaiting && byteLength > earlyTunnelBytesMax;
  }

  /** False: that is more than is read and dropped for the sake of the connection. */
  discard(byteLength: number, { discardedContentBytesMax }: Limits): boolean {
    this.#discardedBytes += byteLength;
    return this.#discardedBytes <= discardedContentBytesMax;
  }

  /** Why it is no answer to this request: what the parser of responses cannot know. */
  causeAgainst(response: Http1ResponseHead): Cause | null {
    // RFC 9110 7.8: only to the protocol that was asked for.
    if (response.status === 101) {
      const isAsked = this.isRequestComplete && response.upgrade === this.head.upgrade;
      return isAsked ? null : causeOf('switch-unasked');
    }
    // RFC 9112 6.1: a client of HTTP/1.0 cannot read it.
    const isReadable = this.head.version !== 'HTTP/1.0' || response.framing !== 'chunked';
    return isReadable ? null : causeOf('chunked-to-http10');
  }

  /** `response` is final; from here on the client has seen it. */
  beginResponse(
    response: Http1ResponseHead,
    state: { readonly isDraining: boolean; readonly isDownstreamEnded: boolean },
  ): void {
    const { head, life } = this;
    const { isDraining, isDownstreamEnded } = state;
    this.isResponseStarted = true;
    life.status = response.status;
    life.responseSource = 'upstream';
    if (response.status === 101) return;
    life.isHalfClosed = isDownstreamEnded && this.isRequestComplete;
    // A response before the end of its request leaves the connections in a state that no later
    // request may meet.
    this.isClosing ||= !this.isRequestComplete || !response.isPersistent || isDraining;
    this.isClosing ||= head.upgrade !== '' || response.framing === 'close';
    const grpcStatus = head.isGrpc ? response.field('grpc-status') : null;
    if (grpcStatus !== null && /^[0-9]{1,3}$/.test(grpcStatus)) {
      life.grpcStatus = Number(grpcStatus);
    }
  }

  /**
   * On a fresh connection, when not one byte came back on one that had worked before: RFC 9110 9.2.2, and
   * without content, so that nothing has to be kept to send it again.
   */
  mayRetry({ upstreamRetryCountMax }: Limits): boolean {
    const { head, life, retryCount } = this;
    if (life.isFinished || retryCount >= upstreamRetryCountMax) return false;
    return head.framing === 'none' && head.upgrade === '' && IDEMPOTENT.has(head.method);
  }
}

function hasOddContent({ framing, contentLength, method }: Http1RequestHead): boolean {
  return framing !== 'none' && contentLength !== 0 && WITHOUT_CONTENT.has(method);
}

const WITHOUT_CONTENT = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
