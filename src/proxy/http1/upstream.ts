/**
 * hot path
 *
 * The upstream-facing half of the HTTP/1.1 relay: one connection at a time, the requests that are sent
 * on it and the responses that are read from it. It tells what comes; what to do about it, retrying
 * among the rest, is the relay's to say.
 */
import { CONTENT, FAULT, HEAD, MESSAGE_END } from '../../codec/http1/events.ts';
import type { Http1ResponseHead } from '../../codec/http1/response_head.ts';
import { ResponseParser } from '../../codec/http1/response_parser.ts';
import { serialiseRequestHead } from '../../codec/http1/serialise.ts';
import { assert } from '../../model/contract.ts';
import type { Fault } from '../../model/fault.ts';
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import type { Permit } from '../../model/permit.ts';
import type { UpstreamConnectOutcome } from '../../model/record.ts';
import { admittedMutations } from '../judge/admission.ts';
import { GatheredWrite } from '../plane/gathered_write.ts';
import type { UpstreamContext } from '../request/relay.ts';
import { Tunnel, type TunnelEvents } from '../transport/tunnel.ts';
import { type UpstreamEvents, UpstreamLink } from '../transport/upstream_link.ts';
import type { Http1Exchange } from './exchange.ts';

export interface ResponseEvents {
  /** The connection that `connect` asked for is there: `send` may be called. */
  onUpstreamReady(): void;
  /** Before whatever the bytes turn out to be. */
  onUpstreamBytes(): void;
  /** May call `openTunnel` when it is a 101. */
  onResponseHead(head: Http1ResponseHead): void;
  onResponseContent(content: Buffer): void;
  onResponseEnd(): void;
  /** Bytes that are no response, or that nobody asked for. */
  onResponseFault(fault: Fault, cause: Cause | null): void;
  /** Gone in the middle of something, or before anything; also when it never was. */
  onUpstreamLost(fault: Fault, cause: Cause | null): void;
  /** Gone when no response was awaited. */
  onIdleUpstreamClosed(): void;
  /** There is room for content again. */
  onUpstreamRoom(): void;
}

export class Http1Upstream implements UpstreamEvents {
  readonly #context: UpstreamContext;
  readonly #events: ResponseEvents;
  #responses: ResponseParser;
  #link: UpstreamLink | null = null;
  /** To `#link`. */
  #out: GatheredWrite | null = null;
  #tunnel: Tunnel | null = null;
  #hasResponseBytes = false;
  /** Where the head of the request in hand stands in `#out`. */
  #headPosition = 0;

  constructor(context: UpstreamContext, events: ResponseEvents) {
    this.#context = context;
    this.#events = events;
    this.#responses = this.#newResponses();
  }

  /** What was written and the upstream has not taken, and what came of a head or of trailers that are not whole. */
  get keptBytes(): number {
    const unsent = this.#link === null ? 0 : this.#link.socket.writableLength;
    return unsent + this.#responses.heldBytes;
  }

  /** When the attempt to connect that is still going on began; null when there is none. */
  get connectingSinceMs(): number | null {
    return this.#link === null || this.#link.isConnected ? null : this.#link.startedMs;
  }

  /**
   * The request in hand is not the first one on its connection, and not one byte has come back: the
   * connection may have been closed before the request was read (RFC 9112 9.3.1).
   */
  get isStale(): boolean {
    return this.#link !== null && this.#link.requestCount > 1 && !this.#hasResponseBytes;
  }

  // --- to the upstream

  get isConnected(): boolean {
    return this.#link?.isConnected === true;
  }

  /** Not a byte is sent before `send`. */
  connect(exchange: Http1Exchange): void {
    this.#link ??= this.#connect(permitOf(exchange));
  }

  /**
   * What was judged is what is sent: the bytes that were read when they say just that. Only when connected.
   * Throws, and sends nothing, when a rule's change cannot be made.
   */
  send(exchange: Http1Exchange): void {
    const link = this.#link;
    assert(link?.isConnected === true, 'a request is sent when its upstream is connected');
    permitOf(exchange);
    const { head, isContentOdd: isClosing } = exchange;
    const mutations = admittedMutations(exchange.decision);
    const isAsRead = head.isCanonical && mutations.length === 0 && !isClosing;
    const bytes = isAsRead ? head.raw : serialiseRequestHead(head, mutations, { isClosing });
    const { downstream, plane, guard } = this.#context;
    const { turnWrites } = plane;
    this.#out ??= new GatheredWrite(link.socket, { source: downstream, turn: turnWrites, guard });
    link.requestCount += 1;
    this.#hasResponseBytes = false;
    this.#responses.begin(head.method, head.upgrade !== '');
    this.#headPosition = this.#out.position;
    this.#out.write(bytes);
  }

  write(content: Buffer): void {
    this.#out?.write(content);
  }

