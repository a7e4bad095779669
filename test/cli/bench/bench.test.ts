/**
 * `sallyport bench` as a user meets it: the real proxy in front of an origin, requests of several
 * identities, all formats, and what happens when an answer is not as judged. Nothing here asserts how
 * long anything took.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { BENCH_SPEC } from '../../../src/cli/ask/tool_specs.ts';
import {
  GROUP_COUNT_MAX,
  REQUEST_COUNT_MAX,
  REQUESTS_BYTES_MAX,
} from '../../../src/cli/bench/bounds.ts';
import type { BenchReport } from '../../../src/cli/bench/report.ts';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { testIo } from '../test_io.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const FIXTURES = join(ROOT, 'fixtures/bench');
const DIRECTORY = mkdtempSync(join(tmpdir(), 'sallyport-bench-test-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true, force: true }));

const SET = ['-p', 'policies.yaml', '--endpoints', 'endpoints.yaml'];
const SHORT = ['--seconds', '0.2', '--rounds', '1', '--connections', '2'];
const REQUEST = {
  endpoint: 'shop/orders',
  remote: 'shop/web',
  port: 8080,
  http: { method: 'GET', path: '/orders/7', authority: 'orders' },
};

async function bench(
  argv: readonly string[],
  stdin = '',
): Promise<{ code: number; stdout: string; stderr: string }> {
  const io = testIo({ cwd: FIXTURES, stdin });
  const code = await runCommandLine(['bench', ...argv], io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

async function report(argv: readonly string[], stdin = ''): Promise<BenchReport> {
  const { code, stdout, stderr } = await bench([...argv, '-o', 'json'], stdin);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout) as BenchReport;
}

function line(...requests: readonly object[]): string {
  return requests.map((request) => JSON.stringify(request)).join('\n');
}

function asked(path: string, more: object = {}): object {
  return { ...REQUEST, http: { ...REQUEST.http, path }, ...more };
}

describe('the embedded origin', () => {
  let whole: Promise<BenchReport>;
  beforeAll(() => {
    whole = report([...SET, '--requests', 'requests.jsonl', ...SHORT]);
    return whole;
  });

  it('a table of what is added and of which rules cost what', async () => {
    const { code, stdout, stderr } = await bench([
      ...SET,
      ...['--requests', 'requests.jsonl', ...SHORT],
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('round 1 of 1') });
    for (const part of [
      '18 requests of requests.jsonl: 11 allowed, 7 denied',
      '10 sent by 5 listeners to the embedded origin; every answer was as judged',
      'allowed, latency p50, ms',
      'allowed, latency p99, ms',
      'denied, latency p50, ms',
      'requests a second',
      'CPU of the worker',
      'shop/orders ingress[0].toPorts[0].rules.http[1]  path literal (map), method literal',
      'path pattern (RE2, one of 3 on the port), method literal',
      '1 header action',
      'no-http-rule-matched',
      '; no rule matching: ',
      'Rules that decided none of these requests:\n  shop/orders ingress[0].toPorts[0].rules.http[2]',
      'requests.jsonl:14: it is a DNS question',
      'requests.jsonl:15: the endpoint has no address',
      'requests.jsonl:16: its path holds %2F or %5C: the proxy sends the client to /a/b, unjudged',
      'requests.jsonl:17: the client refuses to send it: invalid request method',
      'requests.jsonl:19: the client writes the field "connection" itself',
      'The policy set: ',
      'match nothing else, if it were "\\.": ingress[0].toPorts[0].rules.http[2] of shop/orders.',
      '2 of the requests have no authority',
      '2 of the requests are denied with their connection',
    ]) {
      expect(stdout).toContain(part);
    }
    expect(stdout).not.toContain('default allow rule');
  });

  it('-o json has all of it, by endpoint, direction, identity and port', async () => {
    const data = await whole;
    expect(data.run).toMatchObject({ upstream: null, connectionCount: 2, roundCount: 1 });
    expect(data.requests).toMatchObject({ count: 18, allowedCount: 11, sentCount: 10 });
    expect(data.requests.unsent).toHaveLength(8);
    const { groups } = data.requests;
    expect(groups.map(({ endpoint, direction }) => `${endpoint} ${direction}`)).toEqual([
      'shop/orders ingress',
      'shop/orders ingress',
      'shop/orders ingress',
      'shop/web egress',
      'shop/orders ingress',
    ]);
    expect(new Set(groups.map(({ remoteIdentity }) => remoteIdentity)).size).toBe(5);
    expect(data.answers).toEqual({ mismatchCount: 0, mismatches: [] });
    const { load } = data;
    expect(load?.proxiedRequestCount).toBeGreaterThan(0);
    expect(load?.directRequestCount).toBeGreaterThan(0);
    for (const side of ['direct', 'proxied'] as const) {
      const latency = load?.allowedLatency?.[side];
      expect(latency?.p50Ms.median).toBeGreaterThan(0);
      expect(latency?.p99Ms.median).toBeGreaterThanOrEqual(latency?.p50Ms.median ?? Infinity);
    }
    expect(load?.deniedLatency?.p50Ms.median).toBeGreaterThan(0);
    expect(data.proxyResidentBytes).toBeGreaterThan(0);
    expect(data.policySet).toMatchObject({ policyCount: 2, endpointCount: 4 });
  });

  it('hits, kind of match and nanoseconds of each rule', async () => {
    const { rules } = await whole;
    const of = (rule: string) => rules.decided.find((one) => one.rule === rule);
    expect(of('ingress[0].toPorts[0].rules.http[0]')).toMatchObject({
      policy: 'shop/orders',
      verdict: 'allow',
      hits: 3,
      verdictNs: expect.any(Number),
      match: { path: 'pattern', method: 'literal', portPatternCount: 3 },
    });
    expect(of('ingress[1].toPorts[0].rules.http[0]')).toMatchObject({
      hits: 4,
      match: { path: 'none', headerActionCount: 1 },
    });
    expect(rules.decided.reduce((sum, { hits }) => sum + hits, 0)).toBe(18);
    expect(rules.unreached.map(({ rule }) => rule)).toEqual([
      'ingress[0].toPorts[0].rules.http[2]',
      'ingress[0].toPorts[0].rules.http[3]',
    ]);
    expect(rules.noMatchNs).toBeGreaterThan(0);
  });

  it('-o yaml is the same data', async () => {
    const { code, stdout } = await bench([
      ...SET,
      ...['--requests', 'requests.jsonl', ...SHORT, '-o', 'yaml'],
    ]);
    expect(code).toBe(0);
    expect(parse(stdout)).toMatchObject({
      requests: { count: 18 },
      answers: { mismatchCount: 0 },
      load: { cpuUsPerRequest: expect.anything() },
    });
  });

  it('a test file brings its policies', async () => {
    const data = await report(['--requests', 'shop.test.yaml', ...SHORT, '--no-access-log']);
    expect(data.requests).toMatchObject({ count: 2, allowedCount: 1, deniedCount: 1 });
    expect(data.run.hasAccessLog).toBe(false);
  });

  it('and gives way to those of -p', async () => {
    const path = join(DIRECTORY, 'open.yaml');
    writeFileSync(
      path,
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: open, namespace: shop }\nspec: { endpointSelector: {}, ingress: [{ fromEntities: [all] }] }\n',
    );
    const data = await report(['-p', path, '--requests', 'shop.test.yaml', ...SHORT]);
    expect(data.requests).toMatchObject({ allowedCount: 2 });
  });

  it('standard input; no allowed request: nothing is asked directly', async () => {
    const denied = line(asked('/nobody'), asked('/nowhere'));
    const data = await report([...SET, '--requests', '-', ...SHORT], denied);
    expect(data.load).toMatchObject({ allowedLatency: null, directRequestCount: 0 });
    expect(data.load?.deniedLatency?.p99Ms.median).toBeGreaterThan(0);
  });

  it('nothing to send: the rules are measured all the same', async () => {
    const dns = { ...REQUEST, http: undefined, dns: { name: 'a.test' } };
    const { load, rules, notes } = await report([...SET, '--requests', '-', ...SHORT], line(dns));
    expect(load).toBeNull();
    expect(rules.decided).toHaveLength(1);
    expect(notes).toEqual([expect.stringContaining('Nothing was timed')]);
  });

  it('no rule matching is measured although each request is allowed', async () => {
    const { rules } = await report([...SET, '--requests', '-', ...SHORT], line(REQUEST));
    expect(rules.noMatchNs).toBeGreaterThan(0);
  });
});

describe('--upstream', () => {
  let server: Server | null = null;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  async function upstream(answer: (number: number) => number): Promise<readonly string[]> {
    const seen: string[] = [];
    server = createServer((request, reply) => {
      seen.push(`${request.method} ${request.url}`);
      reply.statusCode = answer(seen.length);
      reply.end('x');
    });
    await new Promise<void>((done) => server?.listen(0, '127.0.0.1', done));
    return seen;
  }

  const url = (): string => `http://127.0.0.1:${(server?.address() as AddressInfo | null)?.port}`;

  it('is warned of, and sees nothing that policy denies, not even directly', async () => {
    const seen = await upstream(() => 204);
    const { code, stdout, stderr } = await bench(
      [...SET, '--requests', '-', ...SHORT, '--upstream', url()],
      line(
        REQUEST,
        asked('/health'),
        asked('/secret'),
        asked('/orders/7', { http: { ...REQUEST.http, method: 'PATCH' } }),
      ),
    );
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining(
        `warning: real requests go to ${url()}, again and again: GET\n`,
      ),
    });
    expect(stdout).toContain(`Real requests went to ${url()}.`);
    expect(new Set(seen)).toEqual(new Set(['GET /orders/7', 'GET /health']));
  });

  it('an answer that is not as judged is told first: exit 1', async () => {
    // Directly 200; what comes through the proxy after that looks like its denial.
    await upstream((number) => (number === 1 ? 200 : 403));
    const { code, stdout } = await bench(
      [...SET, '--requests', '-', ...SHORT, '--upstream', url()],
      line(REQUEST),
    );
    expect(code).toBe(1);
    expect(stdout).toMatch(/^NOT AS JUDGED: [0-9]+ answers?\n/);
    expect(stdout).toContain("<stdin>:1: judged: allow, so the origin's 200, seen 403");
  });

  it('that does not answer: exit 1', async () => {
    await upstream(() => 200);
    const gone = url();
    await new Promise((done) => server?.close(done));
    const { code, stderr } = await bench(
      [...SET, '--requests', '-', ...SHORT, '--upstream', gone],
      line(REQUEST),
    );
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('<stdin>:1: the origin did not answer: '),
    });
  });
});

describe('usage errors: exit 2, one line', () => {
  const cases: readonly (readonly [
    name: string,
    argv: readonly string[],
    message: string,
    stdin?: string,
  ])[] = [
    ['no requests', SET, 'no requests: name a file with --requests FILE'],
    ['no such file', [...SET, '--requests', 'nope'], 'cannot read nope: there is no such file'],
    ['a directory', [...SET, '--requests', '.'], 'cannot read .: it is a directory'],
    ['no policies', ['--requests', 'requests.jsonl'], 'no policies: name them with -p PATH'],
    [
      'both on standard input',
      ['-p', '-', '--requests', '-'],
      'standard input has the requests, so policies cannot be there',
    ],
    [
      'a rejected set',
      ['-p', 'endpoints.yaml', '--requests', 'requests.jsonl'],
      'the policy set is rejected: endpoints.yaml:1:',
    ],
    ['no lines', [...SET, '--requests', '-'], '<stdin>: there are no requests in it', '\n'],
    ['no JSON', [...SET, '--requests', '-'], '<stdin>:2: the line is not JSON', '\nx'],
    [
      'an unknown key',
      [...SET, '--requests', '-'],
      '<stdin>:1: the request: unknown key "prot"',
      line({ ...REQUEST, prot: 1 }),
    ],
    [
      'an unknown endpoint',
      [...SET, '--requests', '-'],
      '<stdin>:1: no endpoint is named "shop/order"',
      line({ ...REQUEST, endpoint: 'shop/order' }),
    ],
    [
      'another set',
      [...SET, '--requests', '-'],
      '<stdin>:1: policyFile: one policy set is measured',
      '{"policyFile":"x"}',
    ],
    [
      'a test file without cases',
      ['--requests', '-'],
      '<stdin>: it has no cases',
      'policies: [policies.yaml]\nrejected: x\n',
    ],
    [
      'too many requests',
      [...SET, '--requests', '-'],
      `requests are more than ${REQUEST_COUNT_MAX}`,
      `${JSON.stringify(REQUEST)}\n`.repeat(REQUEST_COUNT_MAX + 1),
    ],
    [
      'too large',
      [...SET, '--requests', '-'],
      `stdin has more than ${REQUESTS_BYTES_MAX} bytes`,
      ' '.repeat(REQUESTS_BYTES_MAX + 1),
    ],
    ['connections', [...SET, '--requests', 'x', '--connections', '0'], 'from 1 to 256 (found "0")'],
    ['seconds', [...SET, '--requests', 'x', '--seconds', '1e9'], '--seconds must be a number from'],
    ['rounds', [...SET, '--requests', 'x', '--rounds', '21'], 'from 1 to 20 (found "21")'],
    [
      'TLS',
      [...SET, '--requests', 'x', '--upstream', 'https://a.test'],
      '--upstream must be http://HOST:PORT',
    ],
    [
      'a path',
      [...SET, '--requests', 'x', '--upstream', 'http://127.0.0.1/x'],
      '--upstream must be http://HOST:PORT',
    ],
    [
      'an unknown host',
      [...SET, '--requests', 'x', '--upstream', 'http://nobody.invalid'],
      '--upstream: nobody knows the host "nobody.invalid"',
    ],
    ['a format', [...SET, '--requests', 'x', '-o', 'xml'], 'is none of table, json, yaml'],
  ];

  const complete = cases.map(([name, argv, message, stdin]) => ({ name, argv, message, stdin }));
  it.each(complete)('$name', async ({ argv, message, stdin }) => {
    const { code, stdout, stderr } = await bench(argv, stdin);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(`sallyport: bench: `);
    expect(stderr).toContain(message);
    expect(stderr.split('\n')).toHaveLength(2);
  });

  it('more connections than are reasonable', async () => {
    const ports = Array.from({ length: 20 }, (_, index) => ({ ...REQUEST, port: 9000 + index }));
    const argv = [...SET, '--requests', '-', '--connections', '256'];
    expect(await bench(argv, line(...ports))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('20 listeners with 256 connections each are more than 4096'),
    });
  });
});

describe('docs/benchmark.md', () => {
  const text = readFileSync(join(ROOT, 'docs/benchmark.md'), 'utf8');

  it('names every flag of the verb, and no other', () => {
    const own = BENCH_SPEC.flags.map(({ name }) => name);
    const named = new Set([...text.matchAll(/--([a-z][a-z-]*)/g)].map(([, name]) => name));
    // Short, or told of where policies are and how they are read: `sallyport help bench`.
    const elsewhere = ['policy', 'output', 'secrets', 'enable-node-selector-labels'];
    expect([...named].sort()).toEqual(own.filter((name) => !elsewhere.includes(name)).sort());
  });

  it('the bounds and files that it names are true', () => {
    expect(text).toContain(`At most ${REQUEST_COUNT_MAX.toLocaleString('en')} requests`);
    expect(text).toContain(`${REQUESTS_BYTES_MAX / 1024 / 1024} MiB`);
    expect(text).toContain(`(at most ${GROUP_COUNT_MAX})`);
    for (const [, target = ''] of text.matchAll(/\]\(([^)#]+)\)/g)) {
      expect(() => readFileSync(join(ROOT, 'docs', target))).not.toThrow();
    }
  });
});

describe('what is started is ended', () => {
  /** The real command, with a folder of its own for what it leaves. */
  function start(): { child: ChildProcess; stderr: () => string; temporary: string } {
    const temporary = mkdtempSync(join(DIRECTORY, 'tmp-'));
    const argv = [...SET, '--requests', 'requests.jsonl', '--seconds', '60'];
    const child = spawn(join(ROOT, 'bin/sallyport'), ['bench', ...argv], {
      cwd: FIXTURES,
      env: { ...process.env, TMPDIR: temporary },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    return { child, stderr: () => text, temporary };
  }

  async function under(condition: () => boolean): Promise<void> {
    for (let i = 0; i < 1000 && !condition(); i++) {
      await new Promise((done) => setTimeout(done, 20));
    }
    expect(condition()).toBe(true);
  }

  const exitOf = (child: ChildProcess): Promise<number | null> =>
    new Promise((done) => child.once('exit', done));

  const childrenOf = (pid: number): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').map(Number);

  const isAlive = (pid: number): boolean => {
    try {
      return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
    } catch {
      return false;
    }
  };

  it('on Ctrl-C: exit 1, no process, no file', async () => {
    const { child, stderr, temporary } = start();
    const exit = exitOf(child);
    await under(() => stderr().includes('warming up'));
    const started = childrenOf(child.pid as number);
    expect(started).toHaveLength(2);
    child.kill('SIGINT');
    expect(await exit).toBe(1);
    expect(stderr()).toMatch(/sallyport: bench: interrupted\n$/);
    expect(readdirSync(temporary).filter((name) => name.startsWith('sallyport'))).toEqual([]);
    await under(() => !started.some(isAlive));
  });

  it('when the proxy dies: exit 1, with how', async () => {
    const { child, stderr, temporary } = start();
    const exit = exitOf(child);
    await under(() => stderr().includes('warming up'));
    const proxy = childrenOf(child.pid as number).find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('\0run\0'),
    );
    process.kill(proxy as number, 'SIGKILL');
    expect(await exit).toBe(1);
    expect(stderr()).toContain('sallyport: bench: the proxy ended (SIGKILL)');
    expect(readdirSync(temporary).filter((name) => name.startsWith('sallyport'))).toEqual([]);
  });
});
