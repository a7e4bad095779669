/**
 * Decoded fields → a response head, or what is wrong with it (RFC 9113 8.2, 8.3.2). Responses are held to the
 * same grammar as requests: an upstream may be hostile too.
 */
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import { LENGTH_MALFORMED, LENGTH_UNKNOWN, parseContentLength } from './content_length.ts';
import { fieldCause } from './field_cause.ts';
import { isRegular, KIND_CODE_MASK, KIND_CONTENT_LENGTH, KIND_STATUS } from './field_kind.ts';
import type { HpackDecoder } from './hpack_decoder.ts';
import { Http2ResponseHead } from './response_head.ts';

/** `decoder` has just decoded the head; its arrays are kept. */
export function readResponseHead(decoder: HpackDecoder): Http2ResponseHead | Cause {
  const { fields, kinds } = decoder;
  if (kinds.length === 0 || ((kinds[0] as number) & KIND_CODE_MASK) !== KIND_STATUS) {
    return causeOf('pseudo-missing');
  }
  const status = parseStatus(fields[1] as string);
  if (status === -1) return causeOf('status-range');
  let contentLength = LENGTH_UNKNOWN;
  for (let i = 1; i < kinds.length; i++) {
    const kind = kinds[i] as number;
    const code = kind & KIND_CODE_MASK;
    if (!isRegular(kind)) return fieldCause(decoder, i);
    if (code !== KIND_CONTENT_LENGTH) continue;
    if (contentLength !== LENGTH_UNKNOWN) return causeOf('length-repeated');
    contentLength = parseContentLength(fields[2 * i + 1] as string);
    if (contentLength === LENGTH_MALFORMED) return causeOf('length-form');
  }
  return new Http2ResponseHead({ status, contentLength, fields, byteLength: decoder.listBytes });
}

/** Three digits from 100 on; not 101, which HTTP/2 does not have (RFC 9113 8.6). */
function parseStatus(text: string): number {
  if (text.length !== 3) return -1;
  const status = parseContentLength(text);
  return status >= 100 && status !== 101 ? status : -1;
}
