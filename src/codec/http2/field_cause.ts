/** What is wrong with one field that may not stand where it stands. Runs when something is, never else. */
import { Cause, causeOf } from '../../model/fault_detail.ts';
import { FIELD_VALUE, isBlank, TOKEN } from '../http1/syntax.ts';
import {
  KIND_BAD_VALUE,
  KIND_CODE_MASK,
  KIND_CONNECTION_SPECIFIC,
  KIND_PSEUDO_MAX,
  KIND_TE,
  KIND_UNKNOWN_PSEUDO,
} from './field_kind.ts';
import type { HpackDecoder } from './hpack_decoder.ts';

/** `index` of the field, not of the array's element. */
export function fieldCause({ fields, kinds }: HpackDecoder, index: number): Cause {
  const kind = kinds[index] as number;
  const code = kind & KIND_CODE_MASK;
  if (code <= KIND_PSEUDO_MAX) return causeOf('pseudo-late');
  if (code === KIND_UNKNOWN_PSEUDO) return causeOf('pseudo-unknown');
  if ((kind & KIND_BAD_VALUE) !== 0) return valueCause(fields[2 * index + 1] as string);
  if (code === KIND_CONNECTION_SPECIFIC) return causeOf('field-of-connection');
  if (code === KIND_TE) return causeOf('te-value');
  return nameCause(fields[2 * index] as string);
}

function nameCause(name: string): Cause {
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    if (TOKEN[byte] !== 1 || isUpperCase(byte)) return new Cause('field-name-character', i, byte);
  }
  return causeOf('field-name-empty');
}

/** A control character, or white space at either end. */
function valueCause(value: string): Cause {
  const last = value.length - 1;
  for (let i = 0; i <= last; i++) {
    const byte = value.charCodeAt(i);
    const isAtEnd = i === 0 || i === last;
    if (FIELD_VALUE[byte] !== 1 || (isAtEnd && isBlank(byte))) {
      return new Cause('field-value-character', i, byte);
    }
  }
  return causeOf('field-value-character');
}

function isUpperCase(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}
