/**
 * hot path
 *
 * Paths as Cilium has Envoy treat them (normalize_path, merge_slashes, UNESCAPE_AND_REDIRECT), for
 * HTTP/1.1 and HTTP/2 alike: what comes out is both what policy matches and what is sent. Envoy's
 * order is kept: escaped slashes first, then dot segments and percent-encoded unreserved bytes
 * (Chromium's URL canonicaliser), then repeated slashes. Dot segments go before slashes are merged,
 * so "/a//../b" is "/a/b", as there. Escapes that stay keep the case of their hex digits, as there.
 *
 * The query is never looked into. Stricter than Envoy: a backslash, percent-encoded control characters, "%u" and
 * dot segments that hide in a path are malformed, where Envoy rewrites or passes them. Other characters that no
 * URI has ("|", "{", a "%" that begins no escape) stay as they are, where Envoy escapes some.
 */
import { Cause, causeOf, type Detail } from '../model/fault_detail.ts';
import { hasHiddenDots } from './hidden_dots.ts';
import {
  BACKSLASH,
  DOT,
  HEX_VALUE,
  latin1,
  PATH,
  PERCENT,
  QUESTION,
  SLASH,
  SP,
  TARGET,
  UNRESERVED,
} from './http1/syntax.ts';

export type NormalisedPath =
  /** Already normal: the same bytes. */
  | { readonly kind: 'same' }
  | { readonly kind: 'changed'; readonly path: Buffer }
  /** The path held %2F or %5C: where the client is sent instead, already normal. */
  | { readonly kind: 'redirect'; readonly path: string }
  | { readonly kind: 'malformed' };

/** What one look at the bytes tells; SAME needs no more. */
export const PATH_SAME = 0;
export const PATH_UNUSUAL = 1;
export const PATH_MALFORMED = 2;

const SAME: NormalisedPath = Object.freeze({ kind: 'same' });
const MALFORMED: NormalisedPath = Object.freeze({ kind: 'malformed' });
const DELETE = 0x7f;
const LOWER_U = 0x75;
const UPPER_U = 0x55;

/** `path` is path and query in origin form: "/" first, no fragment. */
export function normalisePath(path: Buffer): NormalisedPath {
  const outcome = checkPath(path, 0, path.length);
  if (outcome === PATH_SAME) return SAME;
  if (outcome === PATH_MALFORMED) return MALFORMED;
  const pathEnd = queryStart(path);
  const unescaped = unescapeSlashes(path, pathEnd);
  const before = unescaped ?? path.subarray(0, pathEnd);
  if (hasHiddenDots(before)) return MALFORMED;
  const normal = mergeSlashes(removeDotSegments(before));
  const whole = Buffer.concat([normal, path.subarray(pathEnd)]);
  if (unescaped !== null) return { kind: 'redirect', path: latin1(whole, 0, whole.length) };
  return whole.equals(path) ? SAME : { kind: 'changed', path: whole };
}

/**
 * Looks at each byte once, without making anything. PATH_SAME means that normalising would
 * change nothing; PATH_UNUSUAL that it might.
 */
export function checkPath(bytes: Buffer, start: number, end: number): number {
  if (start >= end || bytes[start] !== SLASH) return PATH_MALFORMED;
  let outcome = PATH_SAME;
  let before = SLASH;
  for (let i = start + 1; i < end; i++) {
    const byte = bytes[i] as number;
    if (PATH[byte] === 1) {
      if (before === SLASH && (byte === SLASH || byte === DOT)) outcome = PATH_UNUSUAL;
    } else if (byte === PERCENT) {
      if (escapeDetail(bytes, i, end) !== null) return PATH_MALFORMED;
      outcome = PATH_UNUSUAL;
    } else {
      return byte === QUESTION && isQuery(bytes, i + 1, end) ? outcome : PATH_MALFORMED;
    }
    before = byte;
  }
  return outcome;
}

/** Why `checkPath` said PATH_MALFORMED, or `normalisePath` 'malformed': the first thing that is wrong. */
export function pathCause(bytes: Buffer, start: number, end: number): Cause {
  if (start >= end || bytes[start] !== SLASH) return causeOf('target-form');
  let isInQuery = false;
  for (let i = start + 1; i < end; i++) {
    const byte = bytes[i] as number;
    if (TARGET[byte] !== 1) return new Cause('target-character', i, byte);
    if (byte === QUESTION) isInQuery = true;
    if (isInQuery) continue;
    if (byte === BACKSLASH) return new Cause('path-character', i, byte);
    const detail = byte === PERCENT ? escapeDetail(bytes, i, end) : null;
    if (detail !== null) return new Cause(detail, i, byte);
  }
  return causeOf('path-hidden-dots');
}

