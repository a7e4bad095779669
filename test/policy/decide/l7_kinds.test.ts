/** Rules of one protocol let nothing of another one through, nor bytes that nothing parses. */
import { describe, expect, it } from 'vitest';
import type { PortRule } from '../../../src/policy/ast.ts';
import { decideConnection, decideDns, decideRequest } from '../../../src/policy/decide/decide.ts';
import { explainDns, explainRequest } from '../../../src/policy/decide/explain.ts';
import {
  compiled,
  DENY,
  dns,
  endpoint,
  get,
  http,
  PASS_TO,
  port,
  rule,
  shown,
  viewOf,
} from '../../support/wire_policy.ts';

interface Answers {
  readonly connection: string;
  readonly request: string;
  readonly dns: string;
}

function check(rules: readonly PortRule[], expected: Answers): void {
  const view = viewOf(compiled(endpoint([port('80', rules)])));
  expect({
    connection: shown(decideConnection(view, '')),
    request: shown(decideRequest(view, '', get('/a'))),
    dns: shown(decideDns(view, 'a.test')),
  }).toEqual(expected);
  expect(explainRequest(view, '', get('/a')).decision).toEqual(decideRequest(view, '', get('/a')));
  expect(appliedOf(explainRequest(view, '', get('/a')).steps)).toBe(expected.request);
  expect(appliedOf(explainDns(view, 'a.test').steps)).toBe(expected.dns);
}

/** What the steps say, in the words of `shown`, or the denial that they leave. */
function appliedOf(steps: ReturnType<typeof explainRequest>['steps']): string {
  const last = steps.findLast(
    ({ outcome, verdict }) => outcome === 'applied' && verdict !== 'pass',
  );
  if (last === undefined) {
    const isDns = steps.some(({ dns: names }) => names.length > 0);
    return `deny ${isDns ? 'no-dns-rule-matched' : 'no-http-rule-matched'}`;
  }
  const httpRule = last.http.find(({ isMatch }) => isMatch)?.rule.rule;
  return `${last.verdict} ${httpRule ?? (last.dns.length > 0 ? 'dns[0]' : last.rule.rule)}`;
}

describe('rules of one kind', () => {
  it('DNS rules allow names and no HTTP', () => {
    check([rule('d', { l7: dns('a.test') })], {
      connection: 'allow d',
      request: 'deny no-http-rule-matched',
      dns: 'allow dns[0]',
    });
  });

  it('rules without either allow both', () => {
    check([rule('n')], { connection: 'allow n', request: 'allow n', dns: 'allow n' });
  });

  it('a rule without either beside them allows both', () => {
    check([rule('d', { l7: dns('b.test') }), rule('h', { l7: http([':path', '/b']) }), rule('n')], {
      connection: 'allow n',
      request: 'allow n',
      dns: 'allow n',
    });
  });

  it('each kind is asked for its own', () => {
    check([rule('d', { l7: dns('a.test') }), rule('h', { l7: http([':path', '/a']) })], {
      connection: 'allow h',
      request: 'allow http[0]',
      dns: 'allow dns[0]',
    });
  });

  it('a pass rule of the other kind does not pass', () => {
    const rules = [
      rule('pass', { precedence: 20, verdict: PASS_TO(10), l7: dns('a.test') }),
      rule('deny', { precedence: 15, verdict: DENY }),
      rule('n'),
    ];
    check(rules, { connection: 'allow n', request: 'deny deny', dns: 'allow n' });
  });

  it('a rule with server names answers no DNS question', () => {
    const view = viewOf(compiled(endpoint([port('80', [rule('s', { serverNames: ['a.test'] })])])));
    expect(shown(decideDns(view, 'a.test'))).toBe('deny sni-not-allowed');
    expect(explainDns(view, 'a.test').steps[0]?.outcome).toBe('server-name');
  });

  it('HTTP rules answer no DNS question', () => {
    const view = viewOf(compiled(endpoint([port('80', [rule('h', { l7: http([]) })])])));
    expect(shown(decideDns(view, 'a.test'))).toBe('deny no-dns-rule-matched');
    expect(shown(decideRequest(view, '', get('/a')))).toBe('allow http[0]');
  });

  it('a view says that bytes of no known protocol cannot be judged', () => {
    const hasL7 = (rules: readonly PortRule[]) =>
      viewOf(compiled(endpoint([port('80', rules)]))).hasL7Rules;
    expect(hasL7([rule('d', { l7: dns('a.test') })])).toBe(true);
    expect(hasL7([rule('h', { l7: http([]) })])).toBe(true);
    expect(hasL7([rule('n')])).toBe(false);
  });
});
