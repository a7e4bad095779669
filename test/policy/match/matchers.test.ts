/** HeaderMatcher as Envoy evaluates it: every form, on values, on none, turned around. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HeaderMatcher, ValueMatcher } from '../../../src/policy/ast.ts';
import { decideRequest } from '../../../src/policy/decide/decide.ts';
import {
  compiled,
  condition,
  endpoint,
  get,
  port,
  rule,
  viewOf,
} from '../../support/wire_policy.ts';

/** `values`: one line of field "x" each. */
function matches(matcher: HeaderMatcher, values: readonly string[]): boolean {
  const httpRule = { origin: { policy: 'p', rule: 'h' }, matchers: [matcher], headerMatches: [] };
  const l7 = { kind: 'http', rules: [httpRule] } as const;
  const view = viewOf(compiled(endpoint([port('80', [rule('r', { l7 })])])));
  const head = get(
    '/',
    values.flatMap((value) => ['X', value]),
  );
  return decideRequest(view, '', head).verdict === 'allow';
}

const PRESENT: ValueMatcher = { kind: 'present', isPresent: true };
const ABSENT: ValueMatcher = { kind: 'present', isPresent: false };
const text = (
  kind: 'exact' | 'prefix' | 'suffix' | 'contains',
  value: string,
  ignoreCase = false,
) => ({ kind, text: value, ignoreCase }) as const;
const regex = (pattern: string) => ({ kind: 'regex', pattern }) as const;
const range = (start: bigint, end: bigint) => ({ kind: 'range', start, end }) as const;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

describe('a value', () => {
  const cases: readonly [string, ValueMatcher, readonly string[], boolean][] = [
    ['exact is case-sensitive', text('exact', 'a'), ['A'], false],
    ['exact in any case', text('exact', 'aB', true), ['Ab'], true],
    ['any case is of ASCII only', text('exact', '\xe4', true), ['\xc4'], false],
    ['exact is the whole value', text('exact', 'a'), ['ab'], false],
    ['an empty text is an empty value', text('exact', ''), ['a'], false],
    ['prefix', text('prefix', 'ab'), ['abc'], true],
    ['suffix', text('suffix', 'bc'), ['abc'], true],
    ['contains', text('contains', 'b', true), ['aBc'], true],
    ['a pattern is of the whole value', regex('a'), ['ab'], false],
    ['several lines are one value', text('exact', '1,2'), ['1', '2'], true],
    ['and no line alone', text('exact', '1'), ['1', '2'], false],
    ['one of them empty', text('exact', ',2'), ['', '2'], true],
    ['a pattern sees bytes', regex('\xc3\xa4'), ['\xc3\x83\xc2\xa4'], true],
    ['range begins at its start', range(1n, 3n), ['1'], true],
    ['range ends before its end', range(1n, 3n), ['3'], false],
    ['a sign', range(-2n, 3n), ['-2'], true],
    ['a plus sign', range(1n, 3n), ['+2'], true],
    ['ASCII spaces around a number', range(1n, 3n), ['\t 2 '], true],
    ['no other space', range(1n, 3n), ['\xa02'], false],
    ['zeros before a number', range(1n, 3n), [`${'0'.repeat(40)}2`], true],
    ['no number', range(0n, 3n), ['2x'], false],
    ['no fraction', range(0n, 3n), ['2.0'], false],
    ['nothing is no number', range(0n, 3n), [''], false],
    ['a list is no number', range(0n, 3n), ['1', '2'], false],
    ['the least of 64 bits', range(INT64_MIN, 0n), [`${INT64_MIN}`], true],
    ['below 64 bits', range(INT64_MIN, 0n), [`${INT64_MIN - 1n}`], false],
    ['above 64 bits', range(0n, INT64_MAX), [`${2n ** 64n + 1n}`], false],
    ['a secret that cannot be read', { kind: 'never', because: 'x' }, ['a'], false],
  ];
  it.each(cases)('%s', (_about, value, values, expected) => {
    expect(matches(condition('x', value), values)).toBe(expected);
    const isNever = value.kind === 'never';
    const turned = matches(condition('x', value, { isInverted: true }), values);
    expect(turned).toBe(isNever ? false : !expected);
  });
});

describe('a missing field', () => {
  const forms: readonly [string, ValueMatcher][] = [
    ['exact', text('exact', '')],
    ['prefix', text('prefix', '')],
    ['suffix', text('suffix', '')],
    ['contains', text('contains', '')],
    ['regex', regex('.*')],
    ['literal', regex('')],
  ];
  it.each(forms)('%s matches nothing, inverted neither', (_kind, value) => {
    expect(matches(condition('x', value), [])).toBe(false);
    expect(matches(condition('x', value, { isInverted: true }), [])).toBe(false);
  });

  it.each(forms)('%s sees "" when missing is empty', (_kind, value) => {
    const treatMissingAsEmpty = true;
    expect(matches(condition('x', value, { treatMissingAsEmpty }), [])).toBe(true);
    const turned = condition('x', value, { treatMissingAsEmpty, isInverted: true });
    expect(matches(turned, [])).toBe(false);
  });

  const presence: readonly [string, ValueMatcher, boolean, boolean, boolean][] = [
    // what, matcher, inverted, missing is empty, matches
    ['presence', PRESENT, false, false, false],
    ['presence, inverted', PRESENT, true, false, true],
    ['absence', ABSENT, false, false, true],
    ['absence, inverted', ABSENT, true, false, false],
    ['presence, missing is empty', PRESENT, false, true, true],
    ['presence, inverted, missing is empty', PRESENT, true, true, false],
    ['absence, missing is empty', ABSENT, false, true, false],
    ['absence, inverted, missing is empty', ABSENT, true, true, true],
  ];
  it.each(presence)('%s', (_about, value, isInverted, treatMissingAsEmpty, expected) => {
    expect(matches(condition('x', value, { isInverted, treatMissingAsEmpty }), [])).toBe(expected);
  });
});

describe('a field that is there', () => {
  it.each([
    [PRESENT, false, true],
    [PRESENT, true, false],
    [ABSENT, false, false],
    [ABSENT, true, true],
  ] as const)('%j inverted %s', (value, isInverted, expected) => {
    expect(matches(condition('x', value, { isInverted }), [''])).toBe(expected);
  });
});

describe('numbers', () => {
  it('are in a range exactly when they are', () => {
    const int64 = fc.bigInt({ min: INT64_MIN, max: INT64_MAX });
    fc.assert(
      fc.property(int64, int64, int64, (start, end, value) => {
        const expected = value >= start && value < end;
        expect(matches(condition('x', range(start, end)), [String(value)])).toBe(expected);
      }),
      { numRuns: 300 },
    );
  });
});
