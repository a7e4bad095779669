/**
 * The value of Host, or the authority of an absolute-form target: host and optional port, nothing
 * else (RFC 9112 3.2, RFC 3986 3.2.2-3.2.3). Of reg-name only unreserved bytes are taken: no
 * percent-encoding and no sub-delims, which no resolvable name holds and in which readers differ.
 */
import { parseIp } from '../../model/address.ts';
import { Cause, causeOf } from '../../model/fault_detail.ts';
import {
  AT,
  BRACKET_CLOSE,
  BRACKET_OPEN,
  COLON,
  latin1,
  NINE,
  UNRESERVED,
  ZERO,
} from './syntax.ts';

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

/** Why that is no host: the first thing that is wrong. */
export function hostCause(bytes: Buffer, start: number, end: number): Cause {
  if (start >= end) return causeOf('host-empty');
  const at = bytes.indexOf(AT, start);
  if (at !== -1 && at < end) return causeOf('host-userinfo');
  if (bytes[start] === BRACKET_OPEN) {
    const close = bytes.indexOf(BRACKET_CLOSE, start);
    const isAddress = close !== -1 && close < end && isIpv6Host(bytes, start, close + 1);
    return causeOf(isAddress ? 'host-port' : 'host-address');
  }
  let i = start;
  while (i < end && UNRESERVED[bytes[i] as number] === 1) i++;
  const isName = i > start && bytes[i] === COLON;
  return isName ? causeOf('host-port') : new Cause('host-character', i, bytes[i] as number);
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
