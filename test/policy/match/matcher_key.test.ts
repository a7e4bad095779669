/** Matchers share one key only when they say the same: no field is forgotten, also none that comes later. */
import { describe, expect, it } from 'vitest';
import type { HeaderMatcher, ValueMatcher } from '../../../src/policy/ast.ts';
import { matcherKey } from '../../../src/policy/match/matcher_key.ts';

/** Two values of each field. One that is added to the type has to be added here. */
type Pairs<Of> = { readonly [Field in keyof Of]-?: readonly [Of[Field], Of[Field]] };

type OfKind<Kind> = Omit<Extract<ValueMatcher, { kind: Kind }>, 'kind'>;

const VALUES: { readonly [Kind in ValueMatcher['kind']]: Pairs<OfKind<Kind>> } = {
  present: { isPresent: [true, false] },
  exact: { text: ['a', 'b'], ignoreCase: [true, false] },
  prefix: { text: ['a', 'b'], ignoreCase: [true, false] },
  suffix: { text: ['a', 'b'], ignoreCase: [true, false] },
  contains: { text: ['a', 'b'], ignoreCase: [true, false] },
  regex: { pattern: ['a', 'b'] },
  range: { start: [0n, 1n], end: [10n, 2n ** 62n] },
  never: { because: ['a', 'b'] },
};

const OTHERS: Pairs<Omit<HeaderMatcher, 'value'>> = {
  name: ['x-a', 'x-b'],
  isInverted: [true, false],
  treatMissingAsEmpty: [true, false],
};

describe('the key of a matcher', () => {
  it('is another one for each way in which two matchers differ', () => {
    const matchers = everyMatcher();
    expect(new Set(matchers.map(matcherKey)).size).toBe(matchers.length);
  });

  it('is the same for what says the same', () => {
    for (const matcher of everyMatcher()) {
      expect(matcherKey(structuredClone(matcher))).toBe(matcherKey(matcher));
    }
  });

  it('cannot be made up by a text', () => {
    const of = (name: string, pattern: string): string =>
      matcherKey({
        name,
        value: { kind: 'regex', pattern },
        isInverted: false,
        treatMissingAsEmpty: false,
      });
    const inner = ' false false regex ';
    expect(of('x', `a${inner}b`)).not.toBe(of(`x${inner}a`, 'b'));
  });
});

/** Every combination of the values above. */
function everyMatcher(): readonly HeaderMatcher[] {
  const values = Object.entries(VALUES).flatMap(([kind, pairs]) =>
    combinations(pairs).map((fields) => ({ kind, ...fields }) as ValueMatcher),
  );
  return combinations(OTHERS).flatMap((fields) =>
    values.map((value) => ({ ...fields, value }) as HeaderMatcher),
  );
}

function combinations(
  pairs: Readonly<Record<string, readonly [unknown, unknown]>>,
): readonly Readonly<Record<string, unknown>>[] {
  return Object.entries(pairs).reduce<readonly Record<string, unknown>[]>(
    (found, [field, pair]) =>
      found.flatMap((fields) => pair.map((value) => ({ ...fields, [field]: value }))),
    [{}],
  );
}
