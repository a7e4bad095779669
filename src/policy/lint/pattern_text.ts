/**
 * What lint knows of a pattern by its text, and how it writes other ones. It reads plain patterns only
 * and leaves the rest alone: a pattern that it proposes matches no value that was not meant.
 */

/** The pattern without the anchors that change nothing at its ends. */
export function withoutAnchors(pattern: string): string {
  let core = pattern;
  if (core.startsWith('^') && !/^\^[*+?{]/.test(core)) core = core.slice(1);
  if (core.endsWith('$') && !endsInBackslash(core.slice(0, -1))) core = core.slice(0, -1);
  return core;
}

/** Text of URLs and names, in which only a dot may be an operator. */
export function isPlain(text: string): boolean {
  return /^[-\w./~:@%,;=&!']*$/.test(text);
}

export function isLiteral(pattern: string): boolean {
  return !/[\\^$.|?*+()[\]{}]/.test(pattern);
}

/** Alternatives bind weakest: what is put behind them must not go to the last one alone. */
export function grouped(pattern: string): string {
  return pattern.includes('|') ? `(${pattern})` : pattern;
}

export function withDotsEscaped(plain: string): string {
  return plain.replaceAll('.', '\\.');
}

/** True for a dot that stands for one character of any kind: not escaped, repeated or in a class. */
export function hasBareDot(pattern: string): boolean {
  return pattern !== escapeBareDots(pattern);
}

export function escapeBareDots(pattern: string): string {
  let written = '';
  let isInClass = false;
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern.charAt(i);
    // \Q quotes what follows, and nothing in it is an operator.
    if (pattern.startsWith('\\Q', i)) return written + pattern.slice(i);
    if (character === '\\') {
      written += pattern.slice(i, i + 2);
      i++;
      continue;
    }
    const isBare = character === '.' && !isInClass && !/^[*+?{]/.test(pattern.slice(i + 1));
    if (character === '[' && !isInClass) {
      isInClass = true;
      // A "]" that comes first stands for itself.
      const first = /^\[\^?\]?/.exec(pattern.slice(i))?.[0] ?? '[';
      written += first;
      i += first.length - 1;
      continue;
    }
    if (character === ']') isInClass = false;
    written += isBare ? '\\.' : character;
  }
  return written;
}

function endsInBackslash(text: string): boolean {
  const run = /\\*$/.exec(text)?.[0].length ?? 0;
  return run % 2 === 1;
}
