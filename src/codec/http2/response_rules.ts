/**
 * Decoded fields → a response head, or null when it is malformed (RFC 9113 8.2, 8.3.2); and the rules
 * of trailers, in both directions. Responses are held to the same grammar as requests: an upstream
 * may be hostile too.
 */
import { LENGTH_MALFORMED, LENGTH_UNKNOWN, parseContentLength } from './content_length.ts';
import {
  KIND_BAD_VALUE,
  KIND_CODE_MASK,
  KIND_CONNECTION_SPECIFIC,
  KIND_CONTENT_LENGTH,
  KIND_ETAG,
  KIND_HOST,
  KIND_MALFORMED,
  KIND_PSEUDO_MAX,
  KIND_STATUS,
  KIND_TE,
  KIND_UNKNOWN_PSEUDO,
} from './field_kind.ts';
import type { HpackDecoder } from './hpack_decoder.ts';
import { Http2ResponseHead } from './response_head.ts';
import { STATIC_COUNT } from './static_table.ts';

/** `decoder` has just decoded the head; its arrays are kept. */
export function readResponseHead(decoder: HpackDecoder): Http2ResponseHead | null {
  const { fields, kinds } = decoder;
  if (kinds.length === 0 || ((kinds[0] as number) & KIND_CODE_MASK) !== KIND_STATUS) return null;
  const status = parseStatus(fields[1] as string);
  if (status === -1) return null;
  let contentLength = LENGTH_UNKNOWN;
  for (let i = 1; i < kinds.length; i++) {
    const kind = kinds[i] as number;
    const code = kind & KIND_CODE_MASK;
    if (!isRegular(kind)) return null;
    if (code !== KIND_CONTENT_LENGTH) continue;
    if (contentLength !== LENGTH_UNKNOWN) return null;
    contentLength = parseContentLength(fields[2 * i + 1] as string);
    if (contentLength === LENGTH_MALFORMED) return null;
  }
  return new Http2ResponseHead({ status, contentLength, fields, byteLength: decoder.listBytes });
}

/** False when they are malformed. */
export function areResponseTrailersValid({ kinds }: HpackDecoder): boolean {
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[i] as number;
    const code = kind & KIND_CODE_MASK;
    if (!isRegular(kind) || code === KIND_CONTENT_LENGTH || code === KIND_HOST) return false;
  }
  return true;
}

/**
 * Of a request, trailers may not hold what frames, routes, authenticates or tells how to read it (RFC 9110
 * 6.5.1): policy has judged the head, and a reader that merges would see another one. All such
 * names but etag are in the static table.
 */
export function areRequestTrailersValid({ kinds }: HpackDecoder): boolean {
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[i] as number;
    const code = kind & KIND_CODE_MASK;
    if (!isRegular(kind) || (code <= STATIC_COUNT && code !== KIND_ETAG)) return false;
  }
  return true;
}

/** A well-formed field that is no pseudo-field and does not belong to one connection. */
function isRegular(kind: number): boolean {
  if ((kind & KIND_BAD_VALUE) !== 0) return false;
  const code = kind & KIND_CODE_MASK;
  return (
    code > KIND_PSEUDO_MAX &&
    code !== KIND_TE &&
    code !== KIND_CONNECTION_SPECIFIC &&
    code !== KIND_MALFORMED &&
    code !== KIND_UNKNOWN_PSEUDO
  );
}

/** Three digits from 100 on; not 101, which HTTP/2 does not have (RFC 9113 8.6). */
function parseStatus(text: string): number {
  if (text.length !== 3) return -1;
  const status = parseContentLength(text);
  return status >= 100 && status !== 101 ? status : -1;
}
