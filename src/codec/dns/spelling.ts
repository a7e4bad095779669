/**
 * Names in letters of both cases by chance (draft-vixie-dnsext-dns0x20): servers give back the question as it was asked,
 * so whoever forges an answer has to guess which letters are large.
 *
 *     client: www.example.com ──► server: wWW.exAmPLe.coM ──► wWW.exAmPLe.coM ──► client: www.example.com
 */
import { AT, HEADER_BYTES } from './header.ts';
import { endOfWholeName } from './name.ts';
import { RecordWalk } from './record.ts';

/** Letters that are varied: a bit for each. */
export const SPELLED_LETTERS_MAX = 32;

const CASE_BIT = 0x20;

/** Turns the letters of the question's name whose bits are set; twice is as before. */
export function turnLetters(message: Buffer, bits: number): void {
  turnNameAt(message, HEADER_BYTES, bits);
}

/**
 * An answer to what `turnLetters` made, in the letters of before: its question, and owners that repeat the name in full in
 * letters of both cases, also in others than these (a server that keeps answers has those of whoever asked first). Small
 * ones are the zone's, as are all other names, or they point to one of these.
 */
export function turnLettersBack(answer: Buffer, bits: number): void {
  const end = endOfWholeName(answer, HEADER_BYTES);
  if (end < 0 || answer.readUInt16BE(AT.questions) !== 1) return;
  turnNameAt(answer, HEADER_BYTES, bits);
  const walk = new RecordWalk(answer, end + 4);
  for (let left = answer.readUInt16BE(AT.answers); left > 0; left--) {
    if (walk.next() !== null) return;
    if (respellsName(answer, walk.ownerAt, end)) {
      answer.copyWithin(walk.ownerAt, HEADER_BYTES, end);
    }
  }
}

/** The name of the question, with a large letter. */
function respellsName(answer: Buffer, ownerAt: number, end: number): boolean {
  const shift = ownerAt - HEADER_BYTES;
  if (end + shift > answer.length) return false;
  let hasCapital = false;
  for (let at = HEADER_BYTES; at < end; at++) {
    const [one, other] = [answer[at] as number, answer[at + shift] as number];
    if (one !== other && ((one ^ other) !== CASE_BIT || !isLetter(one))) return false;
    hasCapital ||= isLetter(other) && (other & CASE_BIT) === 0;
  }
  return hasCapital;
}

function turnNameAt(message: Buffer, nameAt: number, bits: number): void {
  let letters = 0;
  for (let at = nameAt; at < message.length && letters < SPELLED_LETTERS_MAX; ) {
    const length = message[at] as number;
    if (length === 0 || length > 63) return;
    const end = Math.min(at + 1 + length, message.length);
    for (at += 1; at < end && letters < SPELLED_LETTERS_MAX; at++) {
      if (!isLetter(message[at] as number)) continue;
      if (((bits >>> letters) & 1) === 1) message[at] = (message[at] as number) ^ CASE_BIT;
      letters += 1;
    }
  }
}

function isLetter(byte: number): boolean {
  const lowered = byte | CASE_BIT;
  return lowered >= 0x61 && lowered <= 0x7a;
}
