/**
 * Anybody's text as it may be shown: policies, names and requests are written by others, and a terminal
 * obeys what they have in them. Escapes are those of JSON, so that JSON which goes through here says the
 * same as before.
 */

/**
 * C0 and C1 controls (ESC, BEL, CSI of 8 bits), DEL, what changes the direction of text or is not seen,
 * and separators of lines that are not "\n". Tab and line feed are for who lays text out.
 */
const UNSAFE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

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

function escapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
