/**
 * Patterns without operators are compared as text. Anchors at the ends say nothing, as patterns
 * match the whole value anyway; an escaped punctuation character is that character. Pure.
 */

/** The text that `pattern` matches and nothing else, or null when it is a real pattern. */
export function literalOf(pattern: string): string | null {
  let core = pattern;
  if (core.startsWith('^')) core = core.slice(1);
  if (core.endsWith('$') && !endsEscaped(core)) core = core.slice(0, -1);
  let text = '';
  for (let i = 0; i < core.length; i++) {
    const char = core.charAt(i);
    if (char === '\\') {
      const next = core.charAt(i + 1);
      if (!/^[!-/:-@[-`{-~]$/.test(next)) return null;
      text += next;
      i++;
    } else if (OPERATORS.includes(char) || char.charCodeAt(0) > 0x7e || char < ' ') {
      return null;
    } else {
      text += char;
    }
  }
  return text;
}

const OPERATORS = '^$.|?*+()[]{}';

/** True when the last character is escaped by an odd run of backslashes. */
function endsEscaped(text: string): boolean {
  let backslashes = 0;
  for (let i = text.length - 2; i >= 0 && text.charAt(i) === '\\'; i--) backslashes++;
  return backslashes % 2 === 1;
}
