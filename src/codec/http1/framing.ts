/**
 * How long a message is (RFC 9112 6), for requests and responses alike, with every tolerance off:
 * one Content-Length of digits, or one Transfer-Encoding that is exactly "chunked", never both.
 */
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import { CONTENT_LENGTH, TRANSFER_ENCODING } from './field_kind.ts';
import type { HeadScanner } from './head_scanner.ts';
import { equalsIgnoringCase, equalsText, latin1, NINE, parseTokenList, ZERO } from './syntax.ts';

/** Framing as the fields tell it; a number above is the length of the content. */
export const FRAMING_NONE = -1;
export const FRAMING_CHUNKED = -2;

/** Safe integers have at most this many digits without leading zeros. */
const LENGTH_DIGITS_MAX = 16;

/** FRAMING_NONE, FRAMING_CHUNKED, a length, or what is wrong. */
export function framingOf(raw: Buffer, scanner: HeadScanner): number | Cause {
  const lengths = scanner.counts[CONTENT_LENGTH] as number;
  const codings = scanner.counts[TRANSFER_ENCODING] as number;
  if (lengths === 0 && codings === 0) return FRAMING_NONE;
  if (lengths > 0 && codings > 0) return causeOf('two-framings');
  // Legal blanks (RFC 9110 5.6.3), but llhttp for one takes "chunked" and a tab for another coding.
  if (scanner.hasFramingTab) {
    return causeOf(codings > 0 ? 'coding-tab' : 'length-tab');
  }
  return codings > 0 ? codingFraming(raw, scanner, codings) : lengthFraming(raw, scanner, lengths);
}

/** True when the framing field stands as we would write it: no leading zero, lower case. */
export function isFramingCanonical(raw: Buffer, scanner: HeadScanner): boolean {
  if ((scanner.counts[TRANSFER_ENCODING] as number) > 0) {
    const start = scanner.valueStarts[TRANSFER_ENCODING] as number;
    return equalsText(raw, start, scanner.valueEnds[TRANSFER_ENCODING] as number, 'chunked');
  }
  if (scanner.counts[CONTENT_LENGTH] === 0) return true;
  const start = scanner.valueStarts[CONTENT_LENGTH] as number;
  return raw[start] !== ZERO || start + 1 === scanner.valueEnds[CONTENT_LENGTH];
}

function lengthFraming(raw: Buffer, scanner: HeadScanner, count: number): number | Cause {
  let start = scanner.valueStarts[CONTENT_LENGTH] as number;
  const end = scanner.valueEnds[CONTENT_LENGTH] as number;
  if (count > 1) return causeOf('length-repeated');
  if (start === end) return causeOf('length-form');
  while (start + 1 < end && raw[start] === ZERO) start++;
  let length = 0;
  for (let i = start; i < end; i++) {
    const byte = raw[i] as number;
    if (byte < ZERO || byte > NINE) return causeOf('length-form');
    length = length * 10 + (byte - ZERO);
  }
  const isSafe = end - start <= LENGTH_DIGITS_MAX && length <= Number.MAX_SAFE_INTEGER;
  return isSafe ? length : causeOf('length-too-large');
}

/** RFC 9112 6.1: HTTP/1.0 has no transfer codings, whatever the field says. */
function codingFraming(raw: Buffer, scanner: HeadScanner, count: number): number | Cause {
  const start = scanner.valueStarts[TRANSFER_ENCODING] as number;
  const end = scanner.valueEnds[TRANSFER_ENCODING] as number;
  if (count > 1) return causeOf('coding-repeated');
  if (scanner.isHttp10) return causeOf('coding-http10');
  if (equalsIgnoringCase(raw, start, end, 'chunked')) return FRAMING_CHUNKED;
  const codings = parseTokenList(latin1(raw, start, end), scanner.fieldCountMax);
  if (codings === null || codings.pop() !== 'chunked') return causeOf('coding-form');
  if (codings.includes('chunked') || codings.includes('identity')) {
    return causeOf('coding-form');
  }
  // A coding that we do not know, applied before "chunked": well formed, and 501 (RFC 9112 6.1).
  return causeOf('coding-unknown');
}
