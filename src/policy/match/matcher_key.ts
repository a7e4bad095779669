/** What makes two matchers the same: every field that they have. A test has all of them, those that come later included. */
import type { HeaderMatcher, ValueMatcher } from '../ast.ts';

/**
 * Equal only for matchers that say the same. Those are kept once, or told of once. Written out, as JSON takes five times
 * as long, and a set has thousands. Each text has its length in front of it, or nothing behind it.
 */
export function matcherKey(matcher: HeaderMatcher): string {
  const { name, value, isInverted, treatMissingAsEmpty } = matcher;
  return `${name.length} ${name} ${isInverted} ${treatMissingAsEmpty} ${valueKey(value)}`;
}

function valueKey(value: ValueMatcher): string {
  switch (value.kind) {
    case 'present':
      return `present ${value.isPresent}`;
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains':
      return `${value.kind} ${value.ignoreCase} ${value.text}`;
    case 'regex':
      return `regex ${value.pattern}`;
    case 'range':
      return `range ${value.start} ${value.end}`;
    case 'never':
      return `never ${value.because}`;
  }
}
