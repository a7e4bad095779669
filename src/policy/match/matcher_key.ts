/** What makes two matchers the same: every field that they have, those that come later included. */
import type { HeaderMatcher } from '../ast.ts';

/** Equal only for matchers that say the same. Those are kept once, or told of once. */
export function matcherKey(matcher: HeaderMatcher): string {
  // Only a range has what JSON has no word for, and to ask about each value would cost four times as much.
  return JSON.stringify(matcher, matcher.value.kind === 'range' ? bigintsAsText : undefined);
}

/** For JSON. */
export function bigintsAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
