/**
 * What was seen of a request whose head was refused: for the record, so that its sender can be told which
 * one it was. Nothing of it was ever judged or sent.
 */
export interface PartialRequest {
  readonly version: 'HTTP/1.1' | 'HTTP/2';
  /** Bytes as Latin-1, bounded; '' when it was not seen. */
  readonly method: string;
  readonly authority: string;
  /** The target as it came, in whatever form. */
  readonly path: string;
  /** One of them is longer than what is kept. */
  readonly isCut: boolean;
}

/** Bytes that are kept, at most. */
const METHOD_BYTES_MAX = 64;
const AUTHORITY_BYTES_MAX = 256;
const PATH_BYTES_MAX = 512;

export const NOTHING_SEEN: PartialRequest = Object.freeze({
  version: 'HTTP/1.1',
  method: '',
  authority: '',
  path: '',
  isCut: false,
});

export interface SeenTexts {
  readonly version: PartialRequest['version'];
  readonly method: string;
  readonly authority: string;
  readonly path: string;
}

/** User information may hold a password: it is left out of host and target. */
export function partialRequest(seen: SeenTexts): PartialRequest {
  const { version, method } = seen;
  const authority = withoutUserInfo(seen.authority);
  const path = targetWithoutUserInfo(seen.path);
  return {
    version,
    method: method.slice(0, METHOD_BYTES_MAX),
    authority: authority.slice(0, AUTHORITY_BYTES_MAX),
    path: path.slice(0, PATH_BYTES_MAX),
    isCut:
      method.length > METHOD_BYTES_MAX ||
      authority.length > AUTHORITY_BYTES_MAX ||
      path.length > PATH_BYTES_MAX,
  };
}

function withoutUserInfo(authority: string): string {
  const at = authority.lastIndexOf('@');
  return at === -1 ? authority : `[redacted]${authority.slice(at)}`;
}

/** A path may hold an "@" and keeps it. */
function targetWithoutUserInfo(target: string): string {
  if (target.startsWith('/')) return target;
  const mark = target.indexOf('://');
  const authorityStart = mark === -1 ? 0 : mark + 3;
  const slash = target.indexOf('/', authorityStart);
  const authorityEnd = slash === -1 ? target.length : slash;
  const authority = target.slice(authorityStart, authorityEnd);
  return target.slice(0, authorityStart) + withoutUserInfo(authority) + target.slice(authorityEnd);
}
