/** Ranges of ports that share the rules of port 0 have the rules that each would gather by itself. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { finish } from '../../../src/model/steps.ts';
import type { PortRule } from '../../../src/policy/ast.ts';
import { splitPorts } from '../../../src/policy/compile/port_ranges.ts';
import { type CompiledRule, VERDICT_PASS } from '../../../src/policy/compiled/compiled_rule.ts';
import { mergeOrdered, orderRules, passTargets } from '../../../src/policy/compiled/rule_order.ts';
import { wholeRanges } from '../../support/port_ranges_oracle.ts';
import { runs } from '../../support/property_runs.ts';
import { port, rule } from '../../support/wire_policy.ts';

/** Few ports, so that ranges overlap, touch and stand twice. */
const ports = fc.oneof(
  { weight: 2, arbitrary: fc.constant([0, 0] as const) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 12 }).map((at) => [at, at] as const) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 8 }))
      .map(([at, more]) => [at, at + more] as const),
  },
);
const entries = fc.array(fc.tuple(ports, fc.integer({ min: 1, max: 3 })), { maxLength: 10 });

const rules = fc.array(
  fc.record({
    precedence: fc.integer({ min: 0, max: 4 }),
    kind: fc.constantFrom(0, 1, 2),
    passPrecedence: fc.integer({ min: 0, max: 5 }),
  }),
  { maxLength: 12 },
) as fc.Arbitrary<unknown> as fc.Arbitrary<readonly CompiledRule[]>;

it('each range has the rules of all that cover it, then those of port 0', () => {
  fc.assert(
    fc.property(entries, (given) => {
      const policies = given.map(([[first, last], count], i) =>
        port(
          `${first}-${last}`,
          Array.from({ length: count }, (_, n) => rule(`${i}.${n}`)),
        ),
      );
      const rulesOf = (policy: { readonly rules: readonly PortRule[] }) => policy.rules;
      const { ranges, wildcard } = finish(splitPorts<PortRule>(policies, rulesOf));
      const whole = ranges.map((range) => ({
        ...range,
        rules: [...range.rules, ...(wildcard ?? [])],
      }));
      const zero = wildcard === null ? [] : [{ first: 0, last: 0, rules: wildcard }];
      expect([...zero, ...whole]).toEqual(wholeRanges<PortRule>(policies, rulesOf));
    }),
    runs(1000),
  );
});

it('two lists in order are merged as both would be ordered together', () => {
  fc.assert(
    fc.property(rules, rules, (a, b) => {
      const merged = mergeOrdered(orderRules(a), orderRules(b));
      const ordered = orderRules([...a, ...b]);
      expect(merged).toHaveLength(ordered.length);
      for (const [at, one] of merged.entries()) expect(one).toBe(ordered[at]);
    }),
    runs(1000),
  );
});

it('a pass goes on at the first rule that it does not cover', () => {
  fc.assert(
    fc.property(rules, (given) => {
      const ordered = orderRules(given);
      const expected = ordered.map((one, at) => {
        if (one.kind !== VERDICT_PASS) return 0;
        const behind = ordered.findIndex(
          ({ precedence }, i) => i > at && precedence < one.passPrecedence,
        );
        return behind === -1 ? ordered.length : behind;
      });
      expect(passTargets(ordered)).toEqual(expected);
    }),
    runs(1000),
  );
});
