/**
 * The fields that a hop itself must understand: framing, routing and connection management. Told
 * by length and bytes while the head is scanned, so that all other names cost one table look-up.
 */
import { equalsIgnoringCase } from './syntax.ts';

export const OTHER = 0;
export const HOST = 1;
export const CONTENT_LENGTH = 2;
export const TRANSFER_ENCODING = 3;
export const CONNECTION = 4;
export const KEEP_ALIVE = 5;
export const PROXY_CONNECTION = 6;
export const TE = 7;
export const TRAILER = 8;
export const UPGRADE = 9;
export const HTTP2_SETTINGS = 10;
export const EXPECT = 11;
export const CONTENT_TYPE = 12;
/** Of no meaning to a hop: whether a request has one is asked for each line of the access log. */
export const TRACEPARENT = 13;
export const FIELD_KIND_COUNT = 14;

/** Kind of the field whose name is `bytes[start, end)`. "_" is never "-": another name, OTHER. */
export function fieldKindOf(bytes: Uint8Array, start: number, end: number): number {
  switch (end - start) {
    case 2:
      return equalsIgnoringCase(bytes, start, end, 'te') ? TE : OTHER;
    case 4:
      return equalsIgnoringCase(bytes, start, end, 'host') ? HOST : OTHER;
    case 6:
      return equalsIgnoringCase(bytes, start, end, 'expect') ? EXPECT : OTHER;
    case 7:
      if (equalsIgnoringCase(bytes, start, end, 'upgrade')) return UPGRADE;
      return equalsIgnoringCase(bytes, start, end, 'trailer') ? TRAILER : OTHER;
    case 10:
      if (equalsIgnoringCase(bytes, start, end, 'connection')) return CONNECTION;
      return equalsIgnoringCase(bytes, start, end, 'keep-alive') ? KEEP_ALIVE : OTHER;
    case 11:
      return equalsIgnoringCase(bytes, start, end, 'traceparent') ? TRACEPARENT : OTHER;
    case 12:
      return equalsIgnoringCase(bytes, start, end, 'content-type') ? CONTENT_TYPE : OTHER;
    case 14:
      if (equalsIgnoringCase(bytes, start, end, 'content-length')) return CONTENT_LENGTH;
      return equalsIgnoringCase(bytes, start, end, 'http2-settings') ? HTTP2_SETTINGS : OTHER;
    case 16:
      return equalsIgnoringCase(bytes, start, end, 'proxy-connection') ? PROXY_CONNECTION : OTHER;
    case 17:
      return equalsIgnoringCase(bytes, start, end, 'transfer-encoding') ? TRANSFER_ENCODING : OTHER;
    default:
      return OTHER;
  }
}
