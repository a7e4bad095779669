/** Random policies and requests over small alphabets, so that rules meet requests often. */
import fc from 'fast-check';
import type { Identity, Port, ProxyId } from '../../src/model/identity.ts';
import { plainHead } from '../../src/model/request_head.ts';
import type {
  EndpointPolicy,
  HeaderMatch,
  HeaderMatcher,
  HttpRule,
  PortPolicy,
  PortRule,
  RuleVerdict,
  ValueMatcher,
} from '../../src/policy/ast.ts';
import { NO_L7 } from '../../src/policy/ast.ts';

const METHODS = ['GET', 'POST', 'PUT'];
const PATHS = ['/', '/a', '/a/b', '/a?x=1', '/b', '/b/7', '/b/77'];
const PATTERNS = [
  '/',
  '/a',
  '^/a$',
  '/a.*',
  '/b/[0-9]+',
  '/.*',
  '/(a|b)',
  '/a\\?x=1',
  '/b/7+',
  '/c',
  '/d/.*',
];
const NAMES = ['x-a', 'x-b', 'x-c'];
const VALUES = ['1', '2', '12', ''];
const SERVER_NAMES = ['a.test', 'b.test'];
export const REMOTES = [1, 2, 300, 301, 302] as Identity[];
export const SECRETS = new Map([
  ['ns/known', '12'],
  ['ns/empty', ''],
]);

const valueMatcher: fc.Arbitrary<ValueMatcher> = fc.oneof(
  fc.record({ kind: fc.constant('present' as const), isPresent: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom(
      'exact' as const,
      'prefix' as const,
      'suffix' as const,
      'contains' as const,
    ),
    text: fc.constantFrom(...VALUES),
    ignoreCase: fc.constant(false),
  }),
  fc.record({
    kind: fc.constant('regex' as const),
    pattern: fc.constantFrom('1', '1.*', '[0-9]+', '.*'),
  }),
  fc.record({ kind: fc.constant('range' as const), start: fc.constant(1n), end: fc.constant(3n) }),
);

const fieldMatcher: fc.Arbitrary<HeaderMatcher> = fc.record({
  name: fc.constantFrom(...NAMES),
  value: valueMatcher,
  isInverted: fc.boolean(),
  treatMissingAsEmpty: fc.boolean(),
});

const pathMatcher = patternMatcher(':path', PATTERNS);
const methodMatcher = patternMatcher(':method', ['GET', 'POST', 'GET|PUT', 'P.*']);
const hostMatcher = patternMatcher(':authority', ['a.test', 'a[.]test(:80)?', '.*']);

function patternMatcher(name: string, patterns: readonly string[]): fc.Arbitrary<HeaderMatcher> {
  return fc.record({
    name: fc.constant(name),
    value: fc.record({
      kind: fc.constant('regex' as const),
      pattern: fc.constantFrom(...patterns),
    }),
    isInverted: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    treatMissingAsEmpty: fc.constant(false),
  });
}

const headerMatch: fc.Arbitrary<HeaderMatch> = fc.record({
  name: fc.constantFrom(...NAMES),
  value: fc.constantFrom(...VALUES),
  secret: fc.constantFrom(null, null, 'ns/known', 'ns/empty', 'ns/unknown'),
  matchAction: fc.constantFrom('continue', 'continue', 'fail', 'delete'),
  mismatchAction: fc.constantFrom('fail', 'continue', 'add', 'delete', 'replace'),
});

const httpRule = (withHeaderMatches: boolean): fc.Arbitrary<Omit<HttpRule, 'origin'>> =>
  fc.record({
    matchers: fc
      .tuple(
        fc.option(pathMatcher, { nil: null }),
        fc.option(methodMatcher, { nil: null }),
        fc.option(hostMatcher, { nil: null, freq: 1 }),
        fc.array(fieldMatcher, { maxLength: 2 }),
      )
      .map(([path, method, host, fields]) =>
        [path, method, host, ...fields].filter((one): one is HeaderMatcher => one !== null),
      ),
    headerMatches: withHeaderMatches ? fc.array(headerMatch, { maxLength: 3 }) : fc.constant([]),
  });

