/**
 * The field lines of a head that was scanned before, as strings, and as they are to be sent: this
 * hop's own fields taken out or rewritten. Made only when somebody asks for fields or when a head
 * is written anew; a canonical head is forwarded without coming here.
 */
import {
  CONNECTION,
  CONTENT_LENGTH,
  fieldKindOf,
  HOST,
  HTTP2_SETTINGS,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TE,
  TRAILER,
  TRANSFER_ENCODING,
  UPGRADE,
} from './field_kind.ts';
import { CR, isBlank, latin1 } from './syntax.ts';

/** How the fields that belong to the hop are written. */
export interface HopFields {
  /** Value of the one Connection line, or '' for none. */
  readonly connection: string;
  /** Null: Content-Length goes; else its one canonical value. */
  readonly contentLength: string | null;
  /** Value of the Host line; null in a response. */
  readonly authority: string | null;
  readonly isUpgradeKept: boolean;
  readonly isTrailerKept: boolean;
  readonly areUnderscoresDropped: boolean;
  /** Transfer-Encoding is not sent. */
  readonly isCodingDropped: boolean;
  /** Lower-case names that Connection nominated. */
  readonly nominated: ReadonlySet<string>;
}

export interface SentLines {
  /** Flat [name, value, ...] of every line, in the order in which it came. */
  readonly all: readonly string[];
  /** The same without what is the hop's own: host, connection (but for an upgrade), coding. */
  readonly fields: readonly string[];
}

/** `raw` must have been accepted by the scanner; its fields begin at `fieldsStart`. */
export function sentLines(raw: Buffer, fieldsStart: number, hop: HopFields): SentLines {
  const all: string[] = [];
  const fields: string[] = [];
  let isConnectionWritten = false;
  let isLengthWritten = false;
  // One string of the head, and slices of it: a third of the cost of a string a field.
  const text = latin1(raw, 0, raw.length);
  for (let at = fieldsStart; raw[at] !== CR; ) {
    const colon = text.indexOf(':', at);
    const lineEnd = text.indexOf('\r', colon);
    const kind = fieldKindOf(raw, at, colon);
    const name = text.slice(at, colon);
    let value = trimmed(text, colon + 1, lineEnd);
    at = lineEnd + 2;
    if (kind === CONNECTION) {
      if (isConnectionWritten || hop.connection === '') continue;
      isConnectionWritten = true;
      if (value.toLowerCase() !== hop.connection) value = hop.connection;
      all.push(name, value);
      if (hop.isUpgradeKept) fields.push(name, value);
      continue;
    }
    if (isDropped(kind, hop) || isNominated(name, hop.nominated)) continue;
    if (hop.areUnderscoresDropped && name.includes('_')) continue;
    if (kind === HOST && hop.authority !== null) value = hop.authority;
    else if (kind === CONTENT_LENGTH) {
      if (isLengthWritten) continue;
      isLengthWritten = true;
      value = hop.contentLength ?? '';
    } else if (kind === TRANSFER_ENCODING) value = 'chunked';
    all.push(name, value);
    const isHopOnly = kind === TRANSFER_ENCODING || (kind === HOST && hop.authority !== null);
    if (!isHopOnly) fields.push(name, value);
  }
  return { all, fields };
}

/** Flat [name, value, ...] of every line as it was read. */
export function readLines(raw: Buffer, fieldsStart: number): readonly string[] {
  const lines: string[] = [];
  const text = latin1(raw, 0, raw.length);
  for (let at = fieldsStart; raw[at] !== CR; ) {
    const colon = text.indexOf(':', at);
    const lineEnd = text.indexOf('\r', colon);
    lines.push(text.slice(at, colon), trimmed(text, colon + 1, lineEnd));
    at = lineEnd + 2;
  }
  return lines;
}

/** Whether the name of a line holds "_". */
export function hasUnderscoreName(raw: Buffer, fieldsStart: number): boolean {
  if (raw.indexOf('_', fieldsStart) === -1) return false;
  return readLines(raw, fieldsStart).some((text, i) => i % 2 === 0 && text.includes('_'));
}

/** The values of all lines of one kind joined with ",", whether they are sent on or not. */
export function joinedValue(raw: Buffer, fieldsStart: number, kind: number): string {
  const values: string[] = [];
  const text = latin1(raw, 0, raw.length);
  for (let at = fieldsStart; raw[at] !== CR; ) {
    const colon = text.indexOf(':', at);
    const lineEnd = text.indexOf('\r', colon);
    if (fieldKindOf(raw, at, colon) === kind) values.push(trimmed(text, colon + 1, lineEnd));
    at = lineEnd + 2;
  }
  return values.join(',');
}

/** RFC 9110 7.6.1, and HTTP2-Settings (RFC 7540 3.2.1), which only an h2c upgrade has. */
function isDropped(kind: number, hop: HopFields): boolean {
  switch (kind) {
    case KEEP_ALIVE:
    case PROXY_CONNECTION:
    case TE:
    case HTTP2_SETTINGS:
      return true;
    case TRAILER:
      return !hop.isTrailerKept;
    case UPGRADE:
      return !hop.isUpgradeKept;
    case CONTENT_LENGTH:
      return hop.contentLength === null;
    case TRANSFER_ENCODING:
      return hop.isCodingDropped;
    default:
      return false;
  }
}

function isNominated(name: string, nominated: ReadonlySet<string>): boolean {
  return nominated.size > 0 && nominated.has(name.toLowerCase());
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}
