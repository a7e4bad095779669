/**
 * All frames but those of messages (RFC 9113 6.3-6.9). Each function gives the event that the frame
 * makes, or NOTHING.
 */
import { type ConnectionState, NOTHING } from './connection_state.ts';
import { GOAWAY, type Http2Event, PING_ACKED, RESET, SETTINGS } from './event.ts';
import { ERROR_CODES, FLAG_ACK, readUint31, readUint32 } from './frame.ts';
import { ownHeaderTableBytes } from './settings.ts';

type Outcome = Http2Event | typeof NOTHING;

const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, FLOW_CONTROL_ERROR, NO_ERROR } = ERROR_CODES;

const SETTING_BYTES = 6;
const PING_BYTES = 8;
const RESET_BYTES = 4;
const PRIORITY_BYTES = 5;
const GOAWAY_BYTES_MIN = 8;
const WINDOW_UPDATE_BYTES = 4;

/** SETTINGS may touch every stream. */
const SETTINGS_NOISE = 4;

export function receiveSettings<C>(state: ConnectionState<C>): Outcome {
  const { reader } = state;
  if (reader.streamId !== 0) return state.fail(PROTOCOL_ERROR, 'h2-stream-nonzero');
  if ((reader.flags & FLAG_ACK) !== 0) return receiveSettingsAck(state);
  if (reader.length % SETTING_BYTES !== 0) return state.fail(FRAME_SIZE_ERROR, 'h2-frame-size');
  const isTooLong = reader.length > state.limits.h2SettingCountMax * SETTING_BYTES;
  const isFirst = !state.areSettingsReceived;
  if (isTooLong || (!isFirst && !isNoiseAllowed(state, SETTINGS_NOISE))) {
    return state.abuse('h2-many-settings');
  }
  state.areSettingsReceived = true;
  const { bytes, start, end } = reader;
  const isFromServer = state.role === 'client';
  const payload = { bytes, start, end, isFromServer };
  const code = state.sender.applySettings(payload, state.streams.all());
  if (code !== NO_ERROR) return state.fail(code, 'h2-settings-value');
  state.writer.writeSettingsAck();
  return SETTINGS;
}

export function receivePing<C>(state: ConnectionState<C>): Outcome {
  const { reader } = state;
  if (reader.streamId !== 0) return state.fail(PROTOCOL_ERROR, 'h2-stream-nonzero');
  if (reader.length !== PING_BYTES) return state.fail(FRAME_SIZE_ERROR, 'h2-frame-size');
  if ((reader.flags & FLAG_ACK) !== 0 && state.pingsAwaited > 0) {
    state.pingsAwaited--;
    return state.pingsAwaited === 0 ? PING_ACKED : NOTHING;
  }
  if (!isNoiseAllowed(state, 1)) return state.abuse('h2-many-pings');
  if ((reader.flags & FLAG_ACK) === 0) state.writer.writePing(FLAG_ACK, reader.bytes, reader.start);
  return NOTHING;
}

export function receiveReset<C>(state: ConnectionState<C>): Outcome {
  const { reader, facts } = state;
  const { streamId } = reader;
  if (streamId === 0) return state.fail(PROTOCOL_ERROR, 'h2-stream-zero');
  if (reader.length !== RESET_BYTES) return state.fail(FRAME_SIZE_ERROR, 'h2-frame-size');
  const stream = state.streams.get(streamId);
  if (stream === null) {
    if (state.isIdle(streamId)) return state.fail(PROTOCOL_ERROR, 'h2-stream-idle');
    return isNoiseAllowed(state, 1) ? NOTHING : state.abuse('h2-many-late');
  }
  state.closeByPeer(stream);
  // What an upstream may reset is bounded by what we have opened there.
  const lifeMs = state.nowMs - stream.openedMs;
  if (state.role === 'server' && !state.budget.countCancel(lifeMs, state.nowMs)) {
    return state.abuse('h2-many-resets');
  }
  facts.stream = stream;
  facts.errorCode = readUint32(reader.bytes, reader.start);
  return RESET;
}

