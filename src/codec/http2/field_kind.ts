/**
 * What a field is, as one small integer: found out once, when a field enters the HPACK dynamic
 * table, and kept there, so that validating a repeated field costs nothing. The low bits name the
 * field: its first index in HPACK's static table, or one of the codes below; flags are above.
 */
import { CREDENTIAL_FIELDS } from '../../model/credential_fields.ts';
import { COLON, FIELD_VALUE, isBlank, isFieldValue, TOKEN } from '../http1/syntax.ts';
import { STATIC_COUNT, STATIC_FIELDS, STATIC_NAME_INDEX } from './static_table.ts';

export const KIND_AUTHORITY = 1;
export const KIND_METHOD = 2;
export const KIND_PATH = 4;
export const KIND_SCHEME = 6;
export const KIND_STATUS = 8;
/** Codes up to here are pseudo-fields. */
export const KIND_PSEUDO_MAX = 14;
export const KIND_ACCEPT_ENCODING = 16;
export const KIND_AUTHORIZATION = 23;
export const KIND_CONTENT_LENGTH = 28;
export const KIND_CONTENT_TYPE = 31;
export const KIND_COOKIE = 32;
export const KIND_ETAG = 34;
export const KIND_EXPECT = 35;
export const KIND_HOST = 38;
export const KIND_PROXY_AUTHORIZATION = 49;
export const KIND_SET_COOKIE = 55;

/** Not in the static table, and carries credentials. */
export const KIND_CREDENTIAL = 63;
/** Any other valid name that is not in the static table. */
export const KIND_OTHER = 64;
export const KIND_TE = 65;
/** Fields that belong to one connection and do not exist in HTTP/2 (RFC 9113 8.2.2). */
export const KIND_CONNECTION_SPECIFIC = 66;
/** A name that begins with a colon and is none of those above (RFC 9113 8.3). */
export const KIND_UNKNOWN_PSEUDO = 67;
/** A name that breaks the grammar: not a lower-case token (RFC 9113 8.2.1). */
export const KIND_MALFORMED = 68;

export const KIND_CODE_MASK = 0x7f;
/** The value breaks the grammar (RFC 9113 8.2.1, RFC 9110 5.5). */
export const KIND_BAD_VALUE = 0x80;
/** Came as never-indexed, and must leave so (RFC 7541 7.1.3). */
export const KIND_NEVER_INDEXED = 0x100;

const CONNECTION_SPECIFIC_NAMES: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
];

const NAME_CODES: ReadonlyMap<string, number> = nameCodes();

/** By static index; 0 is not used. The values of the static table are all good. */
export const STATIC_KINDS: readonly number[] = [0, ...staticKinds()];

/** RFC 9113 8.2.1: a token without upper case. */
const LOWER_TOKEN: Uint8Array = lowerTokenClass();

/** Its value is for one client's or one user's eyes. */
export function isCredential(code: number): boolean {
  return (
    code === KIND_CREDENTIAL ||
    code === KIND_AUTHORIZATION ||
    code === KIND_COOKIE ||
    code === KIND_PROXY_AUTHORIZATION ||
    code === KIND_SET_COOKIE
  );
}

/** The code of a name that is known to be good. */
export function knownNameCode(name: string): number {
  return NAME_CODES.get(name) ?? KIND_OTHER;
}

/** The code of a name (latin1 string), malformed ones included. */
export function nameCode(name: string): number {
  const code = NAME_CODES.get(name);
  if (code !== undefined) return code;
  if (name.length === 0) return KIND_MALFORMED;
  if (name.charCodeAt(0) === COLON) return KIND_UNKNOWN_PSEUDO;
  for (let i = 0; i < name.length; i++) {
    if (LOWER_TOKEN[name.charCodeAt(i)] !== 1) return KIND_MALFORMED;
  }
  return KIND_OTHER;
}

/**
 * 0 for a good value, else KIND_BAD_VALUE. Stricter than RFC 9113 8.2.1, as strict as HTTP/1.1: no
 * control character but the tab, no white space at either end.
 */
export function valueFlag(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return 0;
  if (isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number)) return KIND_BAD_VALUE;
  for (let at = start; at < end; at++) {
    if (FIELD_VALUE[bytes[at] as number] !== 1) return KIND_BAD_VALUE;
  }
  return 0;
}

/** A well-formed field that is no pseudo-field and does not belong to one connection. */
export function isRegular(kind: number): boolean {
  if ((kind & KIND_BAD_VALUE) !== 0) return false;
  const code = kind & KIND_CODE_MASK;
  return (
    code > KIND_PSEUDO_MAX &&
    code !== KIND_TE &&
    code !== KIND_CONNECTION_SPECIFIC &&
    code !== KIND_MALFORMED &&
    code !== KIND_UNKNOWN_PSEUDO
  );
}

/** True for a name that a header action or a local reply may set: no framing, routing or hop field. */
export function isSettableName(name: string): boolean {
  const code = nameCode(name);
  if (code === KIND_CONTENT_LENGTH || code === KIND_HOST) return false;
  return code > KIND_PSEUDO_MAX && code <= KIND_OTHER;
}

/** True when a message of our own may have these (flat): well formed, and not of one connection. */
export function areSendable(fields: readonly string[]): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const code = nameCode(fields[i] as string);
    const isName = code > KIND_PSEUDO_MAX && code < KIND_TE;
    if (!isName || !isFieldValue(fields[i + 1] as string)) return false;
  }
  return true;
}

function nameCodes(): Map<string, number> {
  const codes = new Map(STATIC_NAME_INDEX);
  for (const name of CREDENTIAL_FIELDS) if (!codes.has(name)) codes.set(name, KIND_CREDENTIAL);
  codes.set('te', KIND_TE);
  for (const name of CONNECTION_SPECIFIC_NAMES) codes.set(name, KIND_CONNECTION_SPECIFIC);
  return codes;
}

function staticKinds(): number[] {
  const kinds: number[] = [];
  for (let index = 1; index <= STATIC_COUNT; index++) {
    kinds.push(NAME_CODES.get(STATIC_FIELDS[2 * (index - 1)] as string) as number);
  }
  return kinds;
}

function lowerTokenClass(): Uint8Array {
  const table = Uint8Array.from(TOKEN);
  table.fill(0, 0x41, 0x5b);
  return table;
}
