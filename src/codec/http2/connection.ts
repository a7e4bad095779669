/**
 * hot path
 *
 * One HTTP/2 connection, sans-I/O, in either role: bytes in, events out, frames to send gathered for
 * one write. It keeps every rule of RFC 9113 that concerns one connection: stream states, both windows
 * of every stream, settings, errors, the abuse budget. It never decides anything about a request,
 * never connects, never reads a clock. PING, SETTINGS and unknown frames are dealt with inside.
 *
 *     receive(chunk, nowMs) → next() → event … next() → NEED_MORE → take() → socket
 */

import { ConnectionState, type Http2ConnectionOptions, NOTHING } from './connection_state.ts';
import {
  receiveGoAway,
  receivePing,
  receivePriority,
  receiveReset,
  receiveSettings,
  receiveUnknown,
  receiveWindowUpdate,
} from './control_frames.ts';
import { FAULT, type Http2Event, NEED_MORE, SENT } from './event.ts';
import type { EventFacts } from './event_facts.ts';
import { areSendable } from './field_kind.ts';
import {
  CLIENT_PREFACE,
  ERROR_CODES,
  FLAG_ACK,
  FRAME_CONTINUATION,
  FRAME_GOAWAY,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_PRIORITY,
  FRAME_PUSH_PROMISE,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
  UINT31_MAX,
  WINDOW_BYTES_DEFAULT,
} from './frame.ts';
import { READ_BAD_PADDING, READ_DATA, READ_MORE, READ_TOO_LONG } from './frame_reader.ts';
import type { FieldSource } from './frame_writer.ts';
import { receiveContinuation, receiveData, receiveHeaders } from './message_frames.ts';
import { ownSettings } from './settings.ts';
import type { Http2Stream } from './stream.ts';

/** What our pings carry; they are told apart by their number, not by this. */
const NO_CONTENT: Buffer = Buffer.alloc(0);
const PING_OPAQUE: Buffer = Buffer.from('sallypor', 'latin1');

export class Http2Connection<Context> {
  /** Of the event that `next` gave last. */
  readonly facts: EventFacts<Context>;
  readonly #state: ConnectionState<Context>;
  #prefaceLeft = 0;