export function receiveGoAway<C>(state: ConnectionState<C>): Outcome {
  const { reader, facts } = state;
  if (reader.streamId !== 0) return state.fail(PROTOCOL_ERROR, 'h2-stream-nonzero');
  if (reader.length < GOAWAY_BYTES_MIN) return state.fail(FRAME_SIZE_ERROR, 'h2-frame-size');
  if (!isNoiseAllowed(state, 1)) return state.abuse('h2-many-goaways');
  state.isGoAwayReceived = true;
  facts.lastStreamId = readUint31(reader.bytes, reader.start);
  facts.errorCode = readUint32(reader.bytes, reader.start + 4);
  return GOAWAY;
}

export function receiveWindowUpdate<C>(state: ConnectionState<C>): Outcome {
  const { reader } = state;
  const { streamId } = reader;
  if (reader.length !== WINDOW_UPDATE_BYTES) return state.fail(FRAME_SIZE_ERROR, 'h2-frame-size');
  if (!state.budget.countWindowUpdate()) return state.abuse('h2-many-window-updates');
  const increment = readUint31(reader.bytes, reader.start);
  if (streamId === 0) {
    if (increment === 0) return state.fail(PROTOCOL_ERROR, 'h2-window-zero');
    if (state.sender.widenConnection(increment)) return NOTHING;
    return state.fail(FLOW_CONTROL_ERROR, 'h2-window-overflow');
  }
  const stream = state.streams.get(streamId);
  if (stream === null) {
    // Late ones are the rule, not the exception: windows open while a response ends.
    return state.isIdle(streamId) ? state.fail(PROTOCOL_ERROR, 'h2-stream-idle') : NOTHING;
  }
  if (increment === 0) return state.streamError(stream, PROTOCOL_ERROR, 'h2-window-zero');
  if (state.sender.widenStream(stream, increment)) return NOTHING;
  return state.streamError(stream, FLOW_CONTROL_ERROR, 'h2-window-overflow');
}

/** Checked and ignored (RFC 9113 5.3.2). */
export function receivePriority<C>(state: ConnectionState<C>): Outcome {
  const { reader } = state;
  const { streamId } = reader;
  if (streamId === 0) return state.fail(PROTOCOL_ERROR, 'h2-stream-zero');
  if (!isNoiseAllowed(state, 1)) return state.abuse('h2-many-priorities');
  if (reader.length !== PRIORITY_BYTES) {
    const stream = state.streams.get(streamId);
    if (stream === null) return state.fail(FRAME_SIZE_ERROR, 'h2-frame-size');
    return state.streamError(stream, FRAME_SIZE_ERROR, 'h2-frame-size');
  }
  if (readUint31(reader.bytes, reader.start) !== streamId) return NOTHING;
  return state.fail(PROTOCOL_ERROR, 'h2-self-dependency');
}

/** RFC 9113 4.1: frames of unknown types are ignored, within the budget. */
export function receiveUnknown<C>(state: ConnectionState<C>): Outcome {
  return isNoiseAllowed(state, 1) ? NOTHING : state.abuse('h2-many-unknown');
}

function receiveSettingsAck<C>(state: ConnectionState<C>): Outcome {
  if (state.reader.length !== 0) return state.fail(FRAME_SIZE_ERROR, 'h2-frame-size');
  if (state.areSettingsAcknowledged) {
    return isNoiseAllowed(state, 1) ? NOTHING : state.abuse('h2-many-settings');
  }
  state.areSettingsAcknowledged = true;
  state.decoder.setTableBytesMax(ownHeaderTableBytes(state.role, state.limits));
  state.streamWindow = state.streamWindowBytes;
  for (const stream of state.streams.all()) {
    stream.receiveWindow.resize(state.streamWindow);
    // What was not worth a frame by the larger window may be all that a smaller one has left.
    if (!stream.isRemoteEnded) state.freeStream(stream, 0);
  }
  return NOTHING;
}

function isNoiseAllowed<C>(state: ConnectionState<C>, cost: number): boolean {
  return state.budget.countNoise(cost, state.nowMs);
}
