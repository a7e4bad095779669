/** What port policies compile to, as text; both sides of every border; what is refused, in which words. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { EndpointPolicy, PortPolicy } from '../../../src/policy/ast.ts';
import { decideConnection, decideRequest } from '../../../src/policy/decide/decide.ts';
import { printSnapshot } from '../../../src/policy/decide/print.ts';
import type { RegexEngine } from '../../../src/policy/match/regex.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import {
  ALLOW,
  compile,
  compiled,
  condition,
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

/** The dump of the ingress side, one line a port, its rules' names in asking order. */
function check(ingress: readonly PortPolicy[], expected: readonly string[]): void {
  const lines: string[] = [];
  for (const line of printSnapshot(compiled(endpoint(ingress))).split('\n')) {
    const portName = /^ {4}(\S.*)$/.exec(line)?.[1];
    const ruleName = /\[(?:p|ns\/subject) (.*)\]$/.exec(line)?.[1];
    if (portName !== undefined) lines.push(`${portName}:`);
    else if (ruleName !== undefined) lines.push(`${lines.pop()} ${ruleName}`);
  }
  expect(lines).toEqual(expected);
}

/** What a connection to each port is told. */
function ask(ingress: readonly PortPolicy[], ports: readonly number[]): readonly string[] {
  const snapshot = compiled(endpoint(ingress));
  return ports.map((number) => shown(decideConnection(viewOf(snapshot, { port: number }), '')));
}

function problemsOf(policies: readonly EndpointPolicy[]): readonly string[] {
  const result = compile(policies);
  return result.kind === 'ok' ? [] : result.problems.map(({ message }) => message);
}

const pass = (name: string, precedence: number, passPrecedence: number) =>
  rule(name, { precedence, verdict: PASS_TO(passPrecedence) });

describe('ranges', () => {
  it('that overlap are split where they do', () => {
    check(
      [port('80-8080', [rule('a')]), port('4040-9999', [rule('b')])],
      ['TCP port 80-4039: a', 'TCP port 4040-8080: a b', 'TCP port 8081-9999: b'],
    );
  });

  it('a port inside of a range has the rules of both, its own in front', () => {
    check(
      [port('80-90', [rule('a')]), port('85', [rule('b')])],
      ['TCP port 80-84: a', 'TCP port 85: b a', 'TCP port 86-90: a'],
    );
  });

  it('a range over several fills the gaps', () => {
    check(
      [port('10', [rule('a')]), port('20', [rule('b')]), port('5-25', [rule('c')])],
      [
        'TCP port 5-9: c',
        'TCP port 10: a c',
        'TCP port 11-19: c',
        'TCP port 20: b c',
        'TCP port 21-25: c',
      ],
    );
  });

  it('the same port twice has the rules of both', () => {
    check([port('80', [rule('a')]), port('80', [rule('b')])], ['TCP port 80: b a']);
  });

  it('end at their ends', () => {
    const policy = [port('80-90', [rule('a')]), port('65535', [rule('z')])];
    expect(ask(policy, [79, 80, 90, 91, 65534, 65535])).toEqual([
      'deny no-port-rule',
      'allow a',
      'allow a',
      'deny no-port-rule',
      'deny no-port-rule',
      'allow z',
    ]);
  });

  it('are of one protocol', () => {
    const udp = [
      port('53', [rule('u')], 'UDP'),
      port('53', [rule('t')]),
      port('54', [rule('s')], 'SCTP'),
    ];
    const snapshot = compiled(endpoint(udp));
    const answers = (['UDP', 'TCP', 'SCTP'] as const).map((protocol) =>
      [53, 54].map((number) =>
        shown(decideConnection(viewOf(snapshot, { protocol, port: number }), '')),
      ),
    );
    expect(answers).toEqual([
      ['allow u', 'deny no-port-rule'],
      ['allow t', 'deny no-port-rule'],
      ['deny no-port-rule', 'allow s'],
    ]);
  });
});

describe('port 0', () => {
  it('is added behind every range and stays for the other ports', () => {
    check(
      [port('0', [rule('w')]), port('80', [rule('a')]), port('90-91', [rule('b')])],
      ['TCP any other port: w', 'TCP port 80: a w', 'TCP port 90-91: b w'],
    );
  });

  it('answers for ports that no range holds', () => {
    const policy = [port('0', [rule('w')]), port('80', [rule('a', { verdict: DENY })])];
    expect(ask(policy, [1, 79, 80, 81, 65535])).toEqual([
      'allow w',
      'allow w',
      'deny a',
      'allow w',
      'allow w',
    ]);
  });
});

