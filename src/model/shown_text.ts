/**
 * Anybody's text as it may be shown: policies, names and requests are written by others, and a terminal
 * obeys what they have in them. Escapes are those of JSON, so that JSON which goes through here says the
 * same as before.
 */

/**
 * Controls (ESC, BEL, CSI of 8 bits), format characters (what changes the direction of text or is not seen,
 * also beyond the first plane), and separators of lines that are not "\n". Tab and line feed stay,
 * because callers lay out text with them. The pattern names categories, so characters of a later Unicode are covered
 * as soon as the runtime's tables know them.
 */
const UNSAFE = /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

export function hasUnsafeText(text: string): boolean {
  // Unlike `test`, a search keeps no place in the pattern.
  return text.search(UNSAFE) !== -1;
}

/** Text of several lines. */
export function shownText(text: string): string {
  return hasUnsafeText(text) ? text.replace(UNSAFE, escapeOf) : text;
}

/** Text that must stay on one line and in its column. */
export function shownLine(text: string): string {
  const shown = shownText(text);
  return /[\n\t]/.test(shown) ? shown.replaceAll('\n', '\\n').replaceAll('\t', '\\t') : shown;
}

/** One escape a UTF-16 unit: JSON has no other for what is beyond the first plane. */
function escapeOf(character: string): string {
  let escaped = '';
  for (let i = 0; i < character.length; i++) {
    escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
