/**
 * Lint of single HTTP rules: patterns and headers that do something else than they look like.
 * Looks at decoded rules only; knows nothing of endpoints. Pure.
 */
import type { HeaderMatch, HeaderMatcher, HttpRule } from '../ast.ts';
import { type Finding, finding, type PatternFinding } from './finding.ts';
import { lintHost } from './host_lint.ts';
import { lintPath } from './path_lint.ts';
import { withoutAnchors } from './pattern_text.ts';

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

const LINTS: Readonly<Record<string, (core: string) => readonly PatternFinding[]>> = {
  path: lintPath,
  method: lintMethod,
  host: lintHost,
};

export function lintHttpRule(rule: HttpRule): Finding[] {
  return [
    ...rule.matchers.flatMap((matcher) => lintMatcher(rule, matcher)),
    ...rule.headerMatches.flatMap((match) => lintHeaderMatch(rule, match)),
  ];
}

function lintMatcher(rule: HttpRule, matcher: HeaderMatcher): Finding[] {
  const { value } = matcher;
  if (value.kind === 'never') {
    return [
      finding('never-matches', rule.origin, { message: `${matcher.name}: ${value.because}` }),
    ];
  }
  const label = FIELD_LABELS.get(matcher.name);
  if (label === undefined) return lintField(rule, matcher);
  if (value.kind !== 'regex') return [];
  return lintPattern(label, value.pattern).map((found) => finding(found.id, rule.origin, found));
}

/** `label`: path, method or host. */
export function lintPattern(label: string, pattern: string): PatternFinding[] {
  const core = withoutAnchors(pattern);
  const found = [...(LINTS[label]?.(core) ?? [])];
  if (core === pattern) return found;
  const anchors = pattern.startsWith(core) ? '"$"' : pattern.endsWith(core) ? '"^"' : '"^" and "$"';
  const message = `${label} "${pattern}": ${anchors} can be left out, the whole ${label} is matched anyway`;
  return [{ id: 'implied-anchor', message, instead: core }, ...found];
}

function lintMethod(core: string): PatternFinding[] {
  const words = core.split(/[\s,;|]+/).filter((word) => word !== '');
  const upper = words.map((word) => word.toUpperCase()).join('|');
  if (!words.every((word) => KNOWN_METHODS.has(word.toUpperCase()))) return [];
  if (/[\s,;]/.test(core)) {
    const message = `method "${core}" is one pattern, and no method has a blank or a comma in it`;
    return [{ id: 'never-matches', message, instead: upper }];
  }
  if (core === core.toUpperCase()) return [];
  return [
    {
      id: 'never-matches',
      message: `method "${core}": methods are case-sensitive`,
      instead: upper,
    },
  ];
}

/** What `headers: ["..."]` became (cilium-agent: split at the first space, no trimming). */
function lintField(rule: HttpRule, matcher: HeaderMatcher): Finding[] {
  const { name, value } = matcher;
  const misread = (message: string, instead: string | null = null): Finding[] => [
    finding('header-misread', rule.origin, { message: `header "${name}"${message}`, instead }),
  ];
  if (name.includes(':', 1)) {
    return misread(
      ' has no space after the colon, so the whole string is read as a field name that no request has',
      name.replace(':', ': '),
    );
  }
  if (value.kind !== 'exact') return [];
  if (value.text !== value.text.trim()) {
    return misread(
      ': the value keeps its leading or trailing space, which no request has',
      `${name}: ${value.text.trim()}`,
    );
  }
  if (/\.\*|\[.*\]|\\d|^\^|\$$/.test(value.text)) {
    return misread(`: the value is compared as it is written, "${value.text}" is not a pattern`);
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
  const message = `header match "${match.name}": ${because}`;
  return [finding('header-match-unused', rule.origin, { message })];
}
