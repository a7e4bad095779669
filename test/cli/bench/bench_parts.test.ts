/** The parts of `sallyport bench` that need no proxy: answers against verdicts, the plan, figures, advice. */
import { describe, expect, it } from 'vitest';
import { adviceOn } from '../../../src/cli/bench/advice.ts';
import { GROUP_COUNT_MAX } from '../../../src/cli/bench/bounds.ts';
import { Mismatches } from '../../../src/cli/bench/check.ts';
import { ruleCosts } from '../../../src/cli/bench/costs.ts';
import { listenerConfig, planOf } from '../../../src/cli/bench/plan.ts';
import { figure } from '../../../src/cli/bench/report.ts';
import { matchWords } from '../../../src/cli/bench/rules.ts';
import { type JudgedSet, judgeSet } from '../../../src/cli/bench/set.ts';
import { type Expected, mismatchOf } from '../../../src/cli/bench/status.ts';
import { parseQuestion } from '../../../src/control/ask/question.ts';

describe('an answer and its verdict', () => {
  const because = 'a deny rule matched';
  const FORWARDED: Expected = { kind: 'forwarded' };
  const DENIED: Expected = { kind: 'denied', because };
  const GRPC: Expected = { kind: 'grpc-denied', because };
  const RESET: Expected = { kind: 'reset', because };

  const cases: readonly (readonly [Expected, number, string, string | null])[] = [
    [FORWARDED, 200, '', null],
    [FORWARDED, 403, '', "judged: allow, so the origin's 200, seen 403"],
    [FORWARDED, 503, '', "judged: allow, so the origin's 200, seen 503"],
    [FORWARDED, 200, '7', "judged: allow, so the origin's 200, seen 200 with grpc-status 7"],
    [
      FORWARDED,
      0,
      '',
      "judged: allow, so the origin's 200, seen a connection that ended without a reply",
    ],
    [DENIED, 403, '', null],
    [DENIED, 200, '', 'judged: deny (a deny rule matched), so 403, seen 200'],
    [
      DENIED,
      0,
      '',
      'judged: deny (a deny rule matched), so 403, seen a connection that ended without a reply',
    ],
    [GRPC, 200, '7', null],
    [GRPC, 200, '', 'judged: deny (a deny rule matched), so grpc-status 7, seen 200'],
    [GRPC, 403, '', 'judged: deny (a deny rule matched), so grpc-status 7, seen 403'],
    [RESET, 0, '', null],
    [RESET, 403, '', 'judged: deny (a deny rule matched), so a reset connection, seen 403'],
  ];
  it.each(cases)('%j seen as %i %j', (expected, status, grpcStatus, mismatch) => {
    const origin = { isEmbedded: true, status: 200 };
    expect(mismatchOf(expected, { status, grpcStatus }, origin)).toBe(mismatch);
  });

  it("an origin of somebody else's answers as it likes, but not as the proxy does", () => {
    const origin = { isEmbedded: false, status: 404 };
    const seen = (status: number) => mismatchOf(FORWARDED, { status, grpcStatus: '' }, origin);
    expect([404, 200, 409, 500].map(seen)).toEqual([null, null, null, null]);
    for (const status of [0, 400, 403, 502, 503, 504]) expect(seen(status)).not.toBeNull();
    const denying = { isEmbedded: false, status: 403 };
    expect(mismatchOf(FORWARDED, { status: 403, grpcStatus: '' }, denying)).toBeNull();
  });

  it('all mismatches are counted, each kind of a request is kept once', () => {
    const mismatches = new Mismatches();
    for (let i = 0; i < 1000; i++) mismatches.add(`f:${i % 200}`, 'seen 403');
    expect(mismatches.count).toBe(1000);
    expect(mismatches.kept).toHaveLength(100);
  });
});

const ENDPOINTS = `endpoints:
  - { name: shop/orders, ip: 10.0.0.7, labels: { app: orders } }
  - { name: shop/six, ip: "fd00::7", labels: { app: orders } }
  - { name: shop/web, ip: 10.0.0.8, labels: { app: web } }
`;

