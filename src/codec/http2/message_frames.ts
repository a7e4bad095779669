/**
 * hot path
 *
 * HEADERS, CONTINUATION and DATA: the frames that carry messages (RFC 9113 6.1, 6.2, 6.10, 8.1). Each
 * function gives the event that the frame makes, or NOTHING.
 */
import { Cause, causeOf, type Detail } from '../../model/fault_detail.ts';
import { CLOSED_BY_END, CLOSED_BY_PEER, CLOSED_BY_US } from './closed_streams.ts';
import { type ConnectionState, NOTHING } from './connection_state.ts';
import { DATA, HEAD, type Http2Event, TRAILERS } from './event.ts';
import { ERROR_CODES, FLAG_END_STREAM } from './frame.ts';
import { BLOCK_MALFORMED, BLOCK_MORE, BLOCK_TOO_LARGE, type BlockOutcome } from './header_block.ts';
import {
  HPACK_MALFORMED,
  HPACK_TOO_LARGE,
  type HpackBounds,
  type HpackOutcome,
} from './hpack_decoder.ts';
import { isGrpcRequest, partialRequestOf } from './partial_request.ts';
import { readResponseHead } from './response_rules.ts';
import type { Http2Stream } from './stream.ts';
import { readTrailers } from './trailers.ts';

type Outcome = Http2Event | typeof NOTHING;

export function receiveHeaders<C>(state: ConnectionState<C>): Outcome {
  if (state.reader.streamId === 0) return state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-stream-zero');
  return receiveFragment(state, state.block.begin(state.reader));
}

export function receiveContinuation<C>(state: ConnectionState<C>): Outcome {
  if (state.block.openStreamId === 0) {
    return state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-in-block');
  }
  return receiveFragment(state, state.block.add(state.reader));
}

export function receiveData<C>(state: ConnectionState<C>): Outcome {
  const { reader } = state;
  const length = reader.end - reader.start;
  if (reader.streamId === 0) return state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-stream-zero');
  const stream = state.streams.get(reader.streamId);
  if (reader.isFirstSlice) {
    const outcome = chargeConnection(state, stream !== null);
    if (outcome !== NOTHING) return outcome;
  }
  if (stream === null) return receiveLateData(state, length);
  const isEndStream = reader.isLastSlice && (reader.flags & FLAG_END_STREAM) !== 0;
  if (stream.isFaulty) {
    state.freeConnection(length);
    if (isEndStream) stream.isRemoteEnded = true;
    return NOTHING;
  }
  const outcome = checkContent(state, stream, isEndStream);
  if (outcome !== NOTHING) {
    state.freeConnection(length);
    if (isEndStream) stream.isRemoteEnded = true;
    return outcome;
  }
  if (isEndStream) stream.isRemoteEnded = true;
  else if (length === 0) return NOTHING;
  stream.owedBytes += length;
  state.freeConnection(length);
  const { facts } = state;
  facts.stream = stream;
  facts.isEndStream = isEndStream;
  facts.bytes = reader.bytes;
  facts.start = reader.start;
  facts.end = reader.end;
  if (isEndStream) state.closeIfEnded(stream);
  return DATA;
}

/**
 * At the first slice: the whole frame counts, padding is free again at once (6.9.1, 6.1). Content of a stream that
 * is over moves nothing on, so it makes up for no noise.
 */
function chargeConnection<C>(state: ConnectionState<C>, isOpen: boolean): Outcome {
  const { reader, budget } = state;
  if (!state.window.charge(reader.length)) {
    return state.fail(ERROR_CODES.FLOW_CONTROL_ERROR, 'h2-window-exceeded');
  }
  state.freeConnection(reader.paddingLength);
  if (reader.length > reader.paddingLength) {
    if (isOpen) budget.noteDataReceived();
  } else if ((reader.flags & FLAG_END_STREAM) === 0 && !budget.countEmptyFrame()) {
    return state.abuse('h2-many-empty');
  }
  return NOTHING;
}

function checkContent<C>(
  state: ConnectionState<C>,
  stream: Http2Stream<C>,
  isEndStream: boolean,
): Outcome {
  const { reader } = state;
  const length = reader.end - reader.start;
  if (stream.isRemoteEnded) {
    return state.streamError(stream, ERROR_CODES.STREAM_CLOSED, 'h2-stream-ended');
  }
  if (!stream.hasHead) return state.malformed(stream, causeOf('data-before-head'));
  if (reader.isFirstSlice) {
    if (!stream.receiveWindow.charge(reader.length)) {
      const detail = 'h2-window-exceeded';
      return state.streamError(stream, ERROR_CODES.FLOW_CONTROL_ERROR, detail);
    }
    state.freeStream(stream, reader.paddingLength);
  }
  if (stream.contentLeft < 0) return NOTHING;
  // RFC 9113 8.1.1: the DATA frames add up to exactly what Content-Length says.
  if (length > stream.contentLeft || (isEndStream && length < stream.contentLeft)) {
    return state.malformed(stream, causeOf('length-mismatch'));
  }
  stream.contentLeft -= length;
  return NOTHING;
}

