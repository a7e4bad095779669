/** Which rules judge a DNS question, and which names "only stars" stands for. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PortPolicy } from '../../../src/policy/ast.ts';
import { decideDns } from '../../../src/policy/decide/decide.ts';
import { explainDns } from '../../../src/policy/decide/explain.ts';
import { matchFqdnName, matchFqdnPattern } from '../../../src/policy/match/fqdn_pattern.ts';
import {
  compiled,
  DENY,
  dns,
  endpoint,
  port,
  rule,
  shown,
  viewOf,
} from '../../support/wire_policy.ts';

const PLACE = { direction: 'egress', protocol: 'UDP', port: 53 } as const;

function viewWith(...ports: readonly PortPolicy[]) {
  return viewOf(compiled(endpoint([], ports)), PLACE);
}

/** As resolving gives them: a redirect comes before an allow. */
const asked = rule('dns', { precedence: 5, remotes: [300], l7: dns('good.test') });
const all = rule('all', { remotes: [300] });

describe('a question to a port with DNS rules for the remote', () => {
  const own = port('53', [asked], 'UDP');
  const cases: readonly [string, readonly PortPolicy[], string][] = [
    ['alone', [own], 'deny no-dns-rule-matched'],
    ['beside a rule for all ports', [own, port('0', [all], 'UDP')], 'deny no-dns-rule-matched'],
    ['beside a range', [own, port('50-60', [all], 'UDP')], 'deny no-dns-rule-matched'],
    [
      'beside a rule for anybody',
      [own, port('0', [rule('any')], 'UDP')],
      'deny no-dns-rule-matched',
    ],
    ['with a rule of its own for all names', [port('53', [asked, all], 'UDP')], 'allow all'],
    [
      'beside a rule of higher precedence for all ports',
      [own, port('0', [rule('first', { precedence: 9 })], 'UDP')],
      'allow first',
    ],
    [
      'beside a deny for all ports',
      [own, port('0', [rule('never', { precedence: 9, verdict: DENY })], 'UDP')],
      'deny never',
    ],
    [
      'of other remotes, beside a rule for all ports',
      [
        port('53', [rule('dns', { precedence: 5, remotes: [7], l7: dns('x') })], 'UDP'),
        port('0', [all], 'UDP'),
      ],
      'allow all',
    ],
  ];
  it.each(cases)('%s', (_about, ports, expected) => {
    const view = viewWith(...ports);
    expect(shown(decideDns(view, 'evil.test'))).toBe(expected);
    expect(explainDns(view, 'evil.test').decision).toBe(decideDns(view, 'evil.test'));
    const isDenied = expected.includes('never');
    if (expected.includes('no-dns-rule'))
      expect(shown(decideDns(view, 'good.test'))).toBe('allow dns[0]');
    expect(isDenied || decideDns(view, 'good.test').verdict === 'allow').toBe(true);
  });

  it('says of the wider rule why it does not count', () => {
    const { steps } = explainDns(viewWith(own, port('0', [all], 'UDP')), 'evil.test');
    expect(steps.map(({ rule: { rule: name }, outcome }) => [name, outcome])).toEqual([
      ['dns', 'no-l7-rule-matched'],
      ['all', 'wider-ports'],
    ]);
  });
});

describe('only stars, in rules.dns', () => {
  it.each(['*', '**', '*.', '***'])('%s is every name', (pattern) => {
    const view = viewWith(port('53', [rule('r', { l7: dns('a.test', pattern) })], 'UDP'));
    for (const name of ['a', '.', '0/25.2.0.192.in-addr.arpa', 'b\\032c.test', 'é.test', '_x.y']) {
      expect(decideDns(view, name).verdict).toBe('allow');
    }
    expect(matchFqdnPattern(pattern, '0/25.2.0.192.in-addr.arpa')).toBe(false);
  });
});

describe('many DNS rules', () => {
  it('decide as each in turn: the first that matches', () => {
    const label = fc.constantFrom('a', 'b', 'ab', 'x-y');
    const piece = fc.oneof(label, fc.constantFrom('*', '**', 'a*', '*b', 'a*b'));
    const names = fc.array(label, { minLength: 1, maxLength: 4 }).map((all) => all.join('.'));
    const patterns = fc.array(piece, { minLength: 1, maxLength: 4 }).map((all) => all.join('.'));
    let allowCount = 0;
    fc.assert(
      fc.property(
        fc.array(fc.oneof(patterns, names), { minLength: 1, maxLength: 12 }),
        fc.array(names, { minLength: 10, maxLength: 10 }),
        (rules, questions) => {
          const view = viewWith(port('53', [rule('r', { l7: dns(...rules) })], 'UDP'));
          for (const question of questions) {
            const first = rules.findIndex(
              (one) => matchFqdnPattern(one, question) || matchFqdnName(one, question),
            );
            const expected = first === -1 ? 'deny no-dns-rule-matched' : `allow dns[${first}]`;
            expect(shown(decideDns(view, question))).toBe(expected);
            if (first !== -1) allowCount++;
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(allowCount).toBeGreaterThan(500);
  });
});