  /** The preface and SETTINGS are written at once: `take()` them as soon as there is a socket. */
  constructor(options: Http2ConnectionOptions) {
    const { role, limits } = options;
    this.#state = new ConnectionState<Context>(options);
    this.facts = this.#state.facts;
    const { writer, window } = this.#state;
    if (role === 'client') writer.writePreface();
    else this.#prefaceLeft = CLIENT_PREFACE.length;
    writer.writeSettings(ownSettings(role, limits, this.#state.streamWindowBytes));
    const increment = limits.h2ConnectionWindowBytes - WINDOW_BYTES_DEFAULT;
    if (increment > 0) writer.writeWindowUpdate(0, increment);
    window.resize(Math.max(limits.h2ConnectionWindowBytes, WINDOW_BYTES_DEFAULT));
  }

  /** Only after `next` said NEED_MORE; what comes after FAULT is not looked at. `nowMs` never goes back. */
  receive(chunk: Buffer, nowMs: number): void {
    if (this.#state.isDead) return;
    this.#state.nowMs = nowMs;
    const rest = this.#prefaceLeft > 0 ? this.#receivePreface(chunk) : chunk;
    this.#state.reader.feed(rest);
  }

  next(): Http2Event {
    const state = this.#state;
    if (state.isDead) return FAULT;
    for (;;) {
      if (state.sender.hasTurns && this.#flush()) return SENT;
      const outcome = state.reader.next();
      if (outcome === READ_MORE) return NEED_MORE;
      let event: Http2Event | typeof NOTHING;
      if (outcome === READ_DATA) event = this.#receiveData();
      else if (outcome === READ_TOO_LONG) {
        event = state.fail(ERROR_CODES.FRAME_SIZE_ERROR, 'h2-frame-size');
      } else if (outcome === READ_BAD_PADDING) {
        event = state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-padding');
      } else event = this.#receiveFrame();
      if (event !== NOTHING) return event;
    }
  }

  /** Bytes to write to the socket, in order. */
  take(): readonly Buffer[] {
    return this.#state.writer.take();
  }

  /** Bytes that `take` would give now. */
  get outputBytes(): number {
    return this.#state.writer.byteLength;
  }

  /**
   * What the oldest `take` gave (of those not told yet) is written: to be called once for each `take` that
   * gave something, such as by the callback of its last write. Frames that wait for a peer that does not
   * read are counted, and too many are abuse.
   */
  written(): void {
    this.#state.writer.written();
  }

  /** The same for all that was taken: the socket has nothing left to write. */
  flushed(): void {
    this.#state.writer.allWritten();
  }

  /** Half of the frames that may wait for a peer that does not read are waiting: send it no more. */
  get isCongested(): boolean {
    const { writer, limits } = this.#state;
    return writer.frameCount * 2 >= limits.h2QueuedFrameCountMax;
  }

  /** Content that waits for the peer's windows, of all streams, and what is here of a head that is not whole. */
  get heldBytes(): number {
    const { sender, block, reader } = this.#state;
    return sender.waitingBytes + block.heldBytes + reader.heldBytes;
  }

  get streamCount(): number {
    return this.#state.streams.size;
  }

  /** Of all streams that were ever open. */
  get openedCount(): number {
    return this.#state.openedCount;
  }

  /** Of streams that were refused for their number: no event tells of them. */
  get refusedCount(): number {
    return this.#state.refusedCount;
  }

  get lastStreamId(): number {
    return this.#state.lastStreamId;
  }

  /** False for longer than h2SettingsTimeoutMs: close with SETTINGS_TIMEOUT. */
  get areSettingsAcknowledged(): boolean {
    return this.#state.areSettingsAcknowledged;
  }

  /** The client's preface and SETTINGS, or the upstream's SETTINGS, have come. */
  get isGreeted(): boolean {
    return this.#state.areSettingsReceived;
  }

  /** A header block, or a frame other than DATA, has begun and is not whole: headTimeoutMs applies. */
  get isInHead(): boolean {
    return this.#state.block.openStreamId !== 0 || this.#state.reader.isCollecting;
  }

  /** Of all streams that are open, in the order in which they were opened. */
  streams(): readonly Http2Stream<Context>[] {
    return this.#state.streams.all();
  }

  stream(streamId: number): Http2Stream<Context> | null {
    return this.#state.streams.get(streamId);
  }

  // Client role.

  /** Whether `streamId` may be opened now: as many as the peer takes, numbers that rise, no GOAWAY. */
  canOpenStream(streamId: number): boolean {
    const { streams, sender, limits, lastStreamId, isGoAwayReceived, isDead } = this.#state;
    const countMax = Math.min(sender.peer.concurrentStreamsMax, limits.h2StreamCountMax);
    return (
      !isDead &&
      !isGoAwayReceived &&
      streams.size < countMax &&
      streamId > lastStreamId &&
      (streamId & 1) === 1
    );
  }

  /** Only when `canOpenStream`. Its head is to be sent before that of any other. */
  openStream(streamId: number, isHeadRequest: boolean): Http2Stream<Context> {
    if (!this.canOpenStream(streamId)) throw new Error('a stream that may not be opened');
    const stream = this.#state.addStream(streamId);
    stream.isHeadRequest = isHeadRequest;
    return stream;
  }

  // Either role. On a stream that is closed all of them do nothing.

  /** A head (`Http2RequestHead.source`, or `:status` first) or trailers. */
  sendHeaders(stream: Http2Stream<Context>, source: FieldSource, isEndStream: boolean): void {
    this.#state.sender.sendHeaders(stream, source, isEndStream);
    this.#state.closeIfEnded(stream);
  }

  /** Trailers and the end; only the end when none are left of them. */
  sendTrailers(stream: Http2Stream<Context>, source: FieldSource): void {
    if (source.fields.length > source.from) this.sendHeaders(stream, source, true);
    else this.sendData(stream, NO_CONTENT, { start: 0, end: 0, isEndStream: true });
  }

  /**
   * A response head of our own. `fields` are flat, names in lower case. Throws on a field that no response
   * may have: that is a bug of ours, and nothing of it may reach the wire.
   */
  respond(
    stream: Http2Stream<Context>,
    response: {
      readonly status: number;
      readonly fields: readonly string[];
      readonly isEndStream: boolean;
    },
  ): void {
    if (!areSendable(response.fields)) throw new Error('a reply with a field that none may have');
    const fields = [':status', String(response.status), ...response.fields];
    this.sendHeaders(stream, { fields, kinds: null, from: 0 }, response.isEndStream);
  }

  /**
   * The response head or trailers that `from` has just told of, to `stream` of this connection: as the
   * block that came when it means the same to anyone, else encoded anew.
   */
  relayHeaders(stream: Http2Stream<Context>, from: EventFacts<unknown>): void {
    const { bytes, start, end, isEndStream, fields, kinds } = from;
    if (fields.length === 0) {
      this.sendTrailers(stream, { fields, kinds, from: 0 });
      return;
    }
    const { sender } = this.#state;
    const isSent =
      from.isBlockSelfContained && sender.sendBlock(stream, bytes, { start, end, isEndStream });
    if (!isSent) sender.sendHeaders(stream, { fields, kinds, from: 0 }, isEndStream);
    this.#state.closeIfEnded(stream);
  }

  /**
   * Gives how many bytes left now: credit them on the other side. The rest is copied and waits for the
   * peer's window; SENT tells when it leaves.
   */
  sendData(
    stream: Http2Stream<Context>,
    content: Buffer,
    bounds: { readonly start: number; readonly end: number; readonly isEndStream: boolean },
  ): number {
    const { sender, budget } = this.#state;
    const frameCount = sender.dataFrameCount;
    const left = sender.sendData(stream, content, bounds);
    budget.noteDataSent(sender.dataFrameCount - frameCount);
    this.#state.closeIfEnded(stream);
    return left;
  }

  /** An upstream has answered a stream to its end: that speaks for the client whose streams are reset. */
  noteAnswered(): void {
    this.#state.budget.noteAnswered();
  }

  /** Drops what waits, and credits what was received and not credited. */
  resetStream(stream: Http2Stream<Context>, errorCode: number): void {
    this.#state.reset(stream, errorCode);
  }

  /**
   * The same after an answer of ours to what was malformed (RFC 9113 8.1.1). A client that still sends keeps the
   * answer: it is only told to stop (8.1). Others have it whole, so that the code, which they still get, tells why.
   */
  resetAnswered(stream: Http2Stream<Context>, errorCode: number): void {
    if (!stream.isRemoteEnded) this.resetStream(stream, ERROR_CODES.NO_ERROR);
    else if (!stream.isClosed) this.resetStream(stream, errorCode);
    else if (errorCode !== ERROR_CODES.NO_ERROR) {
      this.#state.writer.writeReset(stream.id, errorCode);
    }
  }

  /** `byteCount` of the content that DATA events gave have left: the peer may send as much again. */
  credit(stream: Http2Stream<Context>, byteCount: number): void {
    this.#state.credit(stream, byteCount);
  }

  /** The same for all that was not credited yet: its other side is gone. */
  discard(stream: Http2Stream<Context>): void {
    this.#state.discard(stream);
  }

  /** PING_ACKED tells of the answer, when none is awaited any more. */
  ping(): void {
    this.#state.pingsAwaited++;
    this.#state.writer.writePing(0, PING_OPAQUE, 0);
  }

  /** First half of a graceful end (6.8): "no more", while streams on their way are still served. */
  beginDrain(): void {
    this.#state.writer.writeGoAway(UINT31_MAX, ERROR_CODES.NO_ERROR);
  }

  /** Second half, a round trip later: what comes now is refused. Close when `streamCount` is 0. */
  endDrain(): void {
    const state = this.#state;
    state.servedStreamIdMax = state.lastStreamId;
    state.writer.writeGoAway(state.lastStreamId, ERROR_CODES.NO_ERROR);
  }

  /** An end of our own making; nothing is received any more. */
  goAway(errorCode: number): void {
    this.#state.end(errorCode);
  }

  #receivePreface(chunk: Buffer): Buffer {
    const at = CLIENT_PREFACE.length - this.#prefaceLeft;
    const length = Math.min(this.#prefaceLeft, chunk.length);
    if (CLIENT_PREFACE.compare(chunk, 0, length, at, at + length) !== 0) {
      this.#state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-preface');
    }
    this.#prefaceLeft -= length;
    return chunk.subarray(length);
  }

  #flush(): boolean {
    const { sender, budget, facts } = this.#state;
    const frameCount = sender.dataFrameCount;
    const stream = sender.flush();
    if (stream === null) return false;
    budget.noteDataSent(sender.dataFrameCount - frameCount);
    facts.stream = stream;
    facts.byteCount = sender.flushedBytes;
    facts.isEndStream = stream.isLocalEnded;
    this.#state.closeIfEnded(stream);
    return true;
  }

  #receiveData(): Http2Event | typeof NOTHING {
    const state = this.#state;
    if (!state.areSettingsReceived || state.block.openStreamId !== 0) return this.#interloper();
    return receiveData(state);
  }

  #receiveFrame(): Http2Event | typeof NOTHING {
    const state = this.#state;
    const { reader, block, writer, limits } = state;
    const isFirst = !state.areSettingsReceived;
    const isExpected = isFirst
      ? reader.type === FRAME_SETTINGS && (reader.flags & FLAG_ACK) === 0
      : block.openStreamId === 0 ||
        (reader.type === FRAME_CONTINUATION && reader.streamId === block.openStreamId);
    if (!isExpected) return this.#interloper();
    const event = this.#dispatch(reader.type);
    if (state.isDead) return event;
    if (writer.controlFrameCount > limits.h2ControlFrameCountMax) {
      return state.abuse('h2-answers-unread');
    }
    if (writer.frameCount - writer.contentFrameCount > limits.h2QueuedFrameCountMax) {
      return state.abuse('h2-frames-unread');
    }
    return event;
  }

  #dispatch(type: number): Http2Event | typeof NOTHING {
    const state = this.#state;
    switch (type) {
      case FRAME_HEADERS:
        return receiveHeaders(state);
      case FRAME_CONTINUATION:
        return receiveContinuation(state);
      case FRAME_WINDOW_UPDATE:
        return receiveWindowUpdate(state);
      case FRAME_RST_STREAM:
        return receiveReset(state);
      case FRAME_SETTINGS:
        return receiveSettings(state);
      case FRAME_PING:
        return receivePing(state);
      case FRAME_GOAWAY:
        return receiveGoAway(state);
      case FRAME_PRIORITY:
        return receivePriority(state);
      case FRAME_PUSH_PROMISE:
        return state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-push');
      default:
        return receiveUnknown(state);
    }
  }

  /** RFC 9113 3.4, 6.10: something where only SETTINGS, or only CONTINUATION, may stand. */
  #interloper(): Http2Event {
    const detail = this.#state.areSettingsReceived ? 'h2-in-block' : 'h2-settings-missing';
    return this.#state.fail(ERROR_CODES.PROTOCOL_ERROR, detail);
  }
}