  /** A FIN follows what was sent: no request comes after it. Responses are still read. */
  endRequests(): void {
    this.#out?.flush();
    this.#link?.socket.end();
  }

  pause(): void {
    this.#link?.socket.pause();
  }

  resume(): void {
    if (this.#tunnel === null) this.#link?.socket.resume();
  }

  /** After a 101; bytes that came with it go first. Null when the connection is gone. */
  openTunnel(events: TunnelEvents): Tunnel | null {
    if (this.#link === null) return null;
    this.#out?.flush();
    // The one that there was holds the head of the 101, for as long as the tunnel lasts.
    this.#responses = this.#newResponses();
    const { downstream, guard } = this.#context;
    this.#tunnel = new Tunnel(downstream, this.#link.socket, { events, guard });
    return this.#tunnel;
  }

  /** Ends the connection; the next request gets another one. With a reset when something was cut short. */
  drop(how: 'close' | 'reset'): void {
    const link = this.#link;
    if (link === null) return;
    this.#link = null;
    const out = this.#out;
    this.#out = null;
    this.#responses = this.#newResponses();
    if (how === 'close') link.destroy();
    else link.reset();
    out?.discard();
  }

  countConnect(outcome: UpstreamConnectOutcome): void {
    const { meta, recorder, clock } = this.#context;
    const startedMs = this.#link?.startedMs ?? clock.nowMs();
    recorder.events.upstreamConnected(meta.listener, outcome, clock.nowMs() - startedMs);
  }

  // --- from the upstream

  onUpstreamConnected(): void {
    this.countConnect('connected');
    this.#events.onUpstreamReady();
  }

  onUpstreamDrain(): void {
    if (this.#tunnel === null) this.#events.onUpstreamRoom();
  }

  onUpstreamData(chunk: Buffer): void {
    this.#events.onUpstreamBytes();
    if (this.#tunnel !== null) {
      this.#tunnel.fromUpstream(chunk);
      return;
    }
    if (this.#isRequestUnsent()) {
      this.#events.onUpstreamLost('unsolicited-response', causeOf('response-early'));
      return;
    }
    this.#hasResponseBytes = true;
    this.#read(chunk);
  }

  #read(chunk: Buffer): void {
    const responses = this.#responses;
    const link = this.#link;
    let offset = 0;
    // Each event may drop the connection: then the rest of the chunk is nobody's.
    while (this.#link === link) {
      const event = responses.next(chunk, offset);
      offset = responses.offset;
      if (event === HEAD) this.#events.onResponseHead(responses.head);
      else if (event === CONTENT) this.#events.onResponseContent(responses.content);
      else if (event === MESSAGE_END) this.#events.onResponseEnd();
      else {
        if (event === FAULT) this.#events.onResponseFault(responses.fault, responses.cause);
        return;
      }
      if (this.#tunnel !== null) {
        if (offset < chunk.length) this.#tunnel.fromUpstream(chunk.subarray(offset));
        return;
      }
    }
  }

  onUpstreamEnd(): void {
    if (this.#tunnel !== null) {
      this.#tunnel.upstreamEnded();
      return;
    }
    const event = this.#responses.finish();
    if (event === MESSAGE_END) this.#events.onResponseEnd();
    else if (event === FAULT) this.#events.onUpstreamLost(this.#responses.fault, null);
    else this.#events.onIdleUpstreamClosed();
  }

  onUpstreamFailed(cause: Cause | null): void {
    if (this.#tunnel !== null) {
      this.#tunnel.fail();
    } else if (this.connectingSinceMs !== null) {
      this.countConnect('failed');
      this.#events.onUpstreamLost('connect-failed', cause);
    } else if (this.#responses.isIdle) {
      this.#events.onIdleUpstreamClosed();
    } else {
      this.#events.onUpstreamLost('upstream-reset', null);
    }
  }

  /** What comes before it was sent is no answer to it (RFC 9112 9.2), though it is read in the same turn. */
  #isRequestUnsent(): boolean {
    return !this.#responses.isIdle && this.#out?.isFlushed(this.#headPosition) === false;
  }

  #connect(permit: Permit): UpstreamLink {
    const { meta, clock, plane, guard } = this.#context;
    const { bufferBytesMax } = plane.options.limits;
    return new UpstreamLink(permit, meta, {
      sockets: plane.options.sockets,
      events: this,
      nowMs: clock.nowMs(),
      bufferBytesMax,
      readMemory: plane.readMemory,
      guard,
      currentSnapshot: plane.options.currentSnapshot,
    });
  }

  #newResponses(): ResponseParser {
    return new ResponseParser(this.#context.plane.parsing);
  }
}

/** Throws for what nobody has admitted: nothing of it goes anywhere. */
function permitOf({ permit }: Http1Exchange): Permit {
  assert(permit !== null, 'what is sent was admitted');
  return permit;
}
