/**
 * Chunk extensions (RFC 9112 7.1.1), byte by byte: `*( ";" name [ "=" ( token / quoted-string ) ] )`.
 * They are only checked; nothing of them is kept or forwarded. The "bad whitespace" that the RFC
 * would let pass is refused: readers differ in what they make of it.
 */
import { BACKSLASH, CR, EQUALS, FIELD_VALUE, QUOTE, SEMICOLON, TOKEN } from './syntax.ts';

export const EXTENSION_START = 0;
export const EXTENSION_MALFORMED = -1;
/** The CR that ends the line was seen at a place where the extension may end. */
export const EXTENSION_END = -2;

const NAME = 1;
const VALUE_START = 2;
const TOKEN_VALUE = 3;
const QUOTED = 4;
const QUOTED_PAIR = 5;
const QUOTED_END = 6;

/** The state after `byte`; `EXTENSION_START` is the one just after a ";". */
export function extensionAfter(state: number, byte: number): number {
  switch (state) {
    case EXTENSION_START:
      return TOKEN[byte] === 1 ? NAME : EXTENSION_MALFORMED;
    case NAME:
      if (TOKEN[byte] === 1) return NAME;
      return byte === EQUALS ? VALUE_START : afterValue(byte);
    case VALUE_START:
      if (byte === QUOTE) return QUOTED;
      return TOKEN[byte] === 1 ? TOKEN_VALUE : EXTENSION_MALFORMED;
    case TOKEN_VALUE:
      return TOKEN[byte] === 1 ? TOKEN_VALUE : afterValue(byte);
    case QUOTED:
      if (byte === QUOTE) return QUOTED_END;
      if (byte === BACKSLASH) return QUOTED_PAIR;
      return FIELD_VALUE[byte] === 1 ? QUOTED : EXTENSION_MALFORMED;
    case QUOTED_PAIR:
      return FIELD_VALUE[byte] === 1 ? QUOTED : EXTENSION_MALFORMED;
    default:
      return afterValue(byte);
  }
}

function afterValue(byte: number): number {
  if (byte === SEMICOLON) return EXTENSION_START;
  return byte === CR ? EXTENSION_END : EXTENSION_MALFORMED;
}
