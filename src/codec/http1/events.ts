/**
 * What a parser says after each step. Small integers, so that the relay's switch stays a jump and
 * no event object is made.
 */
export const NEED_MORE = 0;
export const HEAD = 1;
export const CONTENT = 2;
export const MESSAGE_END = 3;
export const FAULT = 4;

export type ParserEvent =
  | typeof NEED_MORE
  | typeof HEAD
  | typeof CONTENT
  | typeof MESSAGE_END
  | typeof FAULT;

/** How the content of a message ends (RFC 9112 6.3); 'close' only in responses. */
export type RequestFraming = 'none' | 'length' | 'chunked';
export type ResponseFraming = RequestFraming | 'close';
