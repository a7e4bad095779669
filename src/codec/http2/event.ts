/**
 * What `Http2Connection.next` says after each step. Small integers, so that the relay's switch stays a
 * jump and no event object is made; the facts of an event stand on the connection until the next call.
 */

/** All bytes are used up: write `take()` to the socket and wait for more. */
export const NEED_MORE = 0;
/** `stream`, `isEndStream` and `requestHead` or `responseHead` (informational ones too). */
export const HEAD = 1;
/** `stream`, `isEndStream`, and content as `bytes` from `start` to `end`: to be credited. */
export const DATA = 2;
/** `stream`, `fields`; the stream's remote side has ended. */
export const TRAILERS = 3;
/** The peer reset `stream` with `errorCode`. It is closed. */
export const RESET = 4;
/** The peer broke a rule of `stream`, which we have reset with `errorCode`. It is closed. */
export const STREAM_ERROR = 5;
/**
 * The message on `stream` is malformed or beyond its bounds: `fault`. The stream is still open, so that the
 * caller can answer it; then it must reset it (with `errorCode`). What still comes on it is dropped.
 */
export const MALFORMED = 6;
/** Content that waited on `stream` has left: `byteCount`, and the end too if `isEndStream`. */
export const SENT = 7;
/** The peer's SETTINGS changed: more or fewer streams may be opened. */
export const SETTINGS = 8;
/** The peer sent GOAWAY: `lastStreamId`, `errorCode`. */
export const GOAWAY = 9;
/** The peer answered our `ping`, and all before it. */
export const PING_ACKED = 10;
/**
 * The connection is lost: `fault`, `errorCode`, `detail`. A GOAWAY has been written (`take()`), then close.
 * Nothing else comes any more.
 */
export const FAULT = 11;

export type Http2Event =
  | typeof NEED_MORE
  | typeof HEAD
  | typeof DATA
  | typeof TRAILERS
  | typeof RESET
  | typeof STREAM_ERROR
  | typeof MALFORMED
  | typeof SENT
  | typeof SETTINGS
  | typeof GOAWAY
  | typeof PING_ACKED
  | typeof FAULT;