/**
 * What is wrong with the "%" at `i` of a path, or null. One that begins no escape is a character like others,
 * but for "%u", which some servers decode.
 */
function escapeDetail(bytes: Buffer, i: number, end: number): Detail | null {
  const value = escapedByte(bytes, i, end);
  if (value >= SP) return value === DELETE ? 'path-escaped-control' : null;
  if (value >= 0) return 'path-escaped-control';
  const next = i + 1 < end ? bytes[i + 1] : 0;
  return next === LOWER_U || next === UPPER_U ? 'path-escape' : null;
}

/** The query is nobody's to decode: each of its bytes is forwarded and matched as it stands. */
function isQuery(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (TARGET[bytes[i] as number] !== 1) return false;
  return true;
}

/** The byte that "%XX" at `i` stands for, or -1 when it is no escape. */
function escapedByte(bytes: Buffer, i: number, end: number): number {
  if (i + 2 >= end) return -1;
  const high = HEX_VALUE[bytes[i + 1] as number] as number;
  const low = HEX_VALUE[bytes[i + 2] as number] as number;
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** Of path and query, the path. */
export function pathOf(bytes: Buffer, start: number, end: number): Buffer {
  const whole = bytes.subarray(start, end);
  return whole.subarray(0, queryStart(whole));
}

function queryStart(path: Buffer): number {
  const question = path.indexOf(QUESTION);
  return question === -1 ? path.length : question;
}

/**
 * %2F and %5C of the path decoded, or null when there is none. Both become "/": the canonicaliser
 * that runs next turns a backslash into one.
 */
function unescapeSlashes(path: Buffer, pathEnd: number): Buffer | null {
  const out = Buffer.allocUnsafe(pathEnd);
  let length = 0;
  for (let i = 0; i < pathEnd; i++) {
    const byte = path[i] as number;
    const value = byte === PERCENT ? escapedByte(path, i, pathEnd) : -1;
    if (value === SLASH || value === BACKSLASH) {
      out[length++] = SLASH;
      i += 2;
    } else {
      out[length++] = byte;
    }
  }
  return length === pathEnd ? null : out.subarray(0, length);
}

/**
 * RFC 3986 5.2.4 over segments, "%2e" being a dot; ".." at the root stays there. Decodes escapes
 * of unreserved bytes on the way (6.2.2.2); all others are copied as they are.
 */
function removeDotSegments(path: Buffer): Buffer {
  const out = Buffer.allocUnsafe(path.length);
  let length = 0;
  let i = 0;
  while (i < path.length) {
    // At a slash: what follows up to the next one is a segment.
    out[length++] = SLASH;
    const segmentStart = length;
    i++;
    while (i < path.length && path[i] !== SLASH) {
      const value = path[i] === PERCENT ? escapedByte(path, i, path.length) : -1;
      if (value >= 0 && UNRESERVED[value] === 1 && !isAfterPercent(out, length)) {
        out[length++] = value;
        i += 3;
      } else {
        out[length++] = path[i++] as number;
      }
    }
    const isLast = i === path.length;
    const dots = dotCount(out, segmentStart, length);
    if (dots === 0) continue;
    // The slash before the segment stays only when nothing follows to bring its own.
    length = dots === 1 ? segmentStart : lastSlash(out, segmentStart - 2) + 1;
    if (!isLast) length--;
  }
  return out.subarray(0, length);
}

/** One more character could complete an escape that nobody wrote: "%" begins none, or has one digit so far. */
function isAfterPercent(out: Buffer, length: number): boolean {
  if (out[length - 1] === PERCENT) return true;
  return out[length - 2] === PERCENT && (HEX_VALUE[out[length - 1] as number] as number) >= 0;
}

/** 1 for ".", 2 for "..", 0 for any other segment. */
function dotCount(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  if (length === 0 || length > 2 || bytes[start] !== DOT) return 0;
  return length === 1 || bytes[start + 1] === DOT ? length : 0;
}

/** Index of the last slash at or before `from`; 0 when there is none, as the first byte is one. */
function lastSlash(bytes: Buffer, from: number): number {
  for (let i = from; i > 0; i--) if (bytes[i] === SLASH) return i;
  return 0;
}

function mergeSlashes(path: Buffer): Buffer {
  const out = Buffer.allocUnsafe(path.length);
  let length = 0;
  for (let i = 0; i < path.length; i++) {
    const byte = path[i] as number;
    if (byte === SLASH && length > 0 && out[length - 1] === SLASH) continue;
    out[length++] = byte;
  }
  return out.subarray(0, length);
}
