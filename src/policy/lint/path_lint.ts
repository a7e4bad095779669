/** Lint of path patterns. The path that is matched has its query, and is in normal form. */
import type { PatternFinding } from './finding.ts';
import { grouped, isLiteral, isPlain, withDotsEscaped } from './pattern_text.ts';

/** The first thing that is wrong: what follows from it need not be told, too. */
export function lintPath(core: string): PatternFinding[] {
  if (core === '') return [];
  const found =
    globOf(core) ??
    neverMatching(core) ??
    dotSegment(core) ??
    middleOfSegment(core) ??
    queryForgotten(core) ??
    null;
  return found === null ? [] : [found];
}

function globOf(core: string): PatternFinding | null {
  const isBelow = /[^.)\]*+]\/\*$/.test(core) || /\/\*\*/.test(core) || core.startsWith('*');
  const isBeside = /[-\w]\*$/.test(core) && isPlain(core.slice(0, -1));
  if (!isBelow && !isBeside) return null;
  return {
    id: 'glob-not-regex',
    message: `path "${core}" is a regular expression, not a glob: "*" repeats the character before it`,
    instead: globInstead(core),
  };
}

/** What lies below a glob's prefix; none for one with stars elsewhere. */
function globInstead(core: string): string | null {
  const [, prefix = '', slash = ''] = /^(.*?)(\/?)\*+$/.exec(core) ?? [];
  if (prefix === '' || !prefix.startsWith('/') || !isPlain(prefix)) return null;
  return `${withDotsEscaped(prefix)}${slash === '' ? '([/?].*)?' : '/.*'}`;
}

function neverMatching(core: string): PatternFinding | null {
  const never = (message: string, instead: string | null = null): PatternFinding => ({
    id: 'never-matches',
    message: `path "${core}" ${message}`,
    instead,
  });
  if (/^[A-Za-z0-9_-]/.test(core) && !core.includes('|')) {
    const isUrl = /^[a-z]+:\/\//i.test(core);
    const message = 'does not begin with "/", and every request path does';
    return never(message, isUrl ? null : `/${core}`);
  }
  if (isLiteral(core) && core.includes('#')) return never('has a "#", which is never sent');
  if (normalisesAway(core)) {
    return never('is not in normal form: "//", "/./" and "/../" are resolved before the match');
  }
  return null;
}

/** Written as a path would be, and read as a pattern. */
function dotSegment(core: string): PatternFinding | null {
  const segment = /\/(\.{1,2})(?=\/|$)/.exec(core)?.[1];
  if (segment === undefined || !isPlain(core)) return null;
  const example = core.replace(`/${segment}`, `/${'x'.repeat(segment.length)}`);
  return {
    id: 'bare-dot',
    message: `path "${core}": "." stands for any character, so "${example}" is let in; a segment that is "${segment}" never comes, as paths are matched in normal form`,
    instead: null,
  };
}

function middleOfSegment(core: string): PatternFinding | null {
  const base = /^(.*[-\w])\.\*$/.exec(core)?.[1];
  if (base === undefined || base.includes('|') || endsInClassEscape(base)) return null;
  const example = isLiteral(base) ? `"${base}-other"` : 'a segment that only begins so';
  return {
    id: 'prefix-not-segment',
    message: `path "${core}" also matches ${example}; for the path itself, its queries and what lies below it, say so`,
    instead: `${base}([/?].*)?`,
  };
}

function queryForgotten(core: string): PatternFinding | null {
  if (isQueryThoughtOf(core)) return null;
  const example = isLiteral(core) ? `"${core}?x=1"` : 'a path with a query, such as "?x=1"';
  return {
    id: 'query-forgotten',
    message: `path "${core}" does not match ${example}: the query is part of the path; if one is to be allowed, say so`,
    instead: `${grouped(core)}(\\?.*)?`,
  };
}

/** `\d.*` is no text that goes on. */
function endsInClassEscape(base: string): boolean {
  return /\\[A-Za-z0-9]$/.test(base) || /\{[^}]*$/.test(base);
}

/** Written-out dot segments and doubled slashes; an unescaped dot stands for any character. */
function normalisesAway(pattern: string): boolean {
  return /\/\/(?!\?)|\/(\\\.){1,2}(\/|$)/.test(pattern);
}

/** True when the pattern can match a "?": it names one, or ends in something that eats it. */
function isQueryThoughtOf(core: string): boolean {
  return /\\\?|\\x3f|\[[^\]]*\?|\.[*+]\)?$|\.[*+]\??$|\[\^[^\]?]*\][*+]\)?$/i.test(core);
}