describe('empty lists', () => {
  it('no port policies deny all', () => {
    expect(ask([], [80])).toEqual(['deny no-port-rule']);
    expect(printSnapshot(compiled(endpoint([])))).toBe(
      'endpoint ns/subject (10.0.0.1)\n  ingress: deny all\n  egress: deny all\n',
    );
  });

  it('a port without rules allows all', () => {
    check([port('80', [])], ['TCP port 80: default allow rule']);
  });

  it.each([
    ['after', [port('80', [rule('a', { remotes: [7] })]), port('80', [])]],
    ['before', [port('80', []), port('80', [rule('a', { remotes: [7] })])]],
    ['as port 0', [port('0', []), port('80', [rule('a', { remotes: [7] })])]],
    ['under port 0', [port('80', []), port('0', [rule('a', { remotes: [7] })])]],
    ['as a range', [port('80', [rule('a', { remotes: [7] })]), port('70-90', [])]],
  ])('and goes on to, %s one with rules', (_place, policy) => {
    expect(ask(policy, [80])).toEqual(['allow default allow rule']);
  });

  it('as the lowest of all rules', () => {
    const policy = [port('80', []), port('80', [rule('d', { precedence: 1, verdict: DENY })])];
    expect(ask(policy, [80])).toEqual(['deny d']);
  });

  it('an empty set of remotes is nobody', () => {
    expect(ask([port('80', [rule('a', { remotes: [] })])], [80])).toEqual([
      'deny remote-not-allowed',
    ]);
  });
});

describe('order', () => {
  const rules = [
    rule('allow5', { precedence: 5 }),
    pass('pass10', 10, 5),
    rule('deny5', { precedence: 5, verdict: DENY }),
    rule('allow10', { precedence: 10 }),
    rule('low'),
  ];
  it.each([
    ['as written', rules],
    ['reversed', rules.toReversed()],
  ])('%s: precedence first, then deny, allow, pass', (_about, list) => {
    check([port('80', list)], ['TCP port 80: allow10 pass10 deny5 allow5 low']);
  });
});

describe('pass rules', () => {
  it('go on below the tier that they end', () => {
    const tier = [
      pass('p', 20, 10),
      rule('in', { precedence: 10, verdict: DENY }),
      rule('below', { precedence: 9 }),
    ];
    expect(ask([port('80', tier)], [80])).toEqual(['allow below']);
  });

  it('of their own precedence cover what is behind them', () => {
    const tier = [pass('p', 10, 10), rule('below', { precedence: 9 })];
    expect(ask([port('80', tier)], [80])).toEqual(['allow below']);
  });

  it('do not undo an allow of the same precedence', () => {
    const tier = [pass('p', 10, 5), rule('a', { precedence: 10 }), rule('d', { verdict: DENY })];
    expect(ask([port('80', tier)], [80])).toEqual(['allow a']);
  });

  it('alone on a port leave it to port 0', () => {
    const policy = [port('80', [pass('p', 10, 5)]), port('90', [rule('a')])];
    check(policy, ['TCP port 90: a']);
    expect(ask(policy, [80, 90])).toEqual(['deny no-port-rule', 'allow a']);
  });

  it('alone on port 0 leave it to nobody', () => {
    const policy = [port('0', [pass('p', 10, 5)]), port('80', [rule('a')])];
    check(policy, ['TCP port 80: p a']);
    expect(ask(policy, [81])).toEqual(['deny no-port-rule']);
  });

  it('with HTTP rules pass what these match, and the connection always', () => {
    const tier = [
      rule('p', { precedence: 20, verdict: PASS_TO(10), l7: http([':path', '/up']) }),
      rule('d', { precedence: 15, verdict: DENY }),
      rule('a'),
    ];
    const view = viewOf(compiled(endpoint([port('80', tier)])));
    expect(shown(decideConnection(view, ''))).toBe('allow a');
    expect(shown(decideRequest(view, '', get('/up')))).toBe('allow a');
    expect(shown(decideRequest(view, '', get('/down')))).toBe('deny d');
  });
});

