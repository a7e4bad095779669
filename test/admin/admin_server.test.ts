/** The admin server over real sockets: what each path answers, and whom it refuses. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type AdminAddress, AdminServer } from '../../src/admin/admin_server.ts';
import { ROUTES } from '../../src/admin/routes.ts';
import { parseSocketAddress } from '../../src/model/address.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import { until } from '../support/until.ts';
import { type FakeBackend, fakeBackend } from './fake_backend.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Reply {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

interface Ask {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

describe('what each path answers', () => {
  it.each([
    ['/healthz/live', 200, 'live\n'],
    ['/healthz/ready', 200, 'ready\n'],
    ['/policies?format=text', 200, 'endpoint default/api\n'],
  ])('GET %s: %i', async (path, status, body) => {
    const { ask } = await started();
    expect(await ask(path)).toMatchObject({ status, body });
  });

  it.each([
    ['/policies', { revision: 7, policies: ['default/api'], rules: [{ rule: 'ingress[0]' }] }],
    ['/version', { sallyport: '1.2.3' }],
    ['/config', { workers: 1 }],
    ['/logging', { level: 'info' }],
    ['/status', { ready: true, revision: 7, requests: 0, workers: [{ pid: 42 }] }],
    ['/policies/hits', { revision: 7, rules: [] }],
    [
      '/fqdn/cache?endpoint=a/b&source=lookup&matchpattern=*.test',
      { filter: { endpoint: 'a/b', source: 'lookup', matchPattern: '*.test' } },
    ],
    ['/explain?request=%7B%22port%22%3A80%7D', { verdict: 'deny', asked: { port: 80 } }],
  ])('GET %s: JSON', async (path, value) => {
    const { ask } = await started();
    const reply = await ask(path);
    expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(JSON.parse(reply.body)).toMatchObject(value);
  });

  it('GET / lists every path', async () => {
    const { ask } = await started();
    expect(Object.keys(JSON.parse((await ask('/')).body))).toEqual([...ROUTES.keys()]);
  });

  it('GET /metrics: the exposition format', async () => {
    const { ask } = await started();
    const reply = await ask('/metrics');
    expect(reply.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(reply.body).toContain(
      '# TYPE sallyport_policy_revision gauge\nsallyport_policy_revision 7\n',
    );
  });

  it('says why it is not ready, with 503', async () => {
    const { ask } = await started({
      backend: fakeBackend({ readiness: { isReady: false, reason: 'draining' } }),
    });
    expect(await ask('/healthz/ready')).toMatchObject({ status: 503, body: 'draining\n' });
    expect(await ask('/healthz/live')).toMatchObject({ status: 200 });
  });

  it('explains a request that is posted', async () => {
    const { ask } = await started();
    const reply = await ask('/explain', { method: 'POST', body: '{"port":80}' });
    expect(JSON.parse(reply.body)).toEqual({ verdict: 'deny', asked: { port: 80 } });
  });

  it('drains once for each POST and for nothing else', async () => {
    const { ask, backend } = await started();
    await ask('/drain');
    expect(backend.drainCount).toBe(0);
    expect((await ask('/drain', { method: 'POST' })).status).toBe(202);
    expect(backend.drainCount).toBe(1);
  });

  it.each([
    ['/logging?level=debug', ''],
    ['/logging', '{"level":"debug"}'],
  ])('PUT %s %s sets the log level', async (path, body) => {
    const { ask } = await started();
    expect(JSON.parse((await ask(path, { method: 'PUT', body })).body)).toMatchObject({
      level: 'debug',
    });
    expect(JSON.parse((await ask('/logging')).body)).toMatchObject({ level: 'debug' });
  });

  it('answers HEAD as GET, without content', async () => {
    const { ask } = await started();
    const reply = await ask('/healthz/live', { method: 'HEAD' });
    expect(reply).toMatchObject({ status: 200, body: '' });
    expect(reply.headers['content-length']).toBe('5');
  });
});

describe('what is refused', () => {
  it.each<[string, string, Ask, number]>([
    ['an unknown path', '/nothing', {}, 404],
    ['a path that only begins like one', '/metrics/', {}, 404],
    ['a name of Object.prototype', '/constructor', {}, 404],
    ['a method that the path has not', '/metrics', { method: 'POST' }, 405],
    ['DELETE', '/drain', { method: 'DELETE' }, 405],
    ['no JSON', '/explain', { method: 'POST', body: 'x' }, 400],
    ['no question', '/explain', {}, 400],
    ['a source of names that is none', '/fqdn/cache?source=guess', {}, 400],
    ['a pattern that is none', '/fqdn/cache?matchpattern=a%20b', {}, 400],
    ['a question that cannot be asked', '/explain', { method: 'POST', body: '{}' }, 400],
    ['an unknown log level', '/logging?level=loud', { method: 'PUT' }, 400],
    ['no log level', '/logging', { method: 'PUT', body: '[1]' }, 400],
    ['an unknown format', '/policies?format=xml', {}, 400],
    ['a rebound name', '/policies', { headers: { host: 'evil.test:9901' } }, 403],
    ['a name like an address', '/policies', { headers: { host: '127.0.0.1.evil.test' } }, 403],
    [
      'a Host with user information',
      '/policies',
      { headers: { host: 'localhost@evil.test' } },
      403,
    ],
    [
      'another site’s POST',
      '/drain',
      { method: 'POST', headers: { origin: 'http://a.test' } },
      403,
    ],
    ['an opaque origin', '/drain', { method: 'POST', headers: { origin: 'null' } }, 403],
    ['a cross-site GET', '/policies', { headers: { 'sec-fetch-site': 'cross-site' } }, 403],
    ['an expectation', '/metrics', { headers: { expect: 'magic' } }, 417],
  ])('%s', async (_name, path, ask, status) => {
    const server = await started();
    const reply = await server.ask(path, ask);
    expect(reply.status).toBe(status);
    if (status !== 417) expect(JSON.parse(reply.body)).toHaveProperty('error');
    expect(server.backend.drainCount).toBe(0);
    expect(server.backend.errors).toEqual([]);
  });

  it('tells the methods that a path has', async () => {
    const { ask } = await started();
    expect((await ask('/logging', { method: 'PATCH' })).headers['allow']).toBe('GET, POST, PUT');
  });

  it.each(['localhost', 'LOCALHOST:1', '127.0.0.1', '127.8.8.8:80', '[::1]:9901', '10.1.2.3:9901'])(
    'but not Host %s',
    async (host) => {
      const { ask } = await started();
      expect((await ask('/policies', { headers: { host } })).status).toBe(200);
    },
  );

  it('content above the bound, told or counted', async () => {
    const limits = { ...DEFAULT_LIMITS, adminBodyBytesMax: 1024 };
    const { ask } = await started({ limits });
    const body = `{"port":${'1'.repeat(2000)}}`;
    expect((await ask('/explain', { method: 'POST', body })).status).toBe(413);
    const chunked = { 'transfer-encoding': 'chunked' };
    expect((await ask('/explain', { method: 'POST', body, headers: chunked })).status).toBe(413);
    expect((await ask('/healthz/live')).status).toBe(200);
  });

  it('errors of ours: 500 without detail, told to the log', async () => {
    const { ask, backend } = await started({ backend: fakeBackend({ failing: true }) });
    const reply = await ask('/metrics');
    expect(reply.status).toBe(500);
    expect(reply.body).not.toContain('secret detail');
    expect(backend.errors).toHaveLength(1);
  });

  it('what cannot be answered now: 503 and why, no error of ours', async () => {
    const { ask, backend } = await started({ backend: fakeBackend({ busy: 'ask again' }) });
    const reply = await ask('/metrics');
    expect(reply).toMatchObject({ status: 503, body: expect.stringContaining('"ask again"') });
    expect(backend.errors).toEqual([]);
  });

  it.each([
    ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'two Hosts',
      'GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n',
      /^HTTP\/1\.1 40[03] /,
    ],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', /^HTTP\/1\.1 403 /],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'an absolute target',
      'GET http://evil.test/policies HTTP/1.1\r\nHost: localhost\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'a head too large',
      `GET / HTTP/1.1\r\nHost: localhost\r\nx: ${'a'.repeat(100_000)}\r\n\r\n`,
      /^HTTP\/1\.1 431 /,
    ],
    ['CONNECT', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', /^$/],
  ])('%s', async (_name, bytes, expected) => {
    const { address, ask } = await started();
    expect(await rawReply(address, bytes)).toMatch(expected);
    expect((await ask('/healthz/live')).status).toBe(200);
  });

  it('clients that never finish their request', async () => {
    const limits = { ...DEFAULT_LIMITS, adminTimeoutMs: 100 };
    const { address, ask, backend } = await started({ limits });
    const head = 'POST /explain HTTP/1.1\r\nHost: localhost\r\ncontent-length: 10\r\n\r\n{';
    // Resolves when the server closes, and only then.
    await rawReply(address, head, { isKept: true });
    expect((await ask('/healthz/live')).status).toBe(200);
    expect(backend.errors).toEqual([]);
  });
});

describe('when all of its connections are taken', () => {
  const limits = { ...DEFAULT_LIMITS, adminConnectionCountMax: 16 };

  const holds: readonly [about: string, bytes: string][] = [
    ['nothing', ''],
    ['half a head', 'GET /healthz/live HTTP/1.1\r\nHost: local'],
    [
      'half of their content',
      'POST /explain HTTP/1.1\r\nHost: localhost\r\ncontent-length: 10\r\n\r\n{',
    ],
    ['a whole request, and then nothing', 'GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ];
  for (const kind of ['tcp', 'unix'] as const) {
    for (const [about, bytes] of holds) {
      it(`${kind}: by clients that send ${about}: others are answered at once`, async () => {
        const path = join(temporaryFolder(), 'admin.sock');
        const address = kind === 'unix' ? { kind, path } : tcp('127.0.0.1:0');
        const { ask, address: bound } = await started({ limits, address });
        const held = await Promise.all([...Array(40)].map(() => holding(bound, bytes)));
        expect((await ask('/healthz/live')).status).toBe(200);
        expect((await ask('/version')).status).toBe(200);
        for (const socket of held) socket.destroy();
      });
    }
  }

  it('by requests that take their time: health checks are answered, others get 503', async () => {
    const answers = Promise.withResolvers<void>();
    const backend = fakeBackend();
    const slow = {
      ...backend,
      readiness: () => backend.readiness(),
      metrics: async () => {
        await answers.promise;
        return backend.metrics();
      },
    };
    const { ask, address } = await started({ limits, backend: slow as FakeBackend });
    const scrapes = [...Array(16)].map(() =>
      rawReply(address, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    );
    await until(async () => (await ask('/version')).status === 503);
    expect((await ask('/healthz/live')).status).toBe(200);
    answers.resolve();
    await Promise.all(scrapes);
    expect((await ask('/version')).status).toBe(200);
  });
});

describe('requests that a client sends ahead', () => {
  it('are answered one after the other, in order', async () => {
    const { backend, release, counts } = gated();
    const { address } = await started({ backend });
    const bytes = ['/metrics', '/status', '/policies/hits', '/healthz/live']
      .map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      .join('');
    const reply = rawReply(address, bytes.replace(/\r\n$/, 'Connection: close\r\n\r\n'), {
      isKept: true,
    });
    for (let round = 1; round <= 3; round++) {
      await until(async () => counts.asked === round);
      release();
    }
    expect((await reply).match(/HTTP\/1\.1 200/g)).toHaveLength(4);
    expect(counts.atOnceMax).toBe(1);
  });

  it('without end are not worked on, and others are answered', async () => {
    const { backend, release, counts } = gated();
    const { address, ask } = await started({ backend });
    await rawReply(address, 'GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1000), {
      isKept: true,
    });
    expect(counts.asked).toBe(1);
    expect((await ask('/healthz/live')).status).toBe(200);
    release();
  });
});

/** Workers answer when `release` is called. */
function gated() {
  const counts = { asked: 0, atOnce: 0, atOnceMax: 0 };
  const waiting: (() => void)[] = [];
  const fake = fakeBackend();
  const metrics = async () => {
    counts.asked++;
    counts.atOnce++;
    counts.atOnceMax = Math.max(counts.atOnceMax, counts.atOnce);
    await new Promise<void>((resolve) => waiting.push(resolve));
    counts.atOnce--;
    return fake.metrics();
  };
  const release = (): void => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  return { backend: { ...fake, metrics } as FakeBackend, counts, release };
}

