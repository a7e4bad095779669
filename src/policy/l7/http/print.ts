/** HTTP rules as canonical text. No secret's value is printed. */
import type { HeaderMatch, HeaderMatcher } from '../../ast.ts';
import {
  type CompiledHttpRule,
  type CompiledHttpRules,
  conditionsOf,
} from '../../compiled/http_rules.ts';

export function printHttpRules({ rules }: CompiledHttpRules): readonly string[] {
  return rules.map(printRule);
}

function printRule(rule: CompiledHttpRule): string {
  const parts = [
    ...conditionsOf(rule).map(({ source }) => printMatcher(source)),
    ...rule.headerMatches.map(({ source }) => printHeaderMatch(source)),
  ];
  return `http ${parts.length === 0 ? 'any request' : parts.join(', ')}`;
}

function printMatcher(matcher: HeaderMatcher): string {
  const missing = matcher.treatMissingAsEmpty ? ' (missing is empty)' : '';
  return `${matcher.isInverted ? 'not ' : ''}${printCondition(matcher)}${missing}`;
}

function printCondition({ name, value }: HeaderMatcher): string {
  switch (value.kind) {
    case 'present':
      return `${name} ${value.isPresent ? 'present' : 'absent'}`;
    case 'regex':
      return `${name} ~ ${value.pattern}`;
    case 'range':
      return `${name} in [${value.start}, ${value.end})`;
    case 'never':
      return `${name} never`;
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains': {
      const anyCase = value.ignoreCase ? ' (any case)' : '';
      return `${name} ${value.kind}${anyCase} ${JSON.stringify(value.text)}`;
    }
  }
}

function printHeaderMatch(match: HeaderMatch): string {
  // What stands in for a secret may be one itself.
  const fallback = match.value === '' ? '' : ' or its own value';
  const value =
    match.secret === null ? JSON.stringify(match.value) : `secret ${match.secret}${fallback}`;
  return `${match.name} ${value} match:${match.matchAction} mismatch:${match.mismatchAction}`;
}
