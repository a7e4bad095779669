/**
 * hot path
 *
 * HPACK, encoding side, without dynamic state (RFC 7541): indexed static fields, else literals
 * without indexing, secrets never indexed. A block means the same wherever it stands, so a stream
 * that is refused, held or retried leaves no trace in the others. No Huffman: the bytes it saves
 * on a cluster network cost more CPU than they are worth.
 */
import {
  isCredential,
  KIND_ACCEPT_ENCODING,
  KIND_CODE_MASK,
  KIND_METHOD,
  KIND_NEVER_INDEXED,
  KIND_PATH,
  KIND_SCHEME,
  KIND_SET_COOKIE,
  KIND_STATUS,
  knownNameCode,
} from './field_kind.ts';
import { STATIC_COUNT } from './static_table.ts';

/** A dynamic table size update to 0 (RFC 7541 6.3). */
export const SIZE_UPDATE_TO_ZERO = 0x20;

const LITERAL = 0x00;
const LITERAL_NEVER_INDEXED = 0x10;

/** Two lengths or indexes of at most five bytes each, and the name index. */
const FIELD_OVERHEAD_BYTES_MAX = 11;

/** Up to here a loop over the chars is faster than a call into C++. */
const SHORT_STRING_LENGTH = 16;

/** Names up to here have static entries with a value: pseudo-fields and accept-encoding. */
const LAST_STATIC_VALUE_CODE = KIND_ACCEPT_ENCODING;

const STATUS_INDEX: ReadonlyMap<string, number> = new Map(
  ['200', '204', '206', '304', '400', '404', '500'].map((status, i) => [status, KIND_STATUS + i]),
);

/** Enough bytes for `encodeFields` of the same fields. */
export function encodedLengthMax(fields: readonly string[], from: number): number {
  let length = 0;
  for (let i = from; i < fields.length; i++) length += (fields[i] as string).length;
  return length + ((fields.length - from) >> 1) * FIELD_OVERHEAD_BYTES_MAX;
}

/**
 * Writes the fields from array index `from` on to `target` at `at` and gives the offset behind
 * them. `kinds`, where it is known, saves looking names up; it counts fields, not elements.
 */
export function encodeFields(
  target: Buffer,
  at: number,
  source: {
    readonly fields: readonly string[];
    readonly kinds: readonly number[] | null;
    readonly from: number;
  },
): number {
  const { fields, kinds } = source;
  let end = at;
  for (let i = source.from; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string;
    const kind = kinds === null ? knownNameCode(name) : (kinds[i >> 1] as number);
    end = encodeField(target, end, name, fields[i + 1] as string, kind);
  }
  return end;
}

/**
 * One field; `kind` as field_kind.ts has it. Chars above 0xff would be cut to another byte: the caller
 * has checked that there are none (isFieldValue).
 */
export function encodeField(
  target: Buffer,
  at: number,
  name: string,
  value: string,
  kind: number,
): number {
  const code = kind & KIND_CODE_MASK;
  const index = code <= LAST_STATIC_VALUE_CODE ? staticFieldIndex(code, value) : 0;
  if (index !== 0) {
    target[at] = 0x80 | index;
    return at + 1;
  }
  const isSecret = isCredential(code) && code !== KIND_SET_COOKIE;
  const isNeverIndexed = isSecret || (kind & KIND_NEVER_INDEXED) !== 0;
  const pattern = isNeverIndexed ? LITERAL_NEVER_INDEXED : LITERAL;
  if (code <= STATIC_COUNT) {
    return writeString(target, writeInteger(target, at, 0x0f, pattern, code), value);
  }
  target[at] = pattern;
  return writeString(target, writeString(target, at + 1, name), value);
}

/** 0 when the static table has no field of that name with that value. */
function staticFieldIndex(code: number, value: string): number {
  switch (code) {
    case KIND_METHOD:
      return value === 'GET' ? 2 : value === 'POST' ? 3 : 0;
    case KIND_PATH:
      return value === '/' ? 4 : value === '/index.html' ? 5 : 0;
    case KIND_SCHEME:
      return value === 'http' ? 6 : value === 'https' ? 7 : 0;
    case KIND_STATUS:
      return STATUS_INDEX.get(value) ?? 0;
    case KIND_ACCEPT_ENCODING:
      return value === 'gzip, deflate' ? KIND_ACCEPT_ENCODING : 0;
    default:
      return 0;
  }
}

function writeString(target: Buffer, at: number, text: string): number {
  const length = text.length;
  let end = writeInteger(target, at, 0x7f, 0, length);
  if (length > SHORT_STRING_LENGTH) return end + target.write(text, end, 'latin1');
  for (let i = 0; i < length; i++) target[end++] = text.charCodeAt(i);
  return end;
}

/** RFC 7541 5.1. */
function writeInteger(
  target: Buffer,
  at: number,
  prefixMask: number,
  pattern: number,
  value: number,
): number {
  if (value < prefixMask) {
    target[at] = pattern | value;
    return at + 1;
  }
  target[at] = pattern | prefixMask;
  let end = at + 1;
  let rest = value - prefixMask;
  while (rest >= 0x80) {
    target[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[end++] = rest;
  return end;
}
