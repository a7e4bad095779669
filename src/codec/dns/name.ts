/**
 * Names in DNS messages (RFC 1035 3.1, 4.1.4): labels with their lengths before them, or a pointer to labels that
 * stand earlier. A pointer must lead to before the part that it ends. So each hop goes backwards, and none goes round.
 *
 *     ... 3 w w w 7 e x a m p l e 0 ...  4 m a i l ⬑──┐
 *                 └────────────────────────── pointer ┘
 */
import { latin1 } from '../http1/syntax.ts';
import { HEADER_BYTES } from './header.ts';

const LABEL_BYTES_MAX = 63;
/** With all lengths and the root (RFC 1035 2.3.4). */
export const NAME_BYTES_MAX = 255;
const POINTER = 0xc0;
const POINTER_BYTES = 2;
/** One behind each label is all that a name can have use for; a chain without labels could be as long as the message. */
export const POINTER_COUNT_MAX = 127;
const NOT_A_NAME = -1;

/** Where the name that begins at `at` ends, its pointer included; -1 when it is none. Where a pointer leads is not looked at. */
export function endOfName(message: Buffer, at: number): number {
  return scan(message, at, true);
}

/** As `endOfName`, of a name without a pointer. */
export function endOfWholeName(message: Buffer, at: number): number {
  return scan(message, at, false);
}

function scan(message: Buffer, at: number, mayPoint: boolean): number {
  let next = at;
  while (next < message.length) {
    const length = message[next] as number;
    if (length === 0) return next + 1;
    if (length >= POINTER) {
      const end = next + POINTER_BYTES;
      return mayPoint && end <= message.length && targetOf(message, next) < at ? end : NOT_A_NAME;
    }
    if (length > LABEL_BYTES_MAX) return NOT_A_NAME;
    next += 1 + length;
    // The root is still to come.
    if (next - at >= NAME_BYTES_MAX) return NOT_A_NAME;
  }
  return NOT_A_NAME;
}

/**
 * In lower case with a dot behind each label, as policy compares names; null when it is no name. What is no letter, digit
 * or plain sign is escaped as in zone files (RFC 1035 5.1), so a dot within a label is not taken for one between labels.
 */
export function canonicalNameAt(message: Buffer, at: number): string | null {
  let text = '';
  let bytes = 1;
  let part = at;
  let pointers = 0;
  let next = at;
  while (next < message.length) {
    const length = message[next] as number;
    if (length === 0) return text === '' ? '.' : text;
    if (length >= POINTER) {
      const target = next + 1 < message.length ? targetOf(message, next) : part;
      pointers += 1;
      if (target >= part || target < HEADER_BYTES || pointers > POINTER_COUNT_MAX) return null;
      part = target;
      next = target;
      continue;
    }
    bytes += 1 + length;
    const end = next + 1 + length;
    if (length > LABEL_BYTES_MAX || bytes > NAME_BYTES_MAX || end > message.length) return null;
    text += `${labelText(message, next + 1, end)}.`;
    next = end;
  }
  return null;
}

/** Of the pointer at `at`, which has two bytes. */
export function targetOf(message: Buffer, at: number): number {
  return (((message[at] as number) & ~POINTER) << 8) | (message[at + 1] as number);
}

/** Where the labels that begin at `at` end, at the root or a pointer; -1 when they do neither. */
export function endOfLabels(message: Buffer, at: number): number {
  for (let next = at; next < message.length && next - at < NAME_BYTES_MAX; ) {
    const length = message[next] as number;
    if (length === 0) return next;
    if (length >= POINTER) return next + POINTER_BYTES <= message.length ? next : NOT_A_NAME;
    if (length > LABEL_BYTES_MAX) return NOT_A_NAME;
    next += 1 + length;
  }
  return NOT_A_NAME;
}

/** In lower case, with a dot behind each. */
export function labelsText(message: Buffer, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; ) {
    const next = at + 1 + (message[at] as number);
    text += `${labelText(message, at + 1, next)}.`;
    at = next;
  }
  return text;
}

function labelText(message: Buffer, start: number, end: number): string {
  for (let at = start; at < end; at++) {
    if (!isPlain(message[at] as number)) return escaped(message, start, end);
  }
  return latin1(message, start, end);
}

/** Lower-case letters, digits, "-" and "_": all that nearly every name has. */
function isPlain(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x5f
  );
}

function escaped(message: Buffer, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at++) {
    const byte = message[at] as number;
    if (byte >= 0x41 && byte <= 0x5a) text += String.fromCharCode(byte + 0x20);
    else if (byte < 0x20 || byte > 0x7e) text += `\\${`${byte}`.padStart(3, '0')}`;
    else if (SPECIAL.has(byte)) text += `\\${String.fromCharCode(byte)}`;
    else text += String.fromCharCode(byte);
  }
  return text;
}

const SPECIAL: ReadonlySet<number> = new Set(Buffer.from(' ."\'@;()\\', 'latin1'));
