/** JSON documents one after another, as `kubectl get -o json` and `jq` write them: no document of YAML, taken together. */

/** From 1. */
export interface TextPlace {
  readonly line: number;
  readonly column: number;
}

export interface JsonDocument {
  readonly text: string;
  readonly start: TextPlace;
}

/**
 * Null unless the text is JSON objects or lists, more than one, with nothing but white space between them. What is
 * not JSON through and through is left to the reader of YAML, which says what is wrong with it.
 */
export function splitJson(text: string): readonly JsonDocument[] | null {
  const documents: JsonDocument[] = [];
  let place: TextPlace = { line: 1, column: 1 };
  let at = text.startsWith('\ufeff') ? 1 : 0;
  for (let start = skipSpace(text, at); start < text.length; start = skipSpace(text, at)) {
    place = placeAfter(text, { from: at, to: start }, place);
    const end = endOfValue(text, start);
    if (end === null) return null;
    const one = text.slice(start, end);
    documents.push({ text: one, start: place });
    place = placeAfter(text, { from: start, to: end }, place);
    at = end;
  }
  return documents.length > 1 && documents.every(({ text: one }) => isJson(one)) ? documents : null;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at++;
  return at;
}

/** Where the brackets that open at `start` are closed; null when they are not. */
function endOfValue(text: string, start: number): number | null {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '"') {
      at = endOfString(text, at);
    } else if (character === '{' || character === '[') {
      depth++;
    } else if (character === '}' || character === ']') {
      depth--;
      if (depth === 0) return at + 1;
    }
    if (depth === 0) return null;
  }
  return null;
}

/** The index of the quote that closes. */
function endOfString(text: string, open: number): number {
  let at = open + 1;
  while (at < text.length && text.charAt(at) !== '"') at += text.charAt(at) === '\\' ? 2 : 1;
  return at;
}

function placeAfter(
  text: string,
  range: { readonly from: number; readonly to: number },
  place: TextPlace,
): TextPlace {
  let { line, column } = place;
  for (let at = range.from; at < range.to; at++) {
    if (text.charAt(at) === '\n') {
      line++;
      column = 1;
    } else {
      column++;
    }
  }
  return { line, column };
}

/** Nested deeper than the reader can go counts as none: then the reader of YAML says so. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
