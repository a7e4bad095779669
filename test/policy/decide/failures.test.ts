/** What cannot be judged is denied, by value, whatever the rule would have said. */
import { describe, expect, it } from 'vitest';
import type { RequestHead } from '../../../src/model/request_head.ts';
import type { PortRule } from '../../../src/policy/ast.ts';
import type { View } from '../../../src/policy/compiled/port_rules.ts';
import { decideConnection, decideDns, decideRequest } from '../../../src/policy/decide/decide.ts';
import {
  explainConnection,
  explainDns,
  explainRequest,
} from '../../../src/policy/decide/explain.ts';
import { MATCH_FAILED, type RegexEngine, type RegexSet } from '../../../src/policy/match/regex.ts';
import {
  compiled,
  condition,
  DENY,
  endpoint,
  get,
  http,
  NO_REGEX,
  PASS_TO,
  port,
  rule,
  shown,
  viewOf,
} from '../../support/wire_policy.ts';

/** Compiles everything; what `fails` says gives no answer when it is asked. */
function brokenEngine(fails: 'single' | 'set match' | 'set build'): RegexEngine {
  const set = (patterns: readonly string[]): RegexSet => ({
    patterns,
    test: () => MATCH_FAILED,
    match: () => null,
  });
  return {
    compile: (pattern) => ({
      kind: 'ok',
      regex: { ...NO_REGEX, pattern, test: () => MATCH_FAILED },
    }),
    compileSet: (patterns) =>
      fails === 'set build'
        ? { kind: 'error', message: 'out of memory' }
        : { kind: 'ok', regex: set(patterns) },
  };
}

const MANY = http(...['/a.*', '/b.*', '/c.*', '/d.*', '/e.*'].map((path) => [':path', path]));
const FEW = http([':path', '/a.*']);
const BY_HOST = http([':authority', 'a.*']);

const places: readonly [string, RegexEngine, PortRule['l7']][] = [
  ['one pattern', brokenEngine('single'), FEW],
  ['a pattern beside the path', brokenEngine('single'), BY_HOST],
  ['a set, when it is asked', brokenEngine('set match'), MANY],
  ['a set, when it is built', brokenEngine('set build'), MANY],
];

describe.each(places)('without memory for %s', (_about, regexEngine, l7) => {
  const rulesets: readonly [string, readonly PortRule[]][] = [
    ['an allow rule', [rule('r', { l7 })]],
    ['an allow rule above one that allows all', [rule('r', { precedence: 5, l7 }), rule('all')]],
    [
      'a pass rule above one that allows all',
      [rule('r', { precedence: 5, verdict: PASS_TO(3), l7 }), rule('all')],
    ],
    [
      'a deny rule with such patterns below',
      [rule('r', { precedence: 5, l7 }), rule('d', { verdict: DENY })],
    ],
  ];
  it.each(rulesets)('%s denies', (_rules, rules) => {
    const view = viewOf(compiled(endpoint([port('80', rules)]), { regexEngine }));
    expect(shown(decideRequest(view, '', get('/a')))).toBe('deny regex-out-of-memory');
  });
});

describe('a pattern that is turned around', () => {
  it('does not match because it fails', () => {
    const matcher = condition('x', { kind: 'regex', pattern: 'a.*' }, { isInverted: true });
    const rules = [{ origin: { policy: 'p', rule: 'h' }, matchers: [matcher], headerMatches: [] }];
    const policy = endpoint([port('80', [rule('r', { l7: { kind: 'http', rules } })])]);
    const view = viewOf(compiled(policy, { regexEngine: brokenEngine('single') }));
    expect(shown(decideRequest(view, '', get('/', ['x', 'b'])))).toBe('deny regex-out-of-memory');
  });
});

describe('an exception', () => {
  const head = {
    get path(): string {
      throw new Error('a head that cannot be read');
    },
  } as RequestHead;
  const broken = {} as View;

  it.each([
    [
      'in the head',
      () =>
        decideRequest(viewOf(compiled(endpoint([port('80', [rule('r', { l7: FEW })])]))), '', head),
    ],
    ['in the view, of a request', () => decideRequest(broken, '', get('/'))],
    ['in the view, of a connection', () => decideConnection(broken, '')],
    ['in the view, of a question', () => decideDns(broken, 'a.test')],
  ])('%s is a denial', (_place, ask) => {
    expect(ask()).toMatchObject({ verdict: 'deny', reason: 'internal-error' });
    expect(ask()).toMatchObject({ cause: expect.any(Error) });
  });
});

describe('an explanation by a view that cannot be read', () => {
  const broken = {} as View;

  it.each([
    ['of a request', () => explainRequest(broken, '', get('/'))],
    ['of a connection', () => explainConnection(broken, '')],
    ['of a question', () => explainDns(broken, 'a.test')],
  ])('%s is an exception, not an explanation without steps', (_place, ask) => {
    expect(ask).toThrow(TypeError);
  });
});

describe('decisions', () => {
  it('of one rule are one object: the usual verdict allocates nothing', () => {
    const view = viewOf(compiled(endpoint([port('80', [rule('r', { l7: FEW })])])));
    expect(decideRequest(view, '', get('/a'))).toBe(decideRequest(view, '', get('/ab')));
    expect(decideRequest(view, '', get('/b'))).toBe(decideRequest(view, '', get('/c')));
    expect(decideConnection(view, '')).toBe(decideConnection(view, ''));
  });

  it('cannot be changed', () => {
    const view = viewOf(compiled(endpoint([port('80', [rule('r')])])));
    expect(Object.isFrozen(decideConnection(view, ''))).toBe(true);
    expect(Object.isFrozen(decideRequest(view, '', get('/')))).toBe(true);
  });
});
