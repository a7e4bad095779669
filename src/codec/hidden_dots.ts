/**
 * Dot segments that only some servers see. Tomcat, Jetty and Spring cut path parameters off before they look
 * ("/public/..;/admin" is "/admin" to them, CVE-2026-73551 and its kin), also escaped ones ("..%3b"), and a
 * server behind a server decodes twice ("%252e%252e", "..%252fadmin"), and lenient decoders take overlong UTF-8
 * for the character that it would be ("%c0%ae" for a dot, CVE-2008-2938; RFC 3629 3 forbids it). Nobody who is
 * honest sends them.
 */
import { BACKSLASH, DOT, HEX_VALUE, PERCENT, SEMICOLON, SLASH } from './http1/syntax.ts';

/**
 * True when a segment of `path` (without query) reads as "." or ".." once all of its escapes are decoded, those
 * that decoding makes too, and its parameters are cut off. Plain dot segments, "%2e" being a dot, are not hidden.
 */
export function hasHiddenDots(path: Buffer): boolean {
  let start = 1;
  while (start <= path.length) {
    const slash = path.indexOf(SLASH, start);
    const end = slash === -1 ? path.length : slash;
    if (isSuspect(path, start, end) && !isPlainDots(path, start, end)) {
      if (hasDotPart(decoded(path, start, end))) return true;
    }
    start = end + 1;
  }
  return false;
}

/** True when `path` (without query) holds a ";", however often it is encoded. */
export function hasPathParameter(path: Buffer): boolean {
  if (path.includes(SEMICOLON)) return true;
  return path.includes(PERCENT) && decoded(path, 0, path.length).includes(SEMICOLON);
}

/** Without "%", only what begins with a dot can be a dot segment. */
function isSuspect(path: Buffer, start: number, end: number): boolean {
  if (path[start] === DOT) return true;
  const percent = path.indexOf(PERCENT, start);
  return percent !== -1 && percent < end;
}

/** Dots only, each as it is or escaped once. */
function isPlainDots(path: Buffer, start: number, end: number): boolean {
  let i = start;
  while (i < end) {
    if (path[i] === DOT) i++;
    else if (isEscapedDot(path, i, end)) i += 3;
    else return false;
  }
  return true;
}

function isEscapedDot(path: Buffer, i: number, end: number): boolean {
  const isThere = i + 2 < end && path[i] === PERCENT && path[i + 1] === 0x32;
  return isThere && ((path[i + 2] as number) | 0x20) === 0x65;
}

/** Escapes and overlong characters decoded until there is none left. Linear: each step takes bytes away. */
function decoded(path: Buffer, start: number, end: number): Buffer {
  const out = Buffer.allocUnsafe(end - start);
  let length = 0;
  for (let i = start; i < end; i++) {
    out[length++] = path[i] as number;
    for (;;) {
      const value = lastEscape(out, length);
      const overlong = value >= 0 ? 0 : lastOverlong(out, length);
      if (value < 0 && overlong === 0) break;
      const char = value >= 0 ? value : overlongChar(out, length);
      length -= value >= 0 ? 2 : overlong - 1;
      out[length - 1] = char;
    }
  }
  return out.subarray(0, length);
}

/** Of how many bytes, two to four, the last of which makes a character of ASCII overlong; 0: none. */
function lastOverlong(out: Buffer, length: number): number {
  if (((out[length - 1] as number) & 0xc0) !== 0x80 || length < 2) return 0;
  const before = out[length - 2] as number;
  if (before === 0xc0 || before === 0xc1) return 2;
  if (before !== 0x80 && before !== 0x81) return 0;
  if (out[length - 3] === 0xe0) return 3;
  return out[length - 3] === 0x80 && out[length - 4] === 0xf0 ? 4 : 0;
}

/** Its seven bits: the lowest of the last byte but one, six of the last one. */
function overlongChar(out: Buffer, length: number): number {
  return (((out[length - 2] as number) & 1) << 6) | ((out[length - 1] as number) & 0x3f);
}

/** The byte that the last three stand for, or -1. */
function lastEscape(out: Buffer, length: number): number {
  if (length < 3 || out[length - 3] !== PERCENT) return -1;
  const high = HEX_VALUE[out[length - 2] as number] as number;
  const low = HEX_VALUE[out[length - 1] as number] as number;
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** A part between slashes of either kind that is "." or ".." before its first ";". */
function hasDotPart(segment: Buffer): boolean {
  let start = 0;
  for (let i = 0; i <= segment.length; i++) {
    const byte = segment[i];
    const isSlash = i === segment.length || byte === SLASH || byte === BACKSLASH;
    if (!isSlash && byte !== SEMICOLON) continue;
    if (areDots(segment, start, i)) return true;
    start = isSlash ? i + 1 : Number.POSITIVE_INFINITY;
  }
  return false;
}

/** Of the part that begins at `start`; infinite within parameters. */
function areDots(segment: Buffer, start: number, end: number): boolean {
  const length = end - start;
  return (length === 1 || length === 2) && segment[start] === DOT && segment[end - 1] === DOT;
}