describe('a rule', () => {
  it('of another listener or remote, or for another server name, says nothing', () => {
    const rules = [
      rule('listener', { precedence: 3, proxyId: 7 }),
      rule('remote', { precedence: 2, remotes: [42] }),
      rule('name', { precedence: 1, serverNames: ['a.test'] }),
    ];
    const snapshot = compiled(endpoint([port('80', rules)]));
    const answer = (place: object, serverName: string) =>
      shown(decideConnection(viewOf(snapshot, place), serverName));
    expect(answer({ proxyId: 7 }, '')).toBe('allow listener');
    expect(answer({ proxyId: 8 }, '')).toBe('deny sni-not-allowed');
    expect(answer({ remote: 42 }, '')).toBe('allow remote');
    expect(answer({ remote: 41 }, 'A.test')).toBe('allow name');
    expect(answer({ remote: 41 }, 'b.test')).toBe('deny sni-not-allowed');
  });

  it('that denies does so without a look at its HTTP rules', () => {
    const rules = [
      rule('d', { precedence: 1, verdict: DENY, l7: http([':path', '/no']) }),
      rule('a'),
    ];
    const view = viewOf(compiled(endpoint([port('80', rules)])));
    expect(shown(decideRequest(view, '', get('/a')))).toBe('deny d');
  });

  it('whose HTTP rules do not match leaves it to lower ones', () => {
    const rules = [
      rule('h', { precedence: 9, l7: http([':path', '/a']) }),
      rule('d', { precedence: 5, verdict: DENY, remotes: [7] }),
      rule('low', { precedence: 1, verdict: ALLOW }),
    ];
    const snapshot = compiled(endpoint([port('80', rules)]));
    const answer = (remote: number, path: string) =>
      shown(decideRequest(viewOf(snapshot, { remote }), '', get(path)));
    expect(answer(7, '/a')).toBe('allow http[0]');
    expect(answer(7, '/b')).toBe('deny d');
    expect(answer(8, '/b')).toBe('allow low');
  });

  it('lets requests in for which another rule knew the server name: copied from Cilium', () => {
    const rules = [
      rule('name', { serverNames: ['a.test'], l7: http([':path', '/a']) }),
      rule('other', { serverNames: ['b.test'], l7: http([':path', '/b']) }),
    ];
    const view = viewOf(compiled(endpoint([port('80', rules)])));
    expect(shown(decideRequest(view, 'a.test', get('/b')))).toBe('allow http[0]');
    expect(shown(decideRequest(view, '', get('/b')))).toBe('deny sni-not-allowed');
  });
});

describe('directions', () => {
  it('that share a list of port policies are two directions all the same', () => {
    const list = [port('80', [rule('a')])];
    const snapshot = compiled(endpoint(list, list));
    for (const direction of ['ingress', 'egress'] as const) {
      expect(viewOf(snapshot, { direction }).port.direction).toBe(direction);
    }
  });

  it('an address without policy is denied, whatever is asked', () => {
    const snapshot = compiled(endpoint([port('0', [])], [port('0', [])]));
    const other = snapshot.endpoint('10.0.0.2');
    expect(other.isKnown).toBe(false);
    for (const direction of ['ingress', 'egress'] as const) {
      const view = other.port(direction, 'TCP', 80 as never).view(0 as never, 300 as never);
      expect(shown(decideConnection(view, ''))).toBe('deny no-policy');
      expect(shown(decideRequest(view, '', get('/')))).toBe('deny no-policy');
    }
  });
});

describe('refused', () => {
  const cases: readonly [string, readonly PortPolicy[], string][] = [
    [
      'a range that ends before it begins',
      [{ port: 90, endPort: 80, protocol: 'TCP', rules: [] }],
      'PortNetworkPolicy: Invalid port range, end port is less than start port 90-80',
    ],
    [
      'a range from port 0',
      [{ port: 0, endPort: 80, protocol: 'TCP', rules: [] }],
      'PortNetworkPolicy: Invalid port range including the wildcard zero port 0-80',
    ],
    [
      'a pass to above',
      [port('80', [pass('p', 5, 6)])],
      'PortNetworkPolicyRule: pass_precedence 6 must be lower than precedence 5',
    ],
    [
      'passes of one tier that do not agree',
      [port('80', [pass('p', 9, 5), pass('q', 8, 4)])],
      'PortNetworkPolicy: Inconsistent pass precedence 4 != 5',
    ],
    [
      'also when one of them is of port 0',
      [port('80', [pass('p', 9, 5)]), port('0', [pass('q', 9, 4), rule('a')])],
      'PortNetworkPolicy: Inconsistent pass precedence 4 != 5',
    ],
    [
      'a server name that is none',
      [port('80', [rule('a', { serverNames: ['a..b'] })])],
      'SniPattern: Unsupported match pattern a..b',
    ],
    [
      'a pattern that RE2 refuses',
      [port('80', [rule('a', { l7: http([':path', '(']) })])],
      'pattern "(": missing ): (',
    ],
  ];
  it.each(cases)('%s', (_about, ingress, message) => {
    expect(problemsOf([endpoint(ingress)])).toContain(message);
  });

  it('one address of two endpoints', () => {
    const other = { ...endpoint([]), name: 'ns/other' };
    expect(problemsOf([endpoint([]), other])).toEqual([
      'duplicate endpoint IP 10.0.0.1, it is also of ns/subject',
    ]);
  });

  it('passes of tiers that do not meet need not agree', () => {
    expect(
      problemsOf([endpoint([port('80', [pass('p', 9, 5), pass('q', 4, 2), rule('a')])])]),
    ).toEqual([]);
  });

  it('every problem is told, with the rule it is in', () => {
    const result = compile([
      endpoint([port('80', [pass('p', 5, 6), rule('a', { l7: http([':path', '(']) })])]),
    ]);
    expect(
      result.kind === 'error' &&
        result.problems.map(({ origin, endpoint: name }) => [origin?.rule, name]),
    ).toEqual([
      ['p', 'ns/subject'],
      ['http[0]', 'ns/subject'],
    ]);
  });
});

