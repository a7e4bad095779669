/**
 * The request target in its three forms (RFC 9112 3.2; the fourth, authority-form, came with a
 * CONNECT that was refused before). Whatever the form, what comes out is a path in origin form (or
 * "*"), and the authority is that of the one Host field.
 */
import { Cause, causeOf } from '../../model/fault_detail.ts';
import type { PathParameterAction } from '../../model/path_parameters.ts';
import { hasPathParameter } from '../hidden_dots.ts';
import { checkPath, normalisePath, PATH_MALFORMED, PATH_SAME, pathCause, pathOf } from '../path.ts';
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

export interface TargetRules {
  readonly isPathNormalised: boolean;
  /** By default kept. */
  readonly pathParameters?: PathParameterAction;
}

export function readTarget(
  raw: Buffer,
  scanner: HeadScanner,
  rules: TargetRules,
): RequestTarget | Cause {
  const start = scanner.targetStart;
  const end = scanner.targetEnd;
  if (raw[start] === SLASH) return readPath(raw, { start, end, rules });
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
  return readAbsolute(raw, scanner, rules);
}

function readPath(
  raw: Buffer,
  from: { readonly start: number; readonly end: number; readonly rules: TargetRules },
): RequestTarget | Cause {
  const { start, end } = from;
  const outcome = checkPath(raw, start, end);
  if (outcome === PATH_MALFORMED) return pathCause(raw, start, end);
  if (from.rules.pathParameters === 'refuse' && hasPathParameter(pathOf(raw, start, end))) {
    return causeOf('path-parameter');
  }
  let path: string | null = null;
  let redirectTo = '';
  if (outcome !== PATH_SAME) {
    const normal = normalisePath(raw.subarray(start, end));
    if (normal.kind === 'malformed') return pathCause(raw, start, end);
    if (from.rules.isPathNormalised) {
      if (normal.kind === 'changed') path = latin1(normal.path, 0, normal.path.length);
      if (normal.kind === 'redirect') path = redirectTo = normal.path;
    }
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
  rules: TargetRules,
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
  if (!isHostOf(raw, scanner, authorityStart, authorityEnd)) return causeOf('host-differs');
  const target = readAbsolutePath(raw, scanner, { start: authorityEnd, end, rules });
  return target instanceof Cause ? target : { ...target, scheme, isAsSent: false };
}

/** An empty path is "/", or "*" for OPTIONS without a query (RFC 9112 3.2.1, 3.2.4). */
function readAbsolutePath(
  raw: Buffer,
  scanner: HeadScanner,
  from: { readonly start: number; readonly end: number; readonly rules: TargetRules },
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

/** The same host and port, 80 being the port when none is named (RFC 9110 4.2.1, 4.2.3). */
function isHostOf(raw: Buffer, scanner: HeadScanner, start: number, end: number): boolean {
  const hostStart = scanner.valueStarts[HOST] as number;
  const hostEnd = scanner.valueEnds[HOST] as number;
  const host = latin1(raw, hostStart, withoutDefaultPort(raw, hostStart, hostEnd)).toLowerCase();
  return equalsIgnoringCase(raw, start, withoutDefaultPort(raw, start, end), host);
}

/** Where the host ends. It is known to be one, so that ":80" at its end is its port. */
function withoutDefaultPort(raw: Buffer, start: number, end: number): number {
  const portStart = end - DEFAULT_PORT.length;
  return portStart > start && equalsText(raw, portStart, end, DEFAULT_PORT) ? portStart : end;
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

/** This is cleartext: what asks for https came the wrong way (RFC 9110 7.4). */
const SCHEMES = ['http'];
const SCHEME_MARK = '://';
const DEFAULT_PORT = ':80';