/** Passes of one tier agree: 20 → 15, 10 → 6. */
const verdictOf = (precedence: number): fc.Arbitrary<RuleVerdict> =>
  fc.constantFrom<RuleVerdict>(
    { kind: 'allow' },
    { kind: 'allow' },
    { kind: 'deny' },
    ...(precedence >= 10
      ? [{ kind: 'pass' as const, passPrecedence: precedence === 20 ? 15 : 6 }]
      : []),
  );

const portRule = (withHeaderMatches: boolean): fc.Arbitrary<PortRule> =>
  fc.constantFrom(0, 5, 10, 20).chain((precedence) =>
    fc
      .record({
        verdict: verdictOf(precedence),
        proxyId: fc.constantFrom(0, 0, 0, 7),
        remotes: fc.option(fc.uniqueArray(fc.constantFrom(...REMOTES)), { nil: null }),
        serverNames: fc.constantFrom<string[]>([], [], [], ['a.test'], SERVER_NAMES),
        http: fc.option(fc.array(httpRule(withHeaderMatches), { minLength: 1, maxLength: 6 }), {
          nil: null,
        }),
        name: fc.nat({ max: 1e9 }),
      })
      .map(({ verdict, proxyId, remotes, serverNames, http, name }) => ({
        precedence,
        verdict,
        proxyId,
        origin: { policy: 'p', rule: `r${name}` },
        remotes: remotes === null ? null : new Set(remotes),
        serverNames,
        l7:
          http === null
            ? NO_L7
            : {
                kind: 'http' as const,
                rules: http.map((rule, i) => ({
                  ...rule,
                  origin: { policy: 'p', rule: `r${name}.http[${i}]` },
                })),
              },
      })),
  );

const portPolicy = (withHeaderMatches: boolean): fc.Arbitrary<PortPolicy> =>
  fc
    .record({
      range: fc.constantFrom([0, 0], [80, 80], [80, 80], [70, 90], [85, 100], [80, 81]),
      rules: fc.array(portRule(withHeaderMatches), { maxLength: 4 }),
    })
    .map(({ range, rules }) => ({
      port: range[0] as number,
      endPort: range[1] as number,
      protocol: 'TCP' as const,
      rules,
    }));

/** Without header matches nothing that one rule does is seen by another one. */
export function endpointPolicyWith(headerMatches: boolean): fc.Arbitrary<EndpointPolicy> {
  return fc.array(portPolicy(headerMatches), { maxLength: 5 }).map((ingress) => ({
    name: 'ns/subject',
    endpointIps: ['10.0.0.1'],
    endpointId: 1,
    ingress,
    egress: [],
  }));
}

export const endpointPolicy = fc.boolean().chain(endpointPolicyWith);

export const question = fc
  .record({
    port: fc.constantFrom(69, 70, 80, 81, 82, 90, 91, 100, 101) as fc.Arbitrary<Port>,
    proxyId: fc.constantFrom(0, 7, 8) as fc.Arbitrary<ProxyId>,
    remote: fc.constantFrom(...REMOTES, 999 as Identity),
    serverName: fc.constantFrom('', '', 'a.test', 'b.test', 'c.test'),
    method: fc.constantFrom(...METHODS),
    path: fc.constantFrom(...PATHS),
    authority: fc.constantFrom('a.test', 'a.test:80', 'b.test'),
    fields: fc.array(fc.tuple(fc.constantFrom(...NAMES, 'X-A'), fc.constantFrom(...VALUES)), {
      maxLength: 4,
    }),
  })
  .map(({ method, path, authority, fields, ...rest }) => ({
    direction: 'ingress' as const,
    protocol: 'TCP' as const,
    ...rest,
    head: plainHead({ method, path, authority, fields: fields.flat() }),
  }));
