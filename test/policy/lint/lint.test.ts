import { describe, expect, it } from 'vitest';
import type { HeaderMatch, HttpRule, RuleOrigin } from '../../../src/policy/ast.ts';
import { lintSpecs } from '../../../src/policy/lint/lint.ts';
import type {
  DirectionRule,
  LabelSelector,
  Peer,
  PolicySpec,
  PortsRule,
} from '../../../src/policy/rule.ts';

describe('single HTTP rules', () => {
  const cases: readonly [string, Partial<Record<'path' | 'method' | 'host', string>>, string[]][] =
    [
      ['a path that ends in .* says nothing', { path: '/api/.*' }, []],
      ['a path that names the query says nothing', { path: '/x(\\?.*)?' }, []],
      ['a plain path forgets the query', { path: '/public' }, ['query-forgotten']],
      ['$ at the end is implied', { path: '/public$' }, ['implied-anchor', 'query-forgotten']],
      ['^ at the start is implied', { path: '^/api/.*' }, ['implied-anchor']],
      ['an escaped dollar is no anchor', { path: '/pay\\$(\\?.*)?' }, []],
      ['a glob in a path', { path: '/api/*' }, ['glob-not-regex']],
      ['a double glob in a path', { path: '/api/**' }, ['glob-not-regex']],
      ['a path without a slash', { path: 'public' }, ['never-matches']],
      ['an alternation may begin without one', { path: 'x|/y.*' }, []],
      ['a path that normalisation rewrites', { path: '/a/\\.\\./b' }, ['never-matches']],
      ['a segment that is a dot', { path: '/a/./b' }, ['bare-dot']],
      ['a segment that is two dots, at the end', { path: '/a/..' }, ['bare-dot']],
      ['a dot within a segment', { path: '/v1.0/x.*' }, ['prefix-not-segment']],
      ['any segment', { path: '/a/.*/b(\\?.*)?' }, []],
      ['a doubled slash', { path: '//b' }, ['never-matches']],
      ['a fragment', { path: '/a#b' }, ['never-matches']],
      ['a lower-case method', { method: 'get' }, ['never-matches']],
      ['an upper-case method', { method: 'GET' }, []],
      ['a custom lower-case method', { method: 'purge' }, []],
      ['a host with a scheme', { host: 'http://a.test' }, ['never-matches']],
      ['a host glob', { host: '*.a.test' }, ['glob-not-regex']],
      ['an upper-case host', { host: 'A.test' }, ['host-case']],
    ];
  it.each(cases)('%s', (_, fields, expected) => {
    const matchers = Object.entries(fields).map(([name, pattern]) => matcherOf(name, pattern));
    expect(codesOf([specOf([allow([portsOf('80', [httpRule(matchers)])])])])).toEqual(expected);
  });

  it('header strings that are read otherwise', () => {
    const exact = (name: string, text: string): HttpRule =>
      httpRule([
        {
          name,
          value: { kind: 'exact', text, ignoreCase: false },
          isInverted: false,
          treatMissingAsEmpty: false,
        },
      ]);
    const lint = (rule: HttpRule): string[] => codesOf([specOf([allow([portsOf('80', [rule])])])]);
    expect(lint(exact('x-a:v', ''))).toEqual(['header-misread']);
    expect(lint(exact('x-a', ' v'))).toEqual(['header-misread']);
    expect(lint(exact('x-a', 'v.*'))).toEqual(['header-misread']);
    expect(lint(exact('x-a', 'v'))).toEqual([]);
  });

  it('header matches that can have no effect', () => {
    const lint = (match: Partial<HeaderMatch>): string[] =>
      codesOf([
        specOf([
          allow([portsOf('80', [{ ...httpRule([]), headerMatches: [headerMatch(match)] }])]),
        ]),
      ]);
    expect(lint({ mismatchAction: 'delete' })).toEqual(['header-match-unused']);
    expect(lint({ mismatchAction: 'add' })).toEqual(['header-match-unused']);
    expect(lint({ mismatchAction: 'fail' })).toEqual([]);
    expect(lint({ mismatchAction: 'replace', secret: 'a/b' })).toEqual([]);
  });
});

