/**
 * Lint of single HTTP rules: patterns and headers that do something else than they look like.
 * Looks at decoded rules only; knows nothing of endpoints. Pure.
 */
import type { HeaderMatch, HeaderMatcher, HttpRule } from '../ast.ts';
import { type Finding, note, warning } from './finding.ts';

/** Methods are case-sensitive tokens (RFC 9110 9.1); these are the ones that people mean. */
const KNOWN_METHODS = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'OPTIONS',
  'TRACE',
]);

const FIELD_LABELS: ReadonlyMap<string, string> = new Map([
  [':path', 'path'],
  [':method', 'method'],
  [':authority', 'host'],
]);

export function lintHttpRule(rule: HttpRule): Finding[] {
  return [
    ...rule.matchers.flatMap((matcher) => lintMatcher(rule, matcher)),
    ...rule.headerMatches.flatMap((match) => lintHeaderMatch(rule, match)),
  ];
}

function lintMatcher(rule: HttpRule, matcher: HeaderMatcher): Finding[] {
  const { value } = matcher;
  if (value.kind === 'never') {
    return [warning('never-matches', rule.origin, `${matcher.name}: ${value.because}`)];
  }
  const label = FIELD_LABELS.get(matcher.name);
  if (label === undefined) return lintField(rule, matcher);
  return value.kind === 'regex' ? lintPattern(rule, label, value.pattern) : [];
}

function lintPattern(rule: HttpRule, label: string, pattern: string): Finding[] {
  const findings: Finding[] = [];
  const core = withoutAnchors(pattern);
  if (core !== pattern) {
    findings.push(
      warning(
        'implied-anchor',
        rule.origin,
        `${label} "${pattern}" means the same as "${core}": the whole ${label} is matched anyway` +
          (pattern.endsWith('$') ? `; for everything below it write "${core}.*"` : ''),
      ),
    );
  }
  if (label === 'path') findings.push(...lintPath(rule, core));
  if (label === 'method') findings.push(...lintMethod(rule, core));
  if (label === 'host') findings.push(...lintHost(rule, core));
  return findings;
}

function lintPath(rule: HttpRule, core: string): Finding[] {
  if (core === '') return [];
  const isPlain = isLiteral(core);
  if (core.startsWith('*') || /[^.)\]*+]\/\*$/.test(core) || /\/\*\*/.test(core)) {
    const prefix = core.replace(/\/?\*+$/, '');
    return [
      warning(
        'glob-not-regex',
        rule.origin,
        `path "${core}" is a regular expression, not a glob: "*" repeats what stands before it; write "${prefix}/.*"`,
      ),
    ];
  }
  if (/^[A-Za-z0-9_-]/.test(core) && !core.includes('|') && core !== '*') {
    return [
      warning(
        'never-matches',
        rule.origin,
        `path "${core}" has no leading "/", every request path has one`,
      ),
    ];
  }
  if (isPlain && core.includes('#')) {
    return [warning('never-matches', rule.origin, `path "${core}" has a "#", which is never sent`)];
  }
  if (normalisesAway(core)) {
    return [
      warning(
        'never-matches',
        rule.origin,
        `path "${core}" is not in normal form: "//", "/./" and "/../" are resolved before the match`,
      ),
    ];
  }
  if (!isQueryThoughtOf(core)) {
    return [
      note(
        'query-forgotten',
        rule.origin,
        `path "${core}" does not match "${examplePath(core)}?x=1": the query is part of the path; if one is allowed write "${core}(\\?.*)?"`,
      ),
    ];
  }
  return [];
}

function lintMethod(rule: HttpRule, core: string): Finding[] {
  const upper = core.toUpperCase();
  if (core === upper || !KNOWN_METHODS.has(upper)) return [];
  return [
    warning('never-matches', rule.origin, `method "${core}" is case-sensitive: write "${upper}"`),
  ];
}

function lintHost(rule: HttpRule, core: string): Finding[] {
  if (/^https?:/.test(core) || core.includes('/')) {
    return [
      warning(
        'never-matches',
        rule.origin,
        `host "${core}" is matched against the Host field, which has no scheme and no path`,
      ),
    ];
  }
  if (core.startsWith('*')) {
    return [
      warning(
        'glob-not-regex',
        rule.origin,
        `host "${core}" is a regular expression, not a glob: write ".*${core.slice(1).replaceAll('.', '\\.')}"`,
      ),
    ];
  }
  if (/[A-Z]/.test(core) && !core.includes('(?i')) {
    return [
      note(
        'header-misread',
        rule.origin,
        `host "${core}" is matched case-sensitively; clients send lower case`,
      ),
    ];
  }
  return [];
}

/** What `headers: ["..."]` became (cilium-agent: split at the first space, no trimming). */
function lintField(rule: HttpRule, matcher: HeaderMatcher): Finding[] {
  if (matcher.name.includes(':')) {
    return [
      warning(
        'header-misread',
        rule.origin,
        `header "${matcher.name}" has no space after the colon, so the whole string is read as a field name that no request has; write "${matcher.name.replace(':', ': ')}"`,
      ),
    ];
  }
  if (matcher.value.kind === 'exact' && matcher.value.text !== matcher.value.text.trim()) {
    return [
      warning(
        'header-misread',
        rule.origin,
        `header "${matcher.name}": the value keeps its leading or trailing space, which no request has`,
      ),
    ];
  }
  if (matcher.value.kind === 'exact' && /\.\*|\[.*\]|\\d|^\^|\$$/.test(matcher.value.text)) {
    return [
      warning(
        'header-misread',
        rule.origin,
        `header "${matcher.name}": the value is compared as it is written, "${matcher.value.text}" is not a pattern`,
      ),
    ];
  }
  return [];
}

function lintHeaderMatch(rule: HttpRule, match: HeaderMatch): Finding[] {
  const isPresence = match.value === '' && match.secret === null;
  if (!isPresence) return [];
  const because = {
    fail: null,
    continue: 'without a value LOG only says that the field is missing',
    delete: 'without a value there is nothing to compare, so nothing is ever deleted',
    add: 'without a value an empty field is added',
    replace: 'without a value the field is replaced by an empty one',
  }[match.mismatchAction];
  if (because === null) return [];
  return [warning('header-match-unused', rule.origin, `header match "${match.name}": ${because}`)];
}

/** The pattern without the anchors that change nothing at its ends. */
function withoutAnchors(pattern: string): string {
  let core = pattern;
  if (core.startsWith('^')) core = core.slice(1);
  if (core.endsWith('$') && !core.endsWith('\\$')) core = core.slice(0, -1);
  return core;
}

function isLiteral(pattern: string): boolean {
  return !/[\\^$.|?*+()[\]{}]/.test(pattern);
}

/** Written-out dot segments and doubled slashes; an unescaped dot stands for any character. */
function normalisesAway(pattern: string): boolean {
  return /\/\/(?!\?)|\/(\\\.){1,2}(\/|$)/.test(pattern);
}

/** True when the pattern can match a "?": it names one, or ends in something that eats it. */
function isQueryThoughtOf(core: string): boolean {
  return /\\\?|\\x3f|\[[^\]]*\?|\.[*+]\)?$|\.[*+]\??$|\[\^[^\]?]*\][*+]\)?$/i.test(core);
}

function examplePath(core: string): string {
  return isLiteral(core) ? core : '...';
}
