/**
 * What the parts of a connection share: its streams, windows, budget and writer, and the few steps
 * (close, reset, credit, fail) that keep them in step with each other. `connection.ts` is its face.
 */
import type { Fault } from '../../model/fault.ts';
import { type Cause, causeOf, type Detail, upstreamFaultOf } from '../../model/fault_detail.ts';
import type { UnderscoreAction } from '../../model/field_alias.ts';
import type { Limits } from '../../model/limits.ts';
import { NOTHING_SEEN } from '../../model/partial_request.ts';
import type { PathParameterAction } from '../../model/path_parameters.ts';
import {
  RESPONSE_TRAILERS,
  requestTrailers,
  type TrailerRule,
} from '../../model/trailer_fields.ts';
import { AbuseBudget } from './abuse_budget.ts';
import {
  CLOSED_BY_END,
  CLOSED_BY_PEER,
  CLOSED_BY_US,
  ClosedStreams,
  type Closure,
} from './closed_streams.ts';
import { FAULT, type Http2Event, MALFORMED, STREAM_ERROR } from './event.ts';
import { EventFacts } from './event_facts.ts';
import {
  ERROR_CODES,
  HEADER_TABLE_BYTES_DEFAULT,
  UINT31_MAX,
  WINDOW_BYTES_DEFAULT,
} from './frame.ts';
import { FrameReader } from './frame_reader.ts';
import { FrameWriter } from './frame_writer.ts';
import { HeaderBlock } from './header_block.ts';
import { type HpackBounds, HpackDecoder } from './hpack_decoder.ts';
import { ReceiveWindow } from './receive_window.ts';
import { RequestRules } from './request_rules.ts';
import { SendSide } from './send_side.ts';
import { ownHeaderTableBytes, type Role } from './settings.ts';
import type { SlabPool } from './slab_pool.ts';
import { Http2Stream } from './stream.ts';
import { StreamTable } from './stream_table.ts';

/** A frame was dealt with and there is nothing to tell. */
export const NOTHING = -1;

export interface Http2ConnectionOptions {
  /** `server` towards downstream, `client` towards upstream. */
  readonly role: Role;
  readonly limits: Limits;
  /** One for all connections of a worker. */
  readonly pool: SlabPool;
  readonly isPathNormalised: boolean;
  /** Of requests; by default allow. */
  readonly underscores?: UnderscoreAction;
  /** By default kept. */
  readonly pathParameters?: PathParameterAction;
  /** Of each stream that the peer may send on; by default h2StreamWindowBytes. */
  readonly streamWindowBytes?: number;
}

export class ConnectionState<Context> {
  readonly role: Role;
  readonly limits: Limits;
  /** What we announce for streams. */
  readonly streamWindowBytes: number;
  readonly facts = new EventFacts<Context>();
  readonly reader = new FrameReader();
  readonly block: HeaderBlock;
  readonly decoder: HpackDecoder;
  readonly rules: RequestRules;
  readonly sender: SendSide<Context>;
  readonly writer: FrameWriter;
  readonly budget: AbuseBudget;
  readonly streams = new StreamTable<Http2Stream<Context>>();
  readonly closed: ClosedStreams;
  /** What the peer may still send on the whole connection. */
  readonly window = new ReceiveWindow(WINDOW_BYTES_DEFAULT);
  readonly headBounds: HpackBounds;
  readonly trailerBounds: HpackBounds;
  /** Of the peer's; what rules looked at in the head is not known here. */
  readonly trailerRule: TrailerRule;
  nowMs = 0;
  areSettingsReceived = false;
  areSettingsAcknowledged = false;
  pingsAwaited = 0;
  /** The window that new streams give the peer: ours once it has acknowledged it. */
  streamWindow = WINDOW_BYTES_DEFAULT;
  /** The highest stream that was ever opened, by the peer or, in the client role, by us. */
  lastStreamId = 0;
  /** Of all that were ever open. */
  openedCount = 0;
  /** Those that never were, as there were too many or as it is over. */
  refusedCount = 0;
  /** After our last GOAWAY: streams above are refused. */
  servedStreamIdMax = UINT31_MAX;
  isGoAwayReceived = false;
  isDead = false;

  constructor(options: Http2ConnectionOptions) {
    const { role, limits } = options;
    this.role = role;
    this.limits = limits;
    this.streamWindowBytes = options.streamWindowBytes ?? limits.h2StreamWindowBytes;
    this.block = new HeaderBlock(limits);
    // A table smaller than the default is in force only once the peer has acknowledged it.
    const tableBytes = Math.max(HEADER_TABLE_BYTES_DEFAULT, ownHeaderTableBytes(role, limits));
    this.decoder = new HpackDecoder(tableBytes);
    this.rules = new RequestRules(options);
    this.writer = new FrameWriter(options.pool);
    this.sender = new SendSide<Context>(this.writer);
    this.budget = new AbuseBudget(limits);
    this.closed = new ClosedStreams(limits.h2ClosedStreamCountMax);
    const isServer = role === 'server';
    this.trailerRule = isServer
      ? requestTrailers([], options.underscores ?? 'allow')
      : RESPONSE_TRAILERS;
    this.headBounds = {
      listBytesMax: isServer ? limits.headBytesMax : limits.responseHeadBytesMax,
      fieldCountMax: isServer ? limits.headFieldCountMax : limits.responseFieldCountMax,
    };
    // Response trailers carry gRPC's status details, which are as large as heads.
    this.trailerBounds = isServer
      ? { listBytesMax: limits.trailerBytesMax, fieldCountMax: limits.trailerFieldCountMax }
      : this.headBounds;
  }

