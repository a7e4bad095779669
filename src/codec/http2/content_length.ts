/** Content-Length in HTTP/2: one number that the DATA frames must add up to (RFC 9113 8.1.1). */

/** There is no such field. */
export const LENGTH_UNKNOWN = -1;
/** Not a number that has one reading. */
export const LENGTH_MALFORMED = -2;

/** Safe integers have at most this many digits. */
const DIGITS_MAX = 16;

/** Digits only: no sign, list, space, or number beyond what we can count. */
export function parseContentLength(value: string): number {
  if (value.length === 0 || value.length > DIGITS_MAX) return LENGTH_MALFORMED;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return LENGTH_MALFORMED;
    length = length * 10 + digit;
  }
  return length <= Number.MAX_SAFE_INTEGER ? length : LENGTH_MALFORMED;
}
