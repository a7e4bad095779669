/**
 * Paths as Cilium has Envoy treat them (normalize_path, merge_slashes, UNESCAPE_AND_REDIRECT), for
 * HTTP/1.1 and HTTP/2 alike: what comes out is both what policy matches and what is sent. Envoy's
 * order is kept: escaped slashes first, then dot segments and percent-encoded unreserved bytes
 * (Chromium's URL canonicaliser), then repeated slashes. Dot segments go before slashes are merged,
 * so "/a//../b" is "/a/b", as there. Escapes that stay keep the case of their hex digits, as there.
 *
 * The query is never changed. Stricter than Envoy: anything outside RFC 3986, %00 anywhere and
 * percent-encoded control bytes in the path are malformed, where Envoy escapes or passes them.
 */
import { Cause, causeOf } from '../model/fault_detail.ts';
import {
  BACKSLASH,
  DOT,
  HEX_VALUE,
  latin1,
  PATH,
  PERCENT,
  QUERY,
  QUESTION,
  SLASH,
  SP,
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

/** `path` is path and query in origin form: "/" first, no fragment. */
export function normalisePath(path: Buffer): NormalisedPath {
  const outcome = checkPath(path, 0, path.length);
  if (outcome === PATH_SAME) return SAME;
  if (outcome === PATH_MALFORMED) return MALFORMED;
  const pathEnd = queryStart(path);
  const unescaped = unescapeSlashes(path, pathEnd);
  const normal = mergeSlashes(removeDotSegments(unescaped ?? path.subarray(0, pathEnd)));
  const whole = Buffer.concat([normal, path.subarray(pathEnd)]);
  if (unescaped !== null) return { kind: 'redirect', path: latin1(whole, 0, whole.length) };
  return whole.equals(path) ? SAME : { kind: 'changed', path: whole };
}

/**
 * Checks the grammar of RFC 3986 3.3 and 3.4, without making anything. Hot path: PATH_SAME means
 * that normalising would change nothing; PATH_UNUSUAL that it might.
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
      const value = escapedByte(bytes, i, end);
      if (value < SP || value === DELETE) return PATH_MALFORMED;
      outcome = PATH_UNUSUAL;
      i += 2;
    } else {
      return byte === QUESTION && isQuery(bytes, i + 1, end) ? outcome : PATH_MALFORMED;
    }
    before = byte;
  }
  return outcome;
}

/** Why `checkPath` said PATH_MALFORMED: the first byte that is wrong. */
export function pathCause(bytes: Buffer, start: number, end: number): Cause {
  if (start >= end || bytes[start] !== SLASH) return causeOf('target-form');
  let isInQuery = false;
  for (let i = start + 1; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte === QUESTION) isInQuery = true;
    if (byte !== PERCENT) {
      const isGood = isInQuery ? QUERY[byte] === 1 : PATH[byte] === 1;
      if (!isGood) return new Cause('path-character', i, byte);
      continue;
    }
    const value = escapedByte(bytes, i, end);
    if (value < 0) return new Cause('path-escape', i, byte);
    const isControl = isInQuery ? value === 0 : value < SP || value === DELETE;
    if (isControl) return new Cause('path-escaped-control', i, byte);
    i += 2;
  }
  return causeOf('target-form');
}

function isQuery(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (QUERY[byte] === 1) continue;
    // %0A and the like are what forms and PromQL queries hold; %00 is only ever an attack.
    if (byte !== PERCENT || escapedByte(bytes, i, end) <= 0) return false;
    i += 2;
  }
  return true;
}

/** The byte that "%XX" at `i` stands for, or -1 when it is no escape. */
function escapedByte(bytes: Buffer, i: number, end: number): number {
  if (i + 2 >= end) return -1;
  const high = HEX_VALUE[bytes[i + 1] as number] as number;
  const low = HEX_VALUE[bytes[i + 2] as number] as number;
  return high < 0 || low < 0 ? -1 : high * 16 + low;
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
      if (value >= 0 && UNRESERVED[value] === 1) {
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