describe('rules of one list', () => {
  const get = matcherOf('method', 'GET');
  const path = matcherOf('path', '/a/.*');
  it('a rule with more conditions than another is shadowed', () => {
    const spec = specOf([allow([portsOf('80', [httpRule([get]), httpRule([get, path])])])]);
    expect(codesOf([spec])).toEqual(['shadowed']);
  });
  it('whichever comes first', () => {
    const spec = specOf([allow([portsOf('80', [httpRule([get, path]), httpRule([get])])])]);
    expect(codesOf([spec])).toEqual(['shadowed']);
  });
  it('of two equal rules the later one', () => {
    const findings = lint([
      specOf([allow([portsOf('80', [httpRule([get], 'one'), httpRule([get], 'two')])])]),
    ]);
    expect(findings.map(({ origin }) => origin.rule)).toEqual(['two']);
  });
  it('different conditions shadow nothing', () => {
    expect(
      codesOf([specOf([allow([portsOf('80', [httpRule([get]), httpRule([path])])])])]),
    ).toEqual([]);
  });
});

describe('rules of a set', () => {
  const l7 = (port: string): PortsRule => portsOf(port, [httpRule([matcherOf('method', 'GET')])]);
  const plain = (port: string): PortsRule => portsOf(port, null);
  const client = [peerOf('client')];
  const other = [peerOf('other')];
  const cases: readonly [string, readonly DirectionRule[], string[]][] = [
    ['the same port without L7', [allow([l7('80')]), allow([plain('80')])], ['l4-voids-l7']],
    ['all ports of a peer', [allow([l7('80')], client), allow(null, client)], ['l4-voids-l7']],
    ['a range over the port', [allow([l7('80')]), allow([plain('1-1000')])], ['l4-voids-l7']],
    ['another port', [allow([l7('80')]), allow([plain('81')])], []],
    ['another peer', [allow([l7('80')], client), allow([plain('80')], other)], []],
    ['a broader peer', [allow([l7('80')], client), allow([plain('80')])], ['l4-voids-l7']],
    ['a narrower peer voids only a part', [allow([l7('80')]), allow([plain('80')], client)], []],
    ['a deny voids nothing', [allow([l7('80')]), { ...allow([plain('80')]), action: 'deny' }], []],
    ['`ingress: [{}]` allows nothing', [allow([l7('80')]), allow(null)], ['empty-rule']],
    ['an empty peer list', [allow([l7('80')], [])], ['never-redirected']],
  ];
  it.each(cases)('%s', (_, rules, expected) => {
    expect(codesOf([specOf(rules)])).toEqual(expected);
  });

  it('a named port that no endpoint has', () => {
    const named = {
      ...l7('80'),
      ports: [{ port: 0, endPort: 0, name: 'web', protocols: ['TCP' as const] }],
    };
    const spec = specOf([allow([named])]);
    expect(codesOf([spec], new Set(['api']))).toEqual(['never-redirected']);
    expect(codesOf([spec], new Set(['web']))).toEqual([]);
    expect(codesOf([spec], null)).toEqual([]);
  });

  it('rules without default deny never deny', () => {
    const spec = {
      ...specOf([allow([l7('80')])]),
      enableDefaultDeny: { ingress: false, egress: false },
    };
    expect(codesOf([spec])).toEqual(['never-denies']);
  });
});