/** A connection that has sent `bytes` and stays, or has been closed. */
function holding(address: string, bytes: string): Promise<Socket> {
  return new Promise((resolve) => {
    const where = address.startsWith('unix:')
      ? { path: address.slice('unix:'.length) }
      : { host: '127.0.0.1', port: portOf(address).port };
    const socket = connect(where, () => socket.write(bytes, () => resolve(socket)));
    socket.on('error', () => resolve(socket));
    socket.resume();
  });
}

describe('where it listens', () => {
  it('refuses an address that other machines reach', async () => {
    const server = makeServer({ address: tcp('0.0.0.0:0') });
    expect(await server.start()).toEqual({
      kind: 'failed',
      message: 'admin 0.0.0.0:0: other machines reach this address; it must be allowed explicitly',
      isInUse: false,
    });
  });

  it('takes it when it is allowed', async () => {
    const { ask } = await started({ address: tcp('0.0.0.0:0'), allowRemote: true });
    expect((await ask('/healthz/live')).status).toBe(200);
  });

  it('says so when the port is in use', async () => {
    const { address } = await started();
    const second = makeServer({ address: tcp(address) });
    expect(await second.start()).toEqual({
      kind: 'failed',
      message: `admin ${address}: the port is in use by another program`,
      isInUse: true,
    });
  });

  it('a unix socket: for its owner only, taken away at the end', async () => {
    const path = join(temporaryFolder(), 'admin.sock');
    const { ask, server } = await started({ address: { kind: 'unix', path } });
    expect((await ask('/healthz/live', { headers: { host: 'anything' } })).status).toBe(200);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await server.stop();
    expect(existsSync(path)).toBe(false);
  });

  it('says what is wrong with the path of a unix socket', async () => {
    const path = join(temporaryFolder(), 'nowhere', 'admin.sock');
    const server = makeServer({ address: { kind: 'unix', path } });
    expect(await server.start()).toEqual({
      kind: 'failed',
      message: `admin unix:${path}: there is no such folder, or no permission to write to it`,
      isInUse: false,
    });
  });

  it('a unix socket in use is left alone', async () => {
    const path = join(temporaryFolder(), 'admin.sock');
    const { ask } = await started({ address: { kind: 'unix', path } });
    const second = makeServer({ address: { kind: 'unix', path } });
    expect((await second.start()).kind).toBe('failed');
    expect((await ask('/healthz/live')).status).toBe(200);
  });

  it('a file that is no socket is left alone', async () => {
    const path = join(temporaryFolder(), 'admin.sock');
    writeFileSync(path, 'mine');
    const server = makeServer({ address: { kind: 'unix', path } });
    expect((await server.start()).kind).toBe('failed');
    expect(existsSync(path)).toBe(true);
  });

  it('a stale socket is replaced', async () => {
    const path = join(temporaryFolder(), 'admin.sock');
    await leaveStaleSocket(path);
    const { ask } = await started({ address: { kind: 'unix', path } });
    expect((await ask('/healthz/live')).status).toBe(200);
  });
});