describe('views', () => {
  // No text tells them apart, so they are asked as a set.
  const patterns = [...'abcdefghij'].map((one) => [':path', `/[${one}]/.*`]);
  const policy = endpoint([
    port('80', [
      rule('some', { remotes: [1, 2], l7: http([':path', '/x/.*']) }),
      rule('all', { l7: http(...patterns) }),
    ]),
  ]);

  it('of remotes with the same rules share one pattern set', () => {
    const counted = countingEngine();
    const snapshot = compiled(policy, { regexEngine: counted.engine });
    const ask = (remote: number) =>
      decideRequest(viewOf(snapshot, { remote }), '', get('/b/x')).verdict;
    for (let remote = 3; remote < 100; remote++) expect(ask(remote)).toBe('allow');
    expect(counted.sets()).toBe(1);
    expect([ask(1), ask(2)]).toEqual(['allow', 'allow']);
    expect(counted.sets()).toBe(2);
  });

  it('are made once and bounded, and answer the same when made again', () => {
    const snapshot = compiled(policy, { limits: { viewCacheCountMax: 2 } });
    const first = viewOf(snapshot, { remote: 1 });
    expect(viewOf(snapshot, { remote: 1 })).toBe(first);
    for (let remote = 2; remote < 9; remote++) viewOf(snapshot, { remote });
    const again = viewOf(snapshot, { remote: 1 });
    expect(again).not.toBe(first);
    expect(decideRequest(again, '', get('/x/1'))).toEqual(decideRequest(first, '', get('/x/1')));
    expect(shown(decideRequest(viewOf(snapshot, { remote: 8 }), '', get('/x/1')))).toBe(
      'deny no-http-rule-matched',
    );
  });
});

describe('a dump', () => {
  it('says all that a rule asks, and no value of a secret', () => {
    const headerMatch = {
      name: 'x-key',
      value: 'hidden, too',
      secret: 'ns/key',
      matchAction: 'continue',
      mismatchAction: 'replace',
    } as const;
    const withSecret = {
      kind: 'http' as const,
      rules: [
        {
          origin: { policy: 'p', rule: 'h' },
          matchers: [
            condition(
              'x',
              { kind: 'regex', pattern: 'a' },
              { isInverted: true, treatMissingAsEmpty: true },
            ),
          ],
          headerMatches: [headerMatch],
        },
      ],
    };
    const snapshot = compiled(
      endpoint(
        [
          port('80-90', [
            rule('a', { precedence: 7, remotes: [9, 2], proxyId: 3, serverNames: ['*.test'] }),
            rule('d', { precedence: 9, verdict: DENY, remotes: [] }),
            pass('p', 9, 5),
          ]),
          port('0', [rule('h', { l7: http([':path', '/a', ':method', 'GET']) })]),
        ],
        [
          port('53', [rule('n', { l7: dns('*.test') })], 'UDP'),
          port('80', [rule('s', { l7: withSecret })]),
        ],
      ),
      { secrets: new Map([['ns/key', 'hidden']]) },
    );
    expect(printSnapshot(snapshot)).toBe(DUMP);
  });
});

const DUMP = `endpoint ns/subject (10.0.0.1)
  ingress:
    TCP any other port
      0, allow, any remote  [p h]
        http :path ~ /a, :method ~ GET
    TCP port 80-90
      9, deny, remotes nobody  [p d]
      9, pass, to 5, any remote  [p p]
      7, allow, remotes 2 9, listener 3, server names *.test  [p a]
      0, allow, any remote  [p h]
        http :path ~ /a, :method ~ GET
  egress:
    TCP port 80
      0, allow, any remote  [p s]
        http not x ~ a (missing is empty), x-key secret ns/key or its own value match:continue mismatch:replace
    UDP port 53
      0, allow, any remote  [p n]
        dns *.test
`;

function countingEngine(): { readonly engine: RegexEngine; readonly sets: () => number } {
  const inner = createRe2Engine(DEFAULT_LIMITS);
  let count = 0;
  return {
    sets: () => count,
    engine: {
      compile: (pattern) => inner.compile(pattern),
      compileSet: (patterns, memoryShare) => {
        count++;
        return inner.compileSet(patterns, memoryShare);
      },
    },
  };
}