function receiveLateData<C>(state: ConnectionState<C>, length: number): Outcome {
  const { streamId } = state.reader;
  state.freeConnection(length);
  if (state.isIdle(streamId)) return state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-stream-idle');
  return receiveLate(state, { errorCode: ERROR_CODES.STREAM_CLOSED, detail: 'h2-stream-ended' });
}

/** A frame of a message on a stream that is closed (RFC 9113 5.1). */
function receiveLate<C>(
  state: ConnectionState<C>,
  unknown: { readonly errorCode: number; readonly detail: Detail },
): Outcome {
  const { streamId } = state.reader;
  switch (state.closed.find(streamId)) {
    case CLOSED_BY_US:
      return NOTHING;
    case CLOSED_BY_PEER:
      state.writer.writeReset(streamId, ERROR_CODES.STREAM_CLOSED);
      return state.budget.countReset(state.nowMs) ? NOTHING : state.abuse('h2-many-resets');
    case CLOSED_BY_END:
      return state.fail(ERROR_CODES.STREAM_CLOSED, unknown.detail);
    default:
      if (!state.closed.hasForgotten) return state.fail(unknown.errorCode, unknown.detail);
      return state.budget.countNoise(1, state.nowMs) ? NOTHING : state.abuse('h2-many-late');
  }
}

function receiveFragment<C>(state: ConnectionState<C>, outcome: BlockOutcome): Outcome {
  if (outcome === BLOCK_MALFORMED) {
    return state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-headers-form');
  }
  if (outcome === BLOCK_TOO_LARGE) return state.abuse('h2-block-too-large');
  if (outcome === BLOCK_MORE) {
    const isEmpty = state.block.fragmentLength === 0;
    return isEmpty && !state.budget.countEmptyFrame() ? state.abuse('h2-many-empty') : NOTHING;
  }
  return receiveBlock(state);
}

function receiveBlock<C>(state: ConnectionState<C>): Outcome {
  const { streamId } = state.reader;
  const stream = state.streams.get(streamId);
  if (stream !== null) {
    return stream.hasHead ? receiveTrailers(state, stream) : receiveResponse(state, stream);
  }
  if (!state.isIdle(streamId)) return receiveLateBlock(state);
  // Only clients open streams, with odd numbers; pushing is off (5.1.1, 8.4).
  if (state.role === 'client' || (streamId & 1) === 0) {
    return state.fail(ERROR_CODES.PROTOCOL_ERROR, 'h2-stream-number');
  }
  return receiveRequest(state);
}

function receiveRequest<C>(state: ConnectionState<C>): Outcome {
  const { streamId } = state.reader;
  const decoded = decodeBlock(state, state.headBounds);
  if (decoded === HPACK_MALFORMED) return undecodable(state);
  if (streamId > state.servedStreamIdMax) return refuseStream(state, streamId);
  if (state.streams.size >= state.limits.h2StreamCountMax) return refuseStream(state, streamId);
  const stream = state.addStream(streamId);
  stream.hasHead = true;
  stream.isRemoteEnded = state.block.isEndStream;
  if (decoded === HPACK_TOO_LARGE) return refuseHead(state, stream, tooLarge(state));
  const head = state.rules.read(state.decoder);
  if (head instanceof Cause) return refuseHead(state, stream, head);
  stream.contentLeft = head.contentLength;
  if (stream.isRemoteEnded && head.contentLength > 0) {
    return refuseHead(state, stream, causeOf('length-mismatch'));
  }
  state.facts.requestHead = head;
  return tellFields(state, stream, HEAD);
}

/** RFC 9113 5.1.2, 6.8: not processed at all, so the client may send it again. */
function refuseStream<C>(state: ConnectionState<C>, streamId: number): Outcome {
  const isDrained = streamId > state.servedStreamIdMax;
  state.lastStreamId = streamId;
  state.refusedCount++;
  state.writer.writeReset(streamId, ERROR_CODES.REFUSED_STREAM);
  state.closed.add(streamId, CLOSED_BY_US);
  const isWithinBudget =
    isDrained || !state.areSettingsAcknowledged
      ? state.budget.countEarlyRefusal(state.nowMs)
      : state.budget.countReset(state.nowMs);
  return isWithinBudget ? NOTHING : state.abuse('h2-many-refused');
}

