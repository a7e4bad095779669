/**
 * Trailer sections (RFC 9112 7.1.2): which fields may stand in one, and how one is written when
 * trailers are forwarded. A trailer is never merged into the head and never satisfies a rule.
 */
import { readLines } from './field_lines.ts';

const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');

/**
 * RFC 9110 6.5.1: framing, routing, request modifiers, authentication, response control and how
 * content is read. Whoever put one there wants a reader that merges.
 */
const FORBIDDEN = new Set([
  'age',
  'authentication-info',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'warning',
  'www-authenticate',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/**
 * The last chunk with the trailers of `raw` (a scanned section), or without them when they are not
 * forwarded; null when one of them may not be a trailer.
 */
export function lastChunk(raw: Buffer, areForwarded: boolean): Buffer | null {
  if (raw.length === 2) return LAST_CHUNK;
  const lines = readLines(raw, 0);
  let text = '0\r\n';
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i] as string;
    if (FORBIDDEN.has(name.toLowerCase())) return null;
    text += `${name}: ${lines[i + 1] as string}\r\n`;
  }
  return areForwarded ? Buffer.from(`${text}\r\n`, 'latin1') : LAST_CHUNK;
}
