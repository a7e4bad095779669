/**
 * The value of Host, or the authority of an absolute-form target: host and optional port, nothing
 * else (RFC 9112 3.2, RFC 3986 3.2.2-3.2.3). Of reg-name only unreserved bytes are taken: no
 * percent-encoding and no sub-delims, which no resolvable name holds and in which readers differ.
 */
import { parseIp } from '../../model/address.ts';
import { BRACKET_CLOSE, BRACKET_OPEN, COLON, latin1, NINE, UNRESERVED, ZERO } from './syntax.ts';

const PORT_DIGITS_MAX = 5;
const PORT_MAX = 65_535;

/** True when `bytes[start, end)` is a host with an optional, non-empty port. */
export function isHost(bytes: Buffer, start: number, end: number): boolean {
  if (start >= end) return false;
  if (bytes[start] === BRACKET_OPEN) return isIpv6Host(bytes, start, end);
  let i = start;
  while (i < end && UNRESERVED[bytes[i] as number] === 1) i++;
  return i > start && (i === end || isPort(bytes, i, end));
}

function isIpv6Host(bytes: Buffer, start: number, end: number): boolean {
  const close = bytes.indexOf(BRACKET_CLOSE, start);
  if (close === -1 || close >= end) return false;
  const text = latin1(bytes, start + 1, close);
  if (!text.includes(':') || parseIp(text) === null) return false;
  return close + 1 === end || isPort(bytes, close + 1, end);
}

/** ":" and 1 to 5 digits of at most 65535. */
function isPort(bytes: Buffer, start: number, end: number): boolean {
  const digits = end - start - 1;
  if (bytes[start] !== COLON || digits < 1 || digits > PORT_DIGITS_MAX) return false;
  let port = 0;
  for (let i = start + 1; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte < ZERO || byte > NINE) return false;
    port = port * 10 + (byte - ZERO);
  }
  return port <= PORT_MAX;
}
