/**
 * The request target in its three forms (RFC 9112 3.2; the fourth, authority-form, came with a
 * CONNECT that was refused before). Whatever the form, what comes out is a path in origin form (or
 * "*"), and the authority is that of the one Host field.
 */
import { Cause, causeOf } from '../../model/fault_detail.ts';
import { checkPath, normalisePath, PATH_MALFORMED, PATH_SAME, pathCause } from '../path.ts';
import { HOST } from './field_kind.ts';
import type { HeadScanner } from './head_scanner.ts';
import { isHost } from './host.ts';
import {
  ASTERISK,
  equalsIgnoringCase,
  equalsText,
  latin1,
  PLUS,
  QUESTION,
  SLASH,
  UNRESERVED,
} from './syntax.ts';

export interface RequestTarget {
  readonly pathStart: number;
  readonly pathEnd: number;
  /** The path when it is not `raw[pathStart, pathEnd)`, else null. */
  readonly path: string | null;
  /** '' unless %2F or %5C stood in the path. */
  readonly redirectTo: string;
  readonly scheme: string;
  /** The target stands in `raw` as it is to be sent. */
  readonly isAsSent: boolean;
}

export function readTarget(
  raw: Buffer,
  scanner: HeadScanner,
  isPathNormalised: boolean,
): RequestTarget | Cause {
  const start = scanner.targetStart;
  const end = scanner.targetEnd;
  if (raw[start] === SLASH) return readPath(raw, { start, end, isPathNormalised });
  if (raw[start] === ASTERISK && end === start + 1) {
    if (!isOptions(raw, scanner)) return causeOf('target-asterisk');
    return {
      pathStart: start,
      pathEnd: end,
      path: null,
      redirectTo: '',
      scheme: 'http',
      isAsSent: true,
    };
  }
  return readAbsolute(raw, scanner, isPathNormalised);
}

function readPath(
  raw: Buffer,
  from: { readonly start: number; readonly end: number; readonly isPathNormalised: boolean },
): RequestTarget | Cause {
  const { start, end } = from;
  const outcome = checkPath(raw, start, end);
  if (outcome === PATH_MALFORMED) return pathCause(raw, start, end);
  let path: string | null = null;
  let redirectTo = '';
  if (outcome !== PATH_SAME && from.isPathNormalised) {
    const normal = normalisePath(raw.subarray(start, end));
    if (normal.kind === 'malformed') return pathCause(raw, start, end);
    if (normal.kind === 'changed') path = latin1(normal.path, 0, normal.path.length);
    if (normal.kind === 'redirect') path = redirectTo = normal.path;
  }
  const isAsSent = path === null;
  return { pathStart: start, pathEnd: end, path, redirectTo, scheme: 'http', isAsSent };
}

/**
 * RFC 9112 3.2.2: the target's authority is the one that counts. It must be what Host says, so that
 * no reader can take the other one; user information is refused with everything that is no host.
 */
function readAbsolute(
  raw: Buffer,
  scanner: HeadScanner,
  isPathNormalised: boolean,
): RequestTarget | Cause {
  const { targetStart: start, targetEnd: end } = scanner;
  const scheme = schemeOf(raw, start, end);
  if (scheme === null) return causeOf(hasScheme(raw, start, end) ? 'target-scheme' : 'target-form');
  const authorityStart = start + scheme.length + SCHEME_MARK.length;
  let authorityEnd = authorityStart;
  while (authorityEnd < end && raw[authorityEnd] !== SLASH && raw[authorityEnd] !== QUESTION) {
    authorityEnd++;
  }
  if (!isHost(raw, authorityStart, authorityEnd)) return causeOf('target-authority');
  const host = latin1(raw, scanner.valueStarts[HOST] as number, scanner.valueEnds[HOST] as number);
  if (!equalsIgnoringCase(raw, authorityStart, authorityEnd, host.toLowerCase())) {
    return causeOf('host-differs');
  }
  const target = readAbsolutePath(raw, scanner, { start: authorityEnd, end, isPathNormalised });
  return target instanceof Cause ? target : { ...target, scheme, isAsSent: false };
}

/** An empty path is "/", or "*" for OPTIONS without a query (RFC 9112 3.2.1, 3.2.4). */
function readAbsolutePath(
  raw: Buffer,
  scanner: HeadScanner,
  from: { readonly start: number; readonly end: number; readonly isPathNormalised: boolean },
): RequestTarget | Cause {
  const { start, end } = from;
  if (raw[start] === SLASH && start < end) return readPath(raw, from);
  const query = latin1(raw, start, end);
  const path = query === '' && isOptions(raw, scanner) ? '*' : `/${query}`;
  const origin = Buffer.from(`/${query}`, 'latin1');
  if (checkPath(origin, 0, origin.length) === PATH_MALFORMED) {
    const { detail, offset, byte } = pathCause(origin, 0, origin.length);
    return new Cause(detail, start + offset - 1, byte);
  }
  return { pathStart: start, pathEnd: end, path, redirectTo: '', scheme: 'http', isAsSent: false };
}

function schemeOf(raw: Buffer, start: number, end: number): string | null {
  for (const scheme of SCHEMES) {
    const markEnd = start + scheme.length + SCHEME_MARK.length;
    if (markEnd <= end && equalsIgnoringCase(raw, start, markEnd, scheme + SCHEME_MARK)) {
      return scheme;
    }
  }
  return null;
}

/** What stands before "://" is a name (RFC 3986 3.1), though not one that has a reading here. */
function hasScheme(raw: Buffer, start: number, end: number): boolean {
  const mark = raw.indexOf(SCHEME_MARK, start, 'latin1');
  if (mark <= start || mark >= end) return false;
  for (let i = start; i < mark; i++) {
    const byte = raw[i] as number;
    if (UNRESERVED[byte] !== 1 && byte !== PLUS) return false;
  }
  return true;
}

function isOptions(raw: Buffer, scanner: HeadScanner): boolean {
  return equalsText(raw, 0, scanner.methodEnd, 'OPTIONS');
}

const SCHEMES = ['http', 'https'];
const SCHEME_MARK = '://';