interface StartOptions {
  readonly address?: AdminAddress;
  readonly allowRemote?: boolean;
  readonly backend?: FakeBackend;
  readonly limits?: Limits;
}

function makeServer(options: StartOptions): AdminServer {
  return new AdminServer({
    address: options.address ?? tcp('127.0.0.1:0'),
    allowRemote: options.allowRemote ?? false,
    limits: options.limits ?? DEFAULT_LIMITS,
    backend: options.backend ?? fakeBackend(),
  });
}

async function started(options: StartOptions = {}) {
  const backend = options.backend ?? fakeBackend();
  const server = makeServer({ ...options, backend });
  const start = await server.start();
  if (start.kind === 'failed') throw new Error(start.message);
  cleanups.push(() => server.stop());
  const { address } = start;
  return {
    server,
    backend,
    address,
    ask: (path: string, ask?: Ask) => askOver(address, path, ask),
  };
}

function askOver(address: string, path: string, ask: Ask = {}): Promise<Reply> {
  const where = address.startsWith('unix:')
    ? { socketPath: address.slice('unix:'.length) }
    : { host: '127.0.0.1', port: Number(address.split(':').at(-1)) };
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { ...where, path, method: ask.method ?? 'GET', headers: ask.headers ?? {}, agent: false },
      async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        const body = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      },
    );
    request.on('error', reject);
    request.end(ask.body);
  });
}

function rawReply(address: string, bytes: string, options = { isKept: false }): Promise<string> {
  const { port } = portOf(address);
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(bytes);
    });
    socket.on('data', (chunk) => {
      text += chunk;
      if (!options.isKept) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

function tcp(text: string): AdminAddress {
  return { kind: 'tcp', address: portOf(text) };
}

function portOf(text: string) {
  const address = parseSocketAddress(text);
  if (address === null) throw new Error(`no address: ${text}`);
  return address;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-admin-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A socket file whose process died without taking it away. */
async function leaveStaleSocket(path: string): Promise<void> {
  const { execFileSync } = await import('node:child_process');
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  try {
    execFileSync(process.execPath, ['-e', script]);
  } catch {
    // It ends by a signal.
  }
  expect(existsSync(path)).toBe(true);
}
