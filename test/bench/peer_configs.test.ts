/** Every subject gets the whole policy, each in its own words; what is written stays what was ordered. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { probesOf, samplePath } from '../../bench/measure/policy_check.ts';
import { envoyConfig } from '../../bench/subjects/envoy.ts';
import { haproxyConfig, haproxyLists } from '../../bench/subjects/haproxy.ts';
import { nginxConfig } from '../../bench/subjects/nginx.ts';
import { policyText, sallyportConfig } from '../../bench/subjects/sallyport.ts';
import { type BenchRule, type Order, PLAIN_RULES } from '../../bench/subjects/subject.ts';

const RULES: readonly BenchRule[] = [
  ...PLAIN_RULES,
  { method: 'POST', path: '/orders/[0-9]+', isPattern: true },
  { method: 'POST', path: '/a.b', isPattern: false },
];
const order = (changes: Partial<Order> = {}): Order => ({
  directory: '/nowhere',
  version: 'h1',
  originUrl: 'http://127.0.0.1:8081',
  rules: RULES,
  hasAccessLog: true,
  startOrigin: () => Promise.reject(new Error('not here')),
  ...changes,
});

describe('the policy of each subject', () => {
  it('is a CNP whose paths are patterns: a literal one is escaped', () => {
    const [ingress] = parse(policyText(RULES)).spec.ingress;
    expect(ingress.toPorts[0].rules.http).toEqual([
      { method: 'GET', path: '/orders/[0-9]+' },
      { method: 'GET', path: '/health' },
      { method: 'POST', path: '/orders/[0-9]+' },
      { method: 'POST', path: '/a\\.b' },
    ]);
  });

  it('is lists of HAProxy, and every list is allowed with its method', () => {
    expect(haproxyLists(RULES)).toEqual({
      'get-patterns.lst': '^(?:/orders/[0-9]+)$\n',
      'get-paths.lst': '/health\n',
      'post-patterns.lst': '^(?:/orders/[0-9]+)$\n',
      'post-paths.lst': '/a.b\n',
    });
    const config = haproxyConfig(9000, order());
    expect(config).toContain('acl in_get_patterns path -m reg -f {{directory}}/get-patterns.lst');
    expect(config).toContain('acl in_post_paths path -m str -f {{directory}}/post-paths.lst');
    expect(config).toContain(
      'http-request deny unless { method GET } in_get_patterns or { method GET } in_get_paths ' +
        'or { method POST } in_post_patterns or { method POST } in_post_paths\n',
    );
  });

  it('is locations of nginx, one a path, whatever the methods; everything else is refused', () => {
    const config = nginxConfig(9000, order());
    expect(config).toContain('location / { return 403; }');
    expect(config).toContain(
      'location = "/health" { if ($request_method != GET) { return 403; } proxy_pass',
    );
    expect(config).toContain(
      'location ~ "^(?:/orders/[0-9]+)$" { if ($request_method !~ "^(?:GET|POST)$") { return 403; }',
    );
    expect(config.match(/location /g)).toHaveLength(4);
  });

  it('is permissions of Envoy, a method and a path each', () => {
    const text = JSON.stringify(envoyConfig(9000, order()));
    const permissions = [...text.matchAll(/\{"and_rules":.*?\}\]\}\}/g)].map(([one]) =>
      JSON.parse(one),
    );
    expect(permissions).toHaveLength(RULES.length);
    expect(permissions[0]).toEqual({
      and_rules: {
        rules: [
          { header: { name: ':method', string_match: { exact: 'GET' } } },
          { url_path: { path: { safe_regex: { regex: '/orders/[0-9]+' } } } },
        ],
      },
    });
    expect(permissions[3].and_rules.rules[1]).toEqual({ url_path: { path: { exact: '/a.b' } } });
  });
});

describe('the access log of each subject', () => {
  const configs: Readonly<Record<string, (hasAccessLog: boolean) => string>> = {
    haproxy: (hasAccessLog) => haproxyConfig(9000, order({ hasAccessLog })),
    nginx: (hasAccessLog) => nginxConfig(9000, order({ hasAccessLog })),
    envoy: (hasAccessLog) => JSON.stringify(envoyConfig(9000, order({ hasAccessLog }))),
    sallyport: (hasAccessLog) => sallyportConfig(order({ hasAccessLog })),
  };
  const marks: Readonly<Record<string, RegExp>> = {
    haproxy: /option httplog/,
    nginx: /access_log \{\{directory\}\}\/access\.log/,
    envoy: /FileAccessLog/,
    sallyport: /accessLog: \{ to: \{\{directory\}\}\/access\.log \}/,
  };

  it.each(Object.keys(configs))('of %s is there when it is ordered, and only then', (name) => {
    const mark = marks[name] as RegExp;
    expect(configs[name]?.(true)).toMatch(mark);
    expect(configs[name]?.(false)).not.toMatch(mark);
  });
});

describe('the HTTP version of each subject', () => {
  it('is the same on both sides', () => {
    expect(haproxyConfig(9000, order({ version: 'h2' })).match(/proto h2/g)).toHaveLength(2);
    expect(haproxyConfig(9000, order())).not.toContain('proto h2');
    const envoy = JSON.stringify(envoyConfig(9000, order({ version: 'h2' })));
    expect(envoy).toContain('"codec_type":"HTTP2"');
    expect(envoy).toContain('"http2_protocol_options"');
    expect(JSON.stringify(envoyConfig(9000, order()))).not.toContain('http2_protocol_options');
  });

  it('and the configuration of Sallyport is YAML that names its origin', () => {
    expect(
      parse(sallyportConfig(order()).replaceAll('{{directory}}', '/tmp')).listeners[0],
    ).toEqual(
      expect.objectContaining({ upstream: '127.0.0.1:8081', destination: '127.0.20.1:8080' }),
    );
  });
});

describe('what a subject is asked before it is measured', () => {
  it('is what each rule allows, and neighbours that none does', () => {
    const probes = probesOf(PLAIN_RULES);
    expect(probes.filter(({ isAllowed }) => isAllowed)).toEqual([
      { method: 'GET', path: '/orders/4242', isAllowed: true },
      { method: 'GET', path: '/health', isAllowed: true },
    ]);
    const denied = probes.filter(({ isAllowed }) => !isAllowed).map((one) => one.path);
    expect(denied).toContain('/orders/4242/x');
    expect(denied).toContain('/x/health');
  });

  it('never claims that a neighbour is denied which another rule allows', () => {
    const rules = [...PLAIN_RULES, { method: 'GET', path: '/health/x', isPattern: false }];
    const judged = probesOf(rules).filter(
      ({ method, path }) => method === 'GET' && path === '/health/x',
    );
    expect(judged).toEqual([{ method: 'GET', path: '/health/x', isAllowed: true }]);
  });

  it('is some of many rules, with the first and the last', () => {
    const rules = Array.from({ length: 10_000 }, (_, i) => ({
      method: 'GET',
      path: `/p${i}/[a-z]+`,
      isPattern: true,
    }));
    const allowed = probesOf(rules).filter(({ isAllowed }) => isAllowed);
    expect(allowed.length).toBeLessThan(30);
    expect(allowed[0]?.path).toBe('/p0/abcd');
    expect(allowed.at(-1)?.path).toBe('/p9999/abcd');
  });

  it.each([
    ['/orders/[0-9]+', '/orders/4242'],
    ['/a/[^/]+/b', '/a/abcd/b'],
    ['/(one|two)/.*', '/one/abcd'],
    ['/v1\\.2/[a-z]+', '/v1.2/abcd'],
    ['/[[:alpha:]]{3}', null],
  ])('a path for %s is %s', (pattern, path) => {
    expect(samplePath(pattern)).toBe(path);
  });
});
