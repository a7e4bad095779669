/** `sallyport status` against an admin server: what it prints, what it says when it cannot. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type AdminAddress, AdminServer } from '../../src/admin/admin_server.ts';
import type { AdminBackend } from '../../src/admin/backend.ts';
import { runCommandLine } from '../../src/cli/command_line.ts';
import { parseSocketAddress } from '../../src/model/address.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { CounterCells, dimension } from '../../src/observe/metrics/cells.ts';
import type { MetricsSnapshot } from '../../src/observe/metrics/counters.ts';
import { fakeBackend } from './fake_backend.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe('status', () => {
  it('prints a table', async () => {
    const admin = await adminOf(fakeBackend({ metrics: [someMetrics()] }));
    const result = await run(['--admin', admin]);
    expect(result.stdout).toBe(
      [
        'ready            yes',
        'version          1.2.3',
        'policy           revision 7 (policies: 1, rules: 1)',
        'endpoints        0',
        'connections      2 open, 3 so far',
        'requests         0, 5 allowed, 0 denied, 0 faults',
        'log lines lost   0',
        'internal errors  0',
        'services         0 (addresses: 0, backends: 0) of the files, in force; redirect.services: none',
        '',
        'LISTENER  ADDRESS',
        '--------  ---------------',
        'api       127.0.0.1:15006',
        '',
        'WORKER  STATE      PID  REVISION  RESTARTS  CONNECTIONS  REQUESTS  BUSY S',
        '------  ---------  ---  --------  --------  -----------  --------  ------',
        '0       listening  42   7         1         2            9         3.5',
        '',
        'UNUSED RULES OF POLICY  RULE',
        '----------------------  ----------',
        'default/api             ingress[0]',
        '',
      ].join('\n'),
    );
    expect(result).toMatchObject({ code: 0, stderr: '' });
  });

  it.each([
    ['json', (text: string) => JSON.parse(text)],
    ['yaml', (text: string) => parse(text)],
  ])('prints %s', async (format, read) => {
    const admin = await adminOf(fakeBackend({ metrics: [someMetrics()] }));
    const { stdout, code } = await run(['--admin', admin, '-o', format]);
    expect(read(stdout)).toMatchObject({ ready: true, reason: null, revision: 7, allowed: 5 });
    expect(code).toBe(0);
  });

  it('exits with 1 and says why when the proxy is not ready', async () => {
    const readiness = { isReady: false, reason: 'draining' } as const;
    const admin = await adminOf(fakeBackend({ readiness }));
    const { stdout, code } = await run(['--admin', admin]);
    expect(stdout).toContain('ready            no: draining\n');
    expect(code).toBe(1);
  });

  it('shows that the newest set was rejected; with --strict exits with 1', async () => {
    const problems = ['a.yaml:3:1: bad', 'and 29 more'];
    const staleness = { sinceMs: 1_700_000_000_000, problems, problemCount: 30 };
    const admin = await adminOf(fakeBackend({ staleness }));
    const { stdout, code } = await run(['--admin', admin]);
    expect(stdout).toContain('ready            yes\n');
    expect(stdout).toContain(
      'STALE            since 2023-11-14T22:13:20.000Z: a.yaml:3:1: bad (and 29 more)\n',
    );
    expect(code).toBe(0);
    const strict = await run(['--admin', admin, '--strict', '-o', 'json']);
    expect(strict.code).toBe(1);
    expect(JSON.parse(strict.stdout)).toMatchObject({
      ready: true,
      stale: { since: '2023-11-14T22:13:20.000Z', problems, problemCount: 30 },
    });
  });

  it('shows the first policy that was refused alone; with --strict exits with 1', async () => {
    const object = 'CiliumNetworkPolicy shop/api';
    const problems = [`${object}: spec: has no rules`];
    const refused = { objects: [{ object, inForce: 'absent', problems } as const], count: 3 };
    const admin = await adminOf(fakeBackend({ refused }));
    const { stdout, code } = await run(['--admin', admin]);
    expect(stdout).toContain(
      `REFUSED          ${object}, nothing of it is in force: ${problems[0]} (and 2 more)\n`,
    );
    expect(code).toBe(0);
    const strict = await run(['--admin', admin, '--strict', '-o', 'json']);
    expect(strict.code).toBe(1);
    expect(JSON.parse(strict.stdout)).toMatchObject({ stale: null, refused });
  });

  it('shows Services: how many, where from, whether all of them are in force, which addresses are contested', async () => {
    const services = {
      ...{ serviceCount: 12, frontendCount: 30, backendCount: 55, areInForce: false },
      ...{ mode: 'socket', problems: ['TCP 10.0.0.1:80: two claim it'] },
      source: 'cluster' as const,
    };
    const problem = 'connection refused';
    const stale = [
      { part: 'Pod', sinceMs: 1_600_000_000_000, problem },
      { part: 'EndpointSlice', sinceMs: 1_700_000_000_000, problem },
    ];
    const sourceHealth = { stale, restoredAtMs: null };
    const admin = await adminOf(fakeBackend({ services, sourceHealth }));
    const { stdout } = await run(['--admin', admin]);
    expect(stdout).toContain(
      'services         12 (addresses: 30, backends: 55) of the cluster, NOT YET IN FORCE in every worker; ' +
        'redirect.services: socket; STALE since 2023-11-14T22:13:20.000Z; CLAIMED TWICE: TCP 10.0.0.1:80: two claim it\n',
    );
    const json = await run(['--admin', admin, '-o', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      services: {
        ...{ count: 12, addresses: 30, backends: 55, inForce: false, source: 'cluster' },
        ...{ staleSince: '2023-11-14T22:13:20.000Z', mode: 'socket' },
        conflicts: ['TCP 10.0.0.1:80: two claim it'],
      },
    });
  });

  it('shows what names have taught, and where it is kept', async () => {
    const refused = { special: 1, cluster: 2, own: 0 };
    const counts = { names: 12, addresses: 30, learned: 40, evicted: 3, expired: 7, refused };
    const shown = async (keptIn: string | null): Promise<string> => {
      const admin = await adminOf(fakeBackend({ nameState: { ...counts, keptIn } }));
      const json = await run(['--admin', admin, '-o', 'json']);
      expect(JSON.parse(json.stdout)).toMatchObject({ names: { ...counts, keptIn } });
      return (await run(['--admin', admin])).stdout;
    };
    const numbers =
      'names            12 (addresses: 30; evicted: 3, expired: 7, refused: 3), kept ';
    expect(await shown('/var/lib/sallyport')).toContain(`${numbers}in /var/lib/sallyport\n`);
    expect(await shown(null)).toContain(`${numbers}until this process ends\n`);
  });

  it('says nothing of refused policies while there are none', async () => {
    const admin = await adminOf(fakeBackend());
    const json = await run(['--admin', admin, '-o', 'json']);
    expect(JSON.parse(json.stdout)).not.toHaveProperty('refused');
    expect((await run(['--admin', admin])).stdout).not.toContain('REFUSED');
  });

  it('with --strict exits with 0 while what the files say is in force', async () => {
    const admin = await adminOf(fakeBackend());
    expect(await run(['--admin', admin, '--strict'])).toMatchObject({ code: 0 });
  });

  it('lists the first of many unused rules, and all of them with --all', async () => {
    const real = await run(['--admin', await adminOf(fakeBackend()), '-o', 'json']);
    const unused = Array.from({ length: 3000 }, (_, i) => ({ policy: 'shop/p', rule: `r${i}` }));
    const body = JSON.stringify({ ...JSON.parse(real.stdout), unused });
    const admin = await answering(200, body);
    const few = await run(['--admin', admin]);
    expect(few.stdout.split('\n').length).toBeLessThan(50);
    expect(few.stdout).toContain('and 2980 more (--all, or -o json)\n');
    const all = await run(['--admin', admin, '--all']);
    expect(all.stdout.match(/^shop\/p /gm)).toHaveLength(3000);
    const json = await run(['--admin', admin, '-o', 'json']);
    expect(JSON.parse(json.stdout).unused).toHaveLength(3000);
  });

  it('shows what is judged and not enforced: some policies, or the whole proxy', async () => {
    const dryRunPolicies = ['shop/new'];
    const admin = await adminOf(fakeBackend({ isDryRun: true, dryRunPolicies }));
    const { stdout } = await run(['--admin', admin]);
    expect(stdout).toContain(
      'DRY-RUN          the whole proxy: denials are logged and not enforced\n',
    );
    expect(stdout).toContain('dry-run          judged, not enforced: shop/new\n');
    const json = await run(['--admin', admin, '-o', 'json']);
    expect(JSON.parse(json.stdout).dryRun).toEqual({ proxy: true, policies: ['shop/new'] });
    const none = await run(['--admin', await adminOf(fakeBackend())]);
    expect(none.stdout).not.toMatch(/dry-run/i);
  });

  it('asks over a unix socket', async () => {
    const path = join(temporaryFolder(), 'admin.sock');
    await adminOf(fakeBackend(), { kind: 'unix', path });
    expect(await run(['--admin', `unix:${path}`, '-o', 'json'])).toMatchObject({ code: 0 });
  });

  it('finds the address in the configuration and in the environment', async () => {
    const admin = await adminOf(fakeBackend());
    const path = join(temporaryFolder(), 'sallyport.yaml');
    const listener = '{ name: a, address: 127.0.0.1:0, direction: ingress }';
    writeFileSync(path, `admin: ${admin}\nlisteners: [${listener}]\n`);
    expect(await run(['-c', path])).toMatchObject({ code: 0 });
    expect(await run([], { SALLYPORT_CONFIG: path })).toMatchObject({ code: 0 });
    expect(await run([], { SALLYPORT_ADMIN: admin })).toMatchObject({ code: 0 });
  });

  it('sends nothing of a text to the terminal that would control it', async () => {
    const readiness = { isReady: false, reason: 'a\u001b[2Jb\nc\u009b' } as const;
    const admin = await adminOf(fakeBackend({ readiness }));
    const { stdout } = await run(['--admin', admin]);
    expect(stdout).toContain('no: a\\u001b[2Jb\\nc\\u009b\n');
  });
});

describe('status cannot ask', () => {
  it.each([
    [['--admin', 'unix:/nonexistent/admin.sock'], 1, /no such socket/],
    [['--admin', '127.0.0.1:1'], 1, /^sallyport: status: 127\.0\.0\.1:1: nothing listens there/],
    [['--admin', 'nonsense'], 2, /--admin: "nonsense" is no address/],
    [['--admin', '127.0.0.1:0'], 2, /port 0/],
    [['--admin', 'example.com:80'], 2, /is no address/],
    [['--admin', '127.0.0.1:1', '-c', 'x'], 2, /not both/],
    [['-c', '/nonexistent.yaml'], 2, /nonexistent/],
    [['-o', 'xml'], 2, /xml/],
    [['more'], 2, /unexpected argument/],
  ])('%j: exit %i', async (argv, code, message) => {
    const result = await run(argv);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it.each([
    ['another server', 200, 'hello', /not the admin server of a Sallyport/],
    ['another JSON', 200, '{"ready":true,"revision":1}', /not the admin server of a Sallyport/],
    [
      'lists of something else',
      200,
      '{"ready":true,"revision":1,"listeners":[1],"workers":[],"unused":[]}',
      /not the admin server of a Sallyport/,
    ],
    ['an error', 500, '{"error":"internal\\nerror"}', /answered 500/],
  ])('%s', async (_name, status, body, message) => {
    const result = await run(['--admin', await answering(status, body)]);
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toMatch(message);
  });
});

/** A server that answers everything so. */
async function answering(status: number, body: string): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(status);
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => void server.close());
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

