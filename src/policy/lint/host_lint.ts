/** Lint of host patterns, which are matched against the whole Host field, case-sensitively. */
import type { PatternFinding } from './finding.ts';
import { escapeBareDots, hasBareDot, isPlain, withDotsEscaped } from './pattern_text.ts';

/** The first thing that is wrong. */
export function lintHost(core: string): PatternFinding[] {
  const found = urlOf(core) ?? globOf(core) ?? upperCase(core) ?? bareDot(core);
  return found === null ? [] : [found];
}

function urlOf(core: string): PatternFinding | null {
  if (!/^https?:/.test(core) && !core.includes('/')) return null;
  const host = core.replace(/^https?:\/*/, '').replace(/\/.*$/, '');
  return {
    id: 'never-matches',
    message: `host "${core}" is matched against the Host field, which has no scheme and no path`,
    instead: host !== '' && isPlain(host) ? withDotsEscaped(host) : null,
  };
}

function globOf(core: string): PatternFinding | null {
  const text = core.replaceAll('*', '');
  // What is escaped is no letter that would be repeated.
  if (!/(^|[-\w])\*/.test(core.replaceAll(/\\./g, ']'))) return null;
  const isSimple = isPlain(text) && !core.includes('**');
  return {
    id: 'glob-not-regex',
    message: `host "${core}" is a regular expression, not a glob: "*" repeats the character before it; for any one label, say so`,
    instead: isSimple ? withDotsEscaped(core).replaceAll('*', '[^.]+') : null,
  };
}

function upperCase(core: string): PatternFinding | null {
  if (!/[A-Z]/.test(core.replaceAll(/\\./g, '')) || core.includes('(?')) return null;
  // \D in lower case would be \d.
  const isSafe = !/\\[A-Za-z]/.test(core);
  return {
    id: 'host-case',
    message: `host "${core}" is matched case-sensitively, and clients send lower case`,
    instead: isSafe ? core.toLowerCase() : null,
  };
}

function bareDot(core: string): PatternFinding | null {
  if (!hasBareDot(core)) return null;
  const example = isPlain(core) ? `, so "${core.replace('.', 'x')}" is let in, too` : '';
  return {
    id: 'bare-dot',
    message: `host "${core}": "." stands for any character${example}`,
    instead: escapeBareDots(core),
  };
}
