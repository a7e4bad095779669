/**
 * The byte classes of RFC 9110 and RFC 3986 as tables, and the few comparisons that heads need.
 * Never a regular expression: every byte of a head is looked at once, by index. Case is folded for
 * ASCII only, so that no other byte can ever become a letter.
 */
export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const QUOTE = 0x22;
export const PERCENT = 0x25;
export const ASTERISK = 0x2a;
export const PLUS = 0x2b;
export const COMMA = 0x2c;
export const DOT = 0x2e;
export const SLASH = 0x2f;
export const ZERO = 0x30;
export const NINE = 0x39;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const EQUALS = 0x3d;
export const QUESTION = 0x3f;
export const AT = 0x40;
export const BRACKET_OPEN = 0x5b;
export const BACKSLASH = 0x5c;
export const BRACKET_CLOSE = 0x5d;

const DIGITS = '0123456789';
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const UNRESERVED_TEXT = `${LETTERS}${DIGITS}-._~`;

/** RFC 9110 5.6.2 tchar. */
export const TOKEN = classOf(`${LETTERS}${DIGITS}!#$%&'*+-.^_\`|~`);

/** RFC 9110 5.5 field-vchar and the whitespace within: HTAB, SP, VCHAR, obs-text. */
export const FIELD_VALUE = fieldValueClass();

/** RFC 3986 2.3. */
export const UNRESERVED = classOf(UNRESERVED_TEXT);

/**
 * Every byte that any form of request target may hold: VCHAR without "#". More than RFC 3986 has, as the URL
 * Standard has browsers send `|`, `{`, `[`, `^`, `"` and others as they are, and here they have one reading.
 */
export const TARGET = targetClass('#');

/** The same before the query, without "%", which needs a look at what follows, and "\\", which many read as "/". */
export const PATH = targetClass('#?%\\');

/** Value of a hexadecimal digit, -1 for any other byte. */
export const HEX_VALUE = hexTable();

const LOWER = lowerTable();

interface Latin1Sliceable extends Buffer {
  latin1Slice(start: number, end: number): string;
}

/** True when `bytes[start, end)` is `lower` but for ASCII case; `lower` must be lower case. */
export function equalsIgnoringCase(
  bytes: Uint8Array,
  start: number,
  end: number,
  lower: string,
): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    if (LOWER[bytes[start + i] as number] !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** True when `bytes[start, end)` is exactly `text` (ASCII). */
export function equalsText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) {
    if (bytes[start + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** The string of `bytes[start, end)`, one char a byte: what a Buffer does fastest. */
export function latin1(bytes: Buffer, start: number, end: number): string {
  // Typed nowhere, but older than `toString` with offsets, and without its argument checks.
  return (bytes as Latin1Sliceable).latin1Slice(start, end);
}

/** True when `text` is a token of RFC 9110 5.6.2. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (TOKEN[text.charCodeAt(i)] !== 1) return false;
  return text.length > 0;
}

/** True when `text` is one or more decimal digits. */
export function isDigits(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < ZERO || code > NINE) return false;
  }
  return text.length > 0;
}

/** True when `text` may stand as a field value: no control bytes, no blanks at either end. */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (FIELD_VALUE[text.charCodeAt(i)] !== 1) return false;
  return (
    text.length === 0 || !(isBlank(text.charCodeAt(0)) || isBlank(text.charCodeAt(text.length - 1)))
  );
}

/**
 * Elements of a #list of tokens, lower case; null when it breaks the grammar (RFC 9110 5.6.1: an
 * empty element is let pass by the RFC, not here) or has more than `countMax`.
 */
export function parseTokenList(value: string, countMax: number): string[] | null {
  if (value === '') return [];
  const elements: string[] = [];
  for (const part of value.split(',')) {
    const element = trimBlanks(part);
    if (elements.length === countMax || !isToken(element)) return null;
    elements.push(element.toLowerCase());
  }
  return elements;
}

export function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}

/** Without SP and HTAB at its ends. */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function classOf(chars: string): Uint8Array {
  const table = new Uint8Array(256);
  for (let i = 0; i < chars.length; i++) table[chars.charCodeAt(i)] = 1;
  return table;
}

/** 0x21 to 0x7e but for `without`. */
function targetClass(without: string): Uint8Array {
  const table = new Uint8Array(256).fill(1, 0x21, 0x7f);
  for (let i = 0; i < without.length; i++) table[without.charCodeAt(i)] = 0;
  return table;
}

function fieldValueClass(): Uint8Array {
  const table = new Uint8Array(256).fill(1);
  table.fill(0, 0, SP);
  table[HTAB] = 1;
  table[0x7f] = 0;
  return table;
}

function hexTable(): Int8Array {
  const table = new Int8Array(256).fill(-1);
  for (let i = 0; i < 16; i++) {
    const digit = i.toString(16);
    table[digit.charCodeAt(0)] = i;
    table[digit.toUpperCase().charCodeAt(0)] = i;
  }
  return table;
}

function lowerTable(): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte,
  );
}