async function adminOf(backend: AdminBackend, where?: AdminAddress): Promise<string> {
  const address = parseSocketAddress('127.0.0.1:0');
  if (address === null) throw new Error('no address');
  const server = new AdminServer({
    address: where ?? { kind: 'tcp', address },
    allowRemote: false,
    limits: DEFAULT_LIMITS,
    backend,
  });
  const start = await server.start();
  if (start.kind === 'failed') throw new Error(start.message);
  cleanups.push(() => server.stop());
  return start.address;
}

function someMetrics(): MetricsSnapshot {
  const one = (value: number) => [{ suffix: '' as const, labels: {}, value }];
  const ofWorker = (value: number) => [{ suffix: '' as const, labels: { worker: '0' }, value }];
  const decisions = new CounterCells([dimension('verdict', ['allow', 'deny'])]);
  decisions.add(0, 5);
  const rule = { policy: 'default/api', rule: 'ingress[0]', verdict: 'allow' };
  return {
    workerIndex: 0,
    instanceId: 'a',
    families: [
      { name: 'sallyport_policy_decisions_total', samples: decisions.samples() },
      { name: 'sallyport_connections_open', samples: one(2) },
      { name: 'sallyport_connections_opened_total', samples: one(3) },
      { name: 'sallyport_policy_rules', samples: one(1) },
      { name: 'sallyport_worker_connections_open', samples: ofWorker(2) },
      { name: 'sallyport_worker_http_requests_total', samples: ofWorker(9) },
      { name: 'sallyport_worker_busy_seconds_total', samples: ofWorker(3.456) },
      {
        name: 'sallyport_policy_rule_hits_total',
        samples: [{ suffix: '', labels: rule, value: 0 }],
      },
    ],
  };
}

async function run(argv: readonly string[], env: Record<string, string> = {}) {
  const written = { stdout: '', stderr: '' };
  const sink = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      written[name] += text;
    },
  });
  const code = await runCommandLine(['status', ...argv], {
    stdin: (async function* () {})(),
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    hasColour: false,
    env,
    cwd: tmpdir(),
  });
  return { code, ...written };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-status-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