function policy(http: string): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: orders, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: orders } }
  ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: TCP }], rules: { http: ${http} } }] }]
`;
}

type Set = Extract<JudgedSet, { kind: 'set' }>;

function judged(http: string, ...requests: readonly object[]): Set {
  const set = judgeSet(
    {
      policies: [{ path: 'p.yaml', text: policy(http) }],
      endpoints: { path: 'e.yaml', text: ENDPOINTS },
      secrets: null,
    },
    requests.map((request, index) => {
      const parsed = parseQuestion({
        endpoint: 'shop/orders',
        ...('labels' in request ? {} : { remote: 'shop/web' }),
        port: 80,
        ...request,
      });
      if (parsed.kind === 'error') throw new Error(parsed.message);
      return { place: `r:${index + 1}`, question: parsed.question };
    }),
  );
  if (set.kind === 'error') throw new Error(set.message);
  return set;
}

function get(path: string, more: object = {}): object {
  return { http: { method: 'GET', path, authority: 'a.test', ...more } };
}

describe('the plan', () => {
  it('one listener for each endpoint, direction, identity, port and proxy id', () => {
    const { requests } = judged(
      '[{ method: GET }]',
      get('/a'),
      get('/b'),
      { ...get('/a'), remote: 'shop/orders' },
      { ...get('/a'), port: 81 },
      { ...get('/a'), proxyId: 9 },
      { ...get('/a'), direction: 'egress' },
      { ...get('/a'), endpoint: 'shop/six' },
    );
    const plan = planOf(requests);
    expect(plan.sent.map(({ group }) => group)).toEqual([0, 0, 1, 2, 3, 4, 5]);
    const configs = plan.groups.map((group) => listenerConfig(group, '127.0.0.1:1'));
    expect(configs[0]).toMatchObject({
      direction: 'ingress',
      destination: '10.0.0.7:80',
      upstream: '127.0.0.1:1',
      identity: requests[0]?.asked.remote,
    });
    expect(configs[3]).toMatchObject({ proxyId: 9 });
    expect(configs[4]).toMatchObject({ direction: 'egress', destination: 'proxy-protocol' });
    expect(plan.groups[4]?.preamble).toBe('PROXY TCP4 10.0.0.7 192.0.2.1 40000 80\r\n');
    expect(configs[5]).toMatchObject({ destination: '[fd00::7]:80' });
  });

  it('listeners are bounded; what needs one more is named', () => {
    const requests = Array.from({ length: GROUP_COUNT_MAX + 2 }, (_, index) => ({
      ...get('/a'),
      port: 1000 + index,
    }));
    const plan = planOf(judged('[{ method: GET }]', ...requests).requests);
    expect(plan.groups).toHaveLength(GROUP_COUNT_MAX);
    expect(plan.unsent).toEqual([
      { place: 'r:65', because: expect.stringContaining('it would need listener 65') },
      { place: 'r:66', because: expect.stringContaining('it would need listener 65') },
    ]);
  });

  const unsendable: readonly (readonly [object, string])[] = [
    [{ dns: { name: 'a.test' } }, 'it is a DNS question'],
    [{}, 'only the connection is judged'],
    [{ ...get('/'), sni: 'a.test' }, 'it has a server name'],
    [{ ...get('/'), protocol: 'UDP' }, 'it is UDP'],
    [{ ...get('/'), port: 0 }, 'port 0'],
    [get('/', { method: 'CONNECT' }), 'CONNECT asks for a tunnel'],
    [get('/', { authority: 'a test' }), '"a test" is no host'],
    [get('/a\\b'), 'its path is malformed'],
    [get('*'), 'its path is malformed'],
    [get('/a%5cb'), 'the proxy sends the client to /a/b'],
    [get('/', { headers: [['Host', 'b']] }), 'writes the field "host" itself'],
    [get('/', { headers: [['Content-Length', '3']] }), 'without content'],
  ];
  it.each(unsendable)('%j is not sent', (request, because) => {
    const plan = planOf(judged('[{ method: GET }]', request).requests);
    expect(plan).toMatchObject({
      sent: [],
      unsent: [{ place: 'r:1', because: expect.stringContaining(because) }],
    });
  });

  it('a remote that is only labels has its number in the file that the proxy reads', () => {
    const set = judged('[{ method: GET }]', {
      ...get('/'),
      labels: ['k8s:app=new', 'k8s:team=blue'],
    });
    const remote = set.requests[0]?.asked.remote;
    expect(set.bundle.endpoints?.text).toContain(`"id":${remote},`);
    expect(set.bundle.endpoints?.text).toContain('k8s:team=blue');
    expect(set.snapshot.labels.labelsOf(remote as never)).toContain('k8s:team=blue');
  });
});

describe('the cost of rules', () => {
  it('rules by what decided, how it is matched, and what was not reached', () => {
    const { snapshot, requests } = judged(
      '[{ path: /a }, { path: "/b/[0-9]+", method: "GET|HEAD" }, { host: orders, headers: ["x-y z"] }, { path: /d }]',
      get('/a'),
      get('/b/1'),
      get('/b/2'),
      get('/c', { authority: 'orders', headers: [['x-y', 'z']] }),
      get('/c'),
    );
    const costs = ruleCosts(snapshot, requests);
    const words = costs.decided.map(({ hits, verdict, reason, match }) => [
      hits,
      verdict,
      reason ?? (match === null ? '' : matchWords(match)),
    ]);
    expect(words[0]?.[0]).toBe(2);
    // Of equal hits the dearest is first, which is no matter of a test.
    expect(words.map((row) => row.join(': ')).sort()).toEqual([
      '1: allow: host literal (map), 1 header condition',
      '1: allow: path literal (map)',
      '1: deny: no-http-rule-matched',
      '2: allow: path pattern (RE2), method pattern',
    ]);
    for (const { verdictNs } of costs.decided) expect(verdictNs).toBeGreaterThan(0);
    expect(costs.unreached.map(({ rule }) => rule)).toEqual([
      'ingress[0].toPorts[0].rules.http[3]',
    ]);
  });

  it('no rules on requests at all: no cost of no match', () => {
    const { snapshot, requests } = judged('[{}]', { ...get('/'), port: 81 });
    expect(ruleCosts(snapshot, requests).noMatchNs).toBeNull();
  });
});

describe('advice', () => {
  function advice(http: string, cpuUs: number | null = null): readonly string[] {
    const { snapshot, requests } = judged(http, get('/nothing'));
    return adviceOn(ruleCosts(snapshot, requests), cpuUs);
  }

  it('a dot that is meant as one', () => {
    expect(advice('[{ path: "/favicon.ico" }]')).toContainEqual(
      expect.stringMatching(
        /only operator is ".".*: ingress\[0\]\.toPorts\[0\]\.rules\.http\[0\] of shop\/orders\.$/,
      ),
    );
    for (const path of ['/favicon\\\\.ico', '/x.*', '/x.+', '/x.?', '/(a|b).c', '/[.]x']) {
      expect(advice(`[{ path: "${path}" }]`).join()).not.toContain('only operator');
    }
  });

  it('rules that neither path nor host tells apart', () => {
    const rules = Array.from({ length: 4 }, (_, i) => `{ headers: ["x-${i} 1"] }`);
    expect(advice(`[${rules.join(', ')}]`).join('\n')).toContain('up to 4 for each request');
    expect(advice(`[${rules.slice(1).join(', ')}]`).join()).not.toContain('asked one after');
  });

  it('header actions, rules that nothing reached, the share of the verdict', () => {
    const lines = advice(
      '[{ path: /a, headerMatches: [{ name: x, value: y, mismatch: ADD }] }]',
      10,
    );
    expect(lines).toEqual([
      expect.stringMatching(/^The verdict is [0-9.]+ % of the worker's CPU a request/),
      expect.stringContaining('Header actions'),
      expect.stringContaining('One rule decided none of these requests'),
    ]);
  });
});

describe('figures', () => {
  it('the median, and between what', () => {
    expect(figure([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(figure([4, 1])).toEqual({ median: 2.5, min: 1, max: 4 });
    expect(figure([7])).toEqual({ median: 7, min: 7, max: 7 });
  });
});
