/**
 * What of a pattern is text: all of it, when there are no operators, or its beginning. Anchors at the ends
 * say nothing, as patterns match the whole value anyway; an escaped punctuation character is that
 * character. Pure.
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
      if (!PUNCTUATION.test(next)) return null;
      text += next;
      i++;
    } else if (!isText(char)) {
      return null;
    } else {
      text += char;
    }
  }
  return text;
}

/**
 * A text that everything begins with that `pattern`, valid for RE2, matches. Shorter than it could be
 * rather than wrong: "" where that takes more than a look at the beginning.
 */
export function literalPrefixOf(pattern: string): string {
  let text = '';
  let at = pattern.startsWith('^') ? 1 : 0;
  while (at < pattern.length) {
    const isEscaped = pattern.charAt(at) === '\\';
    const char = pattern.charAt(isEscaped ? at + 1 : at);
    if (isEscaped ? !PUNCTUATION.test(char) : !isText(char)) break;
    text += char;
    at += isEscaped ? 2 : 1;
  }
  // A repetition may follow, also behind what is nothing by itself (flags, an empty quote), and leave the
  // last character out.
  if (at < pattern.length && !isOperand(pattern, at)) text = text.slice(0, -1);
  return text === '' || hasAlternatives(pattern, at) ? '' : text;
}

/** True for what a repetition behind it would repeat, instead of the character before it. */
function isOperand(pattern: string, at: number): boolean {
  const char = pattern.charAt(at);
  if (char === '(') return pattern.charAt(at + 1) !== '?';
  return char === '[' || char === '.';
}

/** True when there may be a "|" from `from` on that stands in no group: then the beginning is one of several. */
function hasAlternatives(pattern: string, from: number): boolean {
  if (!pattern.includes('|', from)) return false;
  // Quotes and classes have their own way with brackets.
  if (pattern.includes('\\Q', from) || pattern.includes('[', from)) return true;
  let depth = 0;
  for (let i = from; i < pattern.length; i++) {
    const char = pattern.charAt(i);
    if (char === '\\') i++;
    else if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === '|' && depth === 0) return true;
  }
  return false;
}

function isText(char: string): boolean {
  return !OPERATORS.includes(char) && char >= ' ' && char.charCodeAt(0) <= 0x7e;
}

const PUNCTUATION = /^[!-/:-@[-`{-~]$/;

const OPERATORS = '^$.|?*+()[]{}';

/** True when the last character is escaped by an odd run of backslashes. */
function endsEscaped(text: string): boolean {
  let backslashes = 0;
  for (let i = text.length - 2; i >= 0 && text.charAt(i) === '\\'; i--) backslashes++;
  return backslashes % 2 === 1;
}