  addStream(streamId: number): Http2Stream<Context> {
    const windows = { receive: this.streamWindow, send: this.sender.peer.initialWindow };
    const stream = new Http2Stream<Context>(streamId, this.nowMs, windows);
    this.streams.add(stream);
    this.lastStreamId = streamId;
    this.openedCount++;
    this.budget.noteStreamOpened();
    return stream;
  }

  /** RFC 9113 5.1.1: neither opened nor skipped so far, or of a side that opens none. */
  isIdle(streamId: number): boolean {
    return streamId > this.lastStreamId || (streamId & 1) === 0;
  }

  /** Closes a stream of which both sides have ended; what it owes is still credited. */
  closeIfEnded(stream: Http2Stream<Context>): void {
    if (stream.isLocalEnded && stream.isRemoteEnded) this.#close(stream, CLOSED_BY_END);
  }

  closeByPeer(stream: Http2Stream<Context>): void {
    this.#close(stream, CLOSED_BY_PEER);
    this.discard(stream);
  }

  reset(stream: Http2Stream<Context>, errorCode: number): void {
    if (stream.isClosed) return;
    this.writer.writeReset(stream.id, errorCode);
    this.#close(stream, CLOSED_BY_US);
    this.discard(stream);
  }

  /**
   * `byteCount` of the content that the caller was given have left its hands. The connection's window was
   * freed when they came: what waits for the other side costs its own stream, and none of the others.
   */
  credit(stream: Http2Stream<Context>, byteCount: number): void {
    const credited = Math.min(byteCount, stream.owedBytes);
    if (credited <= 0) return;
    stream.owedBytes -= credited;
    if (!stream.isClosed && !stream.isRemoteEnded) this.freeStream(stream, credited);
  }

  /** All that the caller was given and has not credited will go nowhere. */
  discard(stream: Http2Stream<Context>): void {
    this.credit(stream, stream.owedBytes);
  }

  freeConnection(byteCount: number): void {
    const increment = this.window.free(byteCount);
    if (increment > 0) this.writer.writeWindowUpdate(0, increment);
  }

  freeStream(stream: Http2Stream<Context>, byteCount: number): void {
    const increment = stream.receiveWindow.free(byteCount);
    if (increment > 0) this.writer.writeWindowUpdate(stream.id, increment);
  }

  /** The peer broke a rule of one stream: it is reset, and that costs the peer. */
  streamError(stream: Http2Stream<Context>, errorCode: number, detail: Detail): Http2Event {
    this.reset(stream, errorCode);
    if (!this.budget.countReset(this.nowMs)) return this.abuse('h2-many-resets');
    this.facts.stream = stream;
    this.facts.errorCode = errorCode;
    this.facts.cause = causeOf(detail);
    return STREAM_ERROR;
  }

  /** The message on a stream is malformed: the caller answers, then resets it. */
  malformed(stream: Http2Stream<Context>, cause: Cause): Http2Event {
    stream.isFaulty = true;
    this.discard(stream);
    const isCounted = this.role === 'client' || this.budget.countReset(this.nowMs);
    if (!isCounted) return this.abuse('h2-many-malformed');
    const fault = this.role === 'server' ? cause.fault : upstreamFaultOf(cause);
    this.facts.stream = stream;
    this.facts.fault = fault;
    this.facts.cause = cause;
    this.facts.partial = NOTHING_SEEN;
    // What has a status of its own was understood, and is refused rather than malformed.
    this.facts.errorCode = UNDERSTOOD.has(fault)
      ? ERROR_CODES.NO_ERROR
      : ERROR_CODES.PROTOCOL_ERROR;
    return MALFORMED;
  }

  /** The connection is lost: GOAWAY, and nothing more. */
  fail(errorCode: number, detail: Detail): Http2Event {
    this.facts.fault = this.role === 'server' ? 'http2-error' : 'upstream-http2-error';
    return this.#die(errorCode, detail);
  }

  /** The peer has spent its budget. */
  abuse(detail: Detail): Http2Event {
    this.facts.fault = this.role === 'server' ? 'http2-abuse' : 'upstream-http2-error';
    return this.#die(ERROR_CODES.ENHANCE_YOUR_CALM, detail);
  }

  /** Over, by no fault of the peer's messages. */
  end(errorCode: number): void {
    if (this.isDead) return;
    this.writer.writeGoAway(this.role === 'server' ? this.lastStreamId : 0, errorCode);
    this.isDead = true;
  }

  #die(errorCode: number, detail: Detail): Http2Event {
    this.end(errorCode);
    this.facts.errorCode = errorCode;
    this.facts.cause = causeOf(detail);
    return FAULT;
  }

  #close(stream: Http2Stream<Context>, closure: Closure): void {
    if (stream.isClosed) return;
    stream.isClosed = true;
    this.sender.forget(stream);
    this.streams.delete(stream.id);
    this.closed.add(stream.id, closure);
  }
}

const UNDERSTOOD: ReadonlySet<Fault> = new Set([
  // Of the whole head only these can hold what an honest client took for good: it is told so.
  'malformed-target',
  'malformed-host',
  'head-too-large',
  'target-too-long',
  'method-too-long',
  'connect-refused',
  'malformed-expect',
]);
