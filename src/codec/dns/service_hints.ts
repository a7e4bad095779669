/**
 * Address hints of an HTTPS or SVCB record (RFC 9460 7.3): a client may connect to them without asking for addresses, so
 * they count as addresses of the name that was asked. A record that breaks a rule has none, as no client uses it (2.2).
 *
 *     priority (2) │ target name, never compressed │ { key (2) │ length (2) │ value }, keys ascending
 */
import { type IpAddress, ipFromBytes } from '../../model/address.ts';
import { endOfWholeName } from './name.ts';

const KEY_IPV4_HINT = 4;
const KEY_IPV6_HINT = 6;
const PRIORITY_BYTES = 2;
const PARAMETER_HEAD_BYTES = 4;
const NONE: readonly IpAddress[] = [];

export function hintsOf(message: Buffer, dataAt: number, dataEnd: number): readonly IpAddress[] {
  const data = message.subarray(dataAt, dataEnd);
  if (data.length < PRIORITY_BYTES || data.readUInt16BE(0) === 0) return NONE;
  let at = endOfWholeName(data, PRIORITY_BYTES);
  if (at < 0) return NONE;
  const hints: IpAddress[] = [];
  for (let keyBefore = -1; at < data.length; ) {
    if (data.length - at < PARAMETER_HEAD_BYTES) return NONE;
    const key = data.readUInt16BE(at);
    const end = at + PARAMETER_HEAD_BYTES + data.readUInt16BE(at + 2);
    if (key <= keyBefore || end > data.length) return NONE;
    const bytes = bytesOfHint(key);
    if (bytes > 0 && !takeAddresses(data.subarray(at + PARAMETER_HEAD_BYTES, end), bytes, hints))
      return NONE;
    keyBefore = key;
    at = end;
  }
  return hints;
}

/** Of one address; 0: no hint. */
function bytesOfHint(key: number): number {
  if (key === KEY_IPV4_HINT) return 4;
  return key === KEY_IPV6_HINT ? 16 : 0;
}

function takeAddresses(value: Buffer, bytes: number, into: IpAddress[]): boolean {
  if (value.length === 0 || value.length % bytes !== 0) return false;
  for (let at = 0; at < value.length; at += bytes) {
    into.push(ipFromBytes(Uint8Array.from(value.subarray(at, at + bytes))));
  }
  return true;
}