describe('many rules', () => {
  // Held against each other, these would be asked for as long as the test may last.
  const COUNT = 5000;
  const number = Array.from({ length: COUNT }, (_, index) => index);

  it('of names and of questions are found by how they end', () => {
    const egress = (rule: Partial<DirectionRule>): DirectionRule => ({
      ...allow(null),
      direction: 'egress',
      ...rule,
    });
    const dns = number.map((i) => ({
      origin: originOf('d'),
      matchName: null,
      matchPattern: `**.zone-${i}.test`,
    }));
    const rules = [
      egress({ ports: [{ ...portsOf('53', null), l7: { kind: 'dns', rules: dns } }] }),
      ...number.map((i) =>
        egress({
          peers: [{ kind: 'fqdn', matchName: `a.b.zone-${i * 2}.test`, matchPattern: null }],
        }),
      ),
    ];
    const found = codesOf([specOf(rules)]).filter((id) => id === 'fqdn-not-askable');
    expect(found).toHaveLength(COUNT / 2);
  });

  it('without L7 rules are found by their peers and ports', () => {
    const peers = (i: number) => [peerOf(`c-${i}`)];
    const rules = number.flatMap((i) => [
      allow([portsOf('80', [httpRule([matcherOf('method', 'GET')])])], peers(i)),
      allow([portsOf('80', null)], peers(i * 2)),
    ]);
    expect(codesOf([specOf(rules)])).toHaveLength(COUNT / 2);
  });

  it('of one list are held against those that could shadow them', () => {
    const list = number.map((i) => httpRule([matcherOf('path', `/${i >> 1}/.*`)]));
    const found = codesOf([specOf([allow([portsOf('80', list)])])]);
    expect(found).toHaveLength(COUNT / 2);
  });
});

function lint(specs: readonly PolicySpec[], namedPorts: ReadonlySet<string> | null = null) {
  return lintSpecs(specs, { namedPorts, known: null, cost: null });
}

function codesOf(
  specs: readonly PolicySpec[],
  namedPorts: ReadonlySet<string> | null = null,
): string[] {
  return lint(specs, namedPorts).map(({ id }) => id);
}

function originOf(rule: string): RuleOrigin {
  return { policy: 'default/p', rule };
}

function specOf(rules: readonly DirectionRule[]): PolicySpec {
  return {
    origin: originOf(''),
    namespace: 'default',
    isDryRun: false,
    subject: { kind: 'endpoints', selector: selectorOf('api') },
    tier: 'normal',
    priority: 0,
    enableDefaultDeny: { ingress: true, egress: false },
    rules,
  };
}

function allow(
  ports: readonly PortsRule[] | null,
  peers: DirectionRule['peers'] = null,
): DirectionRule {
  return {
    origin: originOf('ingress[0]'),
    direction: 'ingress',
    action: 'allow',
    peers,
    ports,
    hasIcmps: false,
  };
}

/** `port` is "80" or "1-1000". */
function portsOf(port: string, rules: readonly HttpRule[] | null): PortsRule {
  const [first, last] = port.split('-');
  return {
    origin: originOf('ingress[0].toPorts[0]'),
    ports: [
      { port: Number(first), endPort: Number(last ?? first), name: null, protocols: ['TCP'] },
    ],
    serverNames: [],
    listener: null,
    isTlsTerminated: false,
    isTlsOriginated: false,
    l7: rules === null ? { kind: 'none' } : { kind: 'http', rules },
  };
}

function httpRule(
  matchers: HttpRule['matchers'],
  rule = 'ingress[0].toPorts[0].rules.http[0]',
): HttpRule {
  return { origin: originOf(rule), matchers, headerMatches: [] };
}

function matcherOf(name: string, pattern: string): HttpRule['matchers'][number] {
  const field = { path: ':path', method: ':method', host: ':authority' }[name] ?? name;
  return {
    name: field,
    value: { kind: 'regex', pattern },
    isInverted: false,
    treatMissingAsEmpty: false,
  };
}

function headerMatch(match: Partial<HeaderMatch>): HeaderMatch {
  return {
    name: 'x-a',
    value: '',
    secret: null,
    matchAction: 'continue',
    mismatchAction: 'continue',
    ...match,
  };
}

function selectorOf(app: string): LabelSelector {
  return { requirements: [{ key: 'k8s:app', operator: 'in', values: [app] }] };
}

function peerOf(app: string): Peer {
  return { kind: 'selector', selector: selectorOf(app), isLocalCluster: true };
}
