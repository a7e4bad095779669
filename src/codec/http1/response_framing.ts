/**
 * How long a response is, read as liberally as can be: framing that contradicts itself has one reading here
 * (RFC 9112 6.3), is sent on in that form alone, and ends the connection, so that nothing that follows can be
 * taken for another response. Requests are never read so.
 */
import { Cause } from '../../model/fault_detail.ts';
import { CONTENT_LENGTH, TRANSFER_ENCODING } from './field_kind.ts';
import { joinedValue } from './field_lines.ts';
import { FRAMING_CHUNKED, FRAMING_NONE, framingOf } from './framing.ts';
import type { HeadScanner } from './head_scanner.ts';
import { isDigits, trimBlanks } from './syntax.ts';

export interface ResponseLength {
  /** As `framingOf` has it. */
  readonly declared: number;
  /** Not as it ought to be: nothing may follow it. */
  readonly isUnsound: boolean;
}

/** A cause when there is no reading that every client shares. */
export function responseLengthOf(raw: Buffer, scanner: HeadScanner): ResponseLength | Cause {
  const declared = framingOf(raw, scanner);
  if (!(declared instanceof Cause)) return { declared, isUnsound: false };
  const coding = joinedValue(raw, scanner.fieldsStart, TRANSFER_ENCODING).toLowerCase();
  // Over a length, and of HTTP/1.0, too.
  if (coding === 'chunked') return { declared: FRAMING_CHUNKED, isUnsound: true };
  if (coding !== '' && coding !== 'identity') return declared;
  if (scanner.counts[CONTENT_LENGTH] === 0) return { declared: FRAMING_NONE, isUnsound: true };
  const length = oneLength(joinedValue(raw, scanner.fieldsStart, CONTENT_LENGTH));
  return length === null ? declared : { declared: length, isUnsound: true };
}

/** RFC 9110 8.6: several that are equal count as one. */
function oneLength(value: string): number | null {
  const [first = '', ...others] = value.split(',').map(trimBlanks);
  const length = Number(first);
  const isOne = isDigits(first) && Number.isSafeInteger(length);
  return isOne && others.every((other) => other === first) ? length : null;
}
