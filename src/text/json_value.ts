/**
 * Foreign JSON as a value, within the bounds of a document: the only place that parses it. How many bytes it may have
 * is for those who read it.
 */
import { DocumentBounds, type DocumentLimits, TooMuch } from './document_bounds.ts';

export type JsonResult =
  | { readonly kind: 'value'; readonly value: unknown }
  /** What is wrong, and where. */
  | { readonly kind: 'error'; readonly message: string };

export function parseJson(text: string, limits: DocumentLimits): JsonResult {
  try {
    checkBounds(text, limits);
    return { kind: 'value', value: JSON.parse(text) };
  } catch (error) {
    if (error instanceof TooMuch) {
      return { kind: 'error', message: `${error.message}, at ${placeOf(text, error.offset)}` };
    }
    if (error instanceof SyntaxError) return { kind: 'error', message: error.message };
    throw error;
  }
}

/** Text that is no JSON may be counted wrongly: its parser refuses it. */
function checkBounds(text: string, limits: DocumentLimits): void {
  const bounds = new DocumentBounds(limits, 0);
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charAt(at)) {
      case '"':
        at = endOfString(text, at);
        break;
      case '[':
      case '{':
        depth += 1;
        bounds.checkDepth(depth, at);
        bounds.addToken(at);
        break;
      case ']':
      case '}':
        depth -= 1;
        break;
      case ',':
      case ':':
        bounds.addToken(at);
        break;
    }
  }
}

/** The index of the quote that closes. */
function endOfString(text: string, open: number): number {
  let at = open + 1;
  while (at < text.length && text.charAt(at) !== '"') at += text.charAt(at) === '\\' ? 2 : 1;
  return at;
}

/** "line 1 column 5", as the parser says it. */
function placeOf(text: string, offset: number): string {
  const lines = text.slice(0, offset).split('\n');
  return `line ${lines.length} column ${(lines.at(-1)?.length ?? 0) + 1}`;
}