function receiveResponse<C>(state: ConnectionState<C>, stream: Http2Stream<C>): Outcome {
  const decoded = decodeBlock(state, state.headBounds);
  if (decoded === HPACK_MALFORMED) return undecodable(state);
  if (stream.isFaulty) return NOTHING;
  const { isEndStream } = state.block;
  if (decoded === HPACK_TOO_LARGE) return state.malformed(stream, tooLarge(state));
  const head = readResponseHead(state.decoder);
  if (head instanceof Cause) return state.malformed(stream, head);
  if (head.isInformational) {
    stream.informationalCount++;
    const isAllowed = stream.informationalCount <= state.limits.informationalResponseCountMax;
    // RFC 9113 8.1: an informational response does not end anything.
    if (!isAllowed) return state.malformed(stream, causeOf('informational-count'));
    if (isEndStream) return state.malformed(stream, causeOf('informational-final'));
  } else {
    stream.hasHead = true;
    stream.isRemoteEnded = isEndStream;
    const hasNoContent = stream.isHeadRequest || head.status === 204 || head.status === 304;
    stream.contentLeft = hasNoContent ? 0 : head.contentLength;
    if (isEndStream && stream.contentLeft > 0) {
      return state.malformed(stream, causeOf('length-mismatch'));
    }
  }
  state.facts.responseHead = head;
  return tellFields(state, stream, HEAD);
}

function receiveTrailers<C>(state: ConnectionState<C>, stream: Http2Stream<C>): Outcome {
  const decoded = decodeBlock(state, state.trailerBounds);
  if (decoded === HPACK_MALFORMED) return undecodable(state);
  if (stream.isFaulty) return NOTHING;
  if (stream.isRemoteEnded) {
    return state.streamError(stream, ERROR_CODES.STREAM_CLOSED, 'h2-stream-ended');
  }
  const { isEndStream } = state.block;
  if (isEndStream) stream.isRemoteEnded = true;
  if (decoded === HPACK_TOO_LARGE) return state.malformed(stream, tooLarge(state));
  // RFC 9113 8.1: nothing follows trailers.
  if (!isEndStream) return state.malformed(stream, causeOf('trailers-not-last'));
  const wrong = readTrailers(state.decoder, state.trailerRule);
  if (wrong !== null) return state.malformed(stream, wrong);
  if (stream.contentLeft > 0) return state.malformed(stream, causeOf('length-mismatch'));
  return tellFields(state, stream, TRAILERS);
}

function receiveLateBlock<C>(state: ConnectionState<C>): Outcome {
  // Decoded all the same, so that the table stays in step.
  if (decodeBlock(state, state.trailerBounds) === HPACK_MALFORMED) return undecodable(state);
  if (!state.budget.countNoise(1, state.nowMs)) return state.abuse('h2-many-late');
  const detail = 'h2-stream-ended';
  return receiveLate(state, { errorCode: ERROR_CODES.PROTOCOL_ERROR, detail });
}

function decodeBlock<C>(state: ConnectionState<C>, bounds: HpackBounds): HpackOutcome {
  const { block, decoder } = state;
  if (block.start < block.end) state.budget.noteFieldsReceived();
  return decoder.decode(block.bytes, block.start, block.end, bounds);
}

function undecodable<C>(state: ConnectionState<C>): Outcome {
  return state.fail(ERROR_CODES.COMPRESSION_ERROR, 'h2-hpack');
}

function tellFields<C>(
  state: ConnectionState<C>,
  stream: Http2Stream<C>,
  event: Http2Event,
): Http2Event {
  const { facts, block, decoder } = state;
  facts.stream = stream;
  facts.isEndStream = block.isEndStream;
  facts.fields = decoder.fields;
  facts.kinds = decoder.kinds;
  facts.bytes = block.bytes;
  facts.start = block.start;
  facts.end = block.end;
  facts.isBlockSelfContained = decoder.isSelfContained;
  if (block.isEndStream) state.closeIfEnded(stream);
  return event;
}

/** With what was seen of it. */
function refuseHead<C>(state: ConnectionState<C>, stream: Http2Stream<C>, cause: Cause): Outcome {
  const event = state.malformed(stream, cause);
  state.facts.partial = partialRequestOf(state.decoder);
  state.facts.isGrpc = isGrpcRequest(state.decoder);
  return event;
}

function tooLarge<C>({ decoder }: ConnectionState<C>): Cause {
  return causeOf(decoder.isCountExceeded ? 'field-count' : 'head-bytes');
}
