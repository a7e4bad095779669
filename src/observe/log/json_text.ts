/**
 * hot path
 *
 * JSON text, made by hand where a line is made for every request. Everything that is not printable
 * ASCII is escaped, so that no value can end a line, start a terminal's escape sequence (C1 controls
 * included), or be taken for another field; and so that a char is a byte.
 */

/** A JSON string literal of printable ASCII. Any string will do. */
export function quote(text: string): string {
  return NEEDS_ESCAPE.test(text) ? escaped(text) : `"${text}"`;
}

/** A JSON list of strings. */
export function quoteList(texts: readonly string[]): string {
  let list = '[';
  for (let i = 0; i < texts.length; i++)
    list += `${i === 0 ? '' : ','}${quote(texts[i] as string)}`;
  return `${list}]`;
}

/** A whole number; JSON has no NaN and no Infinity. */
export function integer(value: number): string {
  return Number.isFinite(value) ? String(Math.trunc(value)) : '0';
}

const NEEDS_ESCAPE = /[^ !#-[\]-~]/;
const NOT_ASCII = /[\u007f-\uffff]/g;

function escaped(text: string): string {
  return asciiOf(JSON.stringify(text));
}

/** The same JSON in ASCII. */
export function asciiOf(json: string): string {
  return json.replace(
    NOT_ASCII,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
