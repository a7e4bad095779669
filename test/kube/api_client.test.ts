import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { KubeAccess } from '../../src/kube/access/access.ts';
import { credentialsOf } from '../../src/kube/access/credentials.ts';
import { FileText, fixedText } from '../../src/kube/access/reread_text.ts';
import { ApiClient } from '../../src/kube/api_client.ts';
import type { KubeReply } from '../../src/kube/client.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { FakeKubeApi, type FakeKubeApiOptions } from '../support/fake_kube_api.ts';
import { fastPlatform } from '../support/fast_platform.ts';
import { accessTo, PODS } from '../support/kube_rig.ts';
import { ManualPlatform } from '../support/manual_platform.ts';
import { settled } from '../support/settled.ts';
import { TestAuthority } from '../support/test_certificates.ts';
import { until } from '../support/until.ts';

const FOLDER = mkdtempSync(join(tmpdir(), 'kube-client-'));
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

interface Rig {
  readonly api: FakeKubeApi;
  readonly client: ApiClient;
  get(path?: string): Promise<KubeReply>;
}

interface RigOptions {
  readonly api?: FakeKubeApiOptions;
  readonly access?: (api: FakeKubeApi) => Partial<KubeAccess>;
  readonly limits?: Partial<Limits>;
  readonly platform?: Platform;
}

async function rigOf({ api: ofApi, access, limits, platform }: RigOptions = {}): Promise<Rig> {
  const api = await FakeKubeApi.start(ofApi);
  api.serve(PODS);
  const client = new ApiClient(accessTo(api.url, access?.(api)), {
    platform: platform ?? nodePlatform(),
    limits: { ...DEFAULT_LIMITS, ...limits },
    userAgent: 'sallyport/1 (test)',
  });
  closing.push(
    () => client.close(),
    () => api.close(),
  );
  return { api, client, get: (path = '/readyz') => client.request({ method: 'GET', path }) };
}

const NOBODY = { token: null, basic: null, certificate: null, plugin: null };

function messageOf(reply: KubeReply): string {
  return reply.kind === 'ok' ? 'ok' : reply.message;
}

describe('a request', () => {
  it('says who we are and whom we ask for', async () => {
    const { api, client } = await rigOf({
      access: () => ({
        credentials: credentialsOf({ ...NOBODY, token: fixedText('secret') }),
        impersonation: { 'impersonate-user': ['ann'], 'impersonate-group': ['a', 'b'] },
      }),
    });
    api.handler = () => ({ code: 201, object: { kind: 'Event' } });
    const reply = await client.request({
      method: 'PATCH',
      path: '/api/v1/events',
      query: new Map([['fieldManager', 'a b&c']]),
      body: { a: 1 },
      contentType: 'application/merge-patch+json',
    });
    expect(reply).toEqual({ kind: 'ok', status: 201, object: { kind: 'Event' } });
    const [request] = api.requests;
    expect(request?.query.get('fieldManager')).toBe('a b&c');
    expect(request?.body).toBe('{"a":1}');
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer secret',
      'user-agent': 'sallyport/1 (test)',
      'content-type': 'application/merge-patch+json',
      'impersonate-user': 'ann',
      'impersonate-group': 'a, b',
      accept: 'application/json',
    });
  });

  it('goes below the path of the server', async () => {
    const { api, get } = await rigOf({ access: ({ url }) => ({ server: `${url}/k8s/c-1` }) });
    api.handler = ({ path }) => ({ code: 200, object: path });
    expect(await get('/version')).toEqual({ kind: 'ok', status: 200, object: '/k8s/c-1/version' });
  });

  it('uses one connection after the other request', async () => {
    const { api, get } = await rigOf();
    for (let i = 0; i < 20; i++) expect(messageOf(await get())).toBe('ok');
    // The first one may not be free yet when the next one is asked for.
    expect(api.connectionCount).toBeLessThan(3);
  });

  it('that is refused says why and for how long', async () => {
    const { api, get } = await rigOf();
    api.fault(() => true, {
      kind: 'status',
      code: 429,
      reason: 'TooManyRequests',
      message: 'slower',
      retryAfterS: 7,
    });
    expect(await get()).toEqual({
      kind: 'refused',
      status: 429,
      reason: 'TooManyRequests',
      message: 'slower',
      retryAfterMs: 7000,
    });
    api.fault(() => true, { kind: 'text', code: 502, text: '<html>\nmore' });
    expect(await get()).toMatchObject({
      kind: 'refused',
      status: 502,
      reason: '',
      message: '<html>',
    });
  });

  it('that is answered with too much is given up', async () => {
    const { api, get } = await rigOf({ limits: { kubeObjectBytesMax: 100_000 } });
    api.handler = () => ({ code: 200, object: 'x'.repeat(200_000) });
    expect(messageOf(await get())).toContain('more bytes than kubeObjectBytesMax allows (100000)');
    api.handler = null;
    expect(messageOf(await get())).toBe('ok');
  });

  it.each([
    ['no head', { kind: 'hang' }],
    ['half a content', { kind: 'stall', afterBytes: 10 }],
  ] as const)('that gets %s ends in time', async (_, fault) => {
    const { api, get } = await rigOf({ limits: { kubeRequestTimeoutMs: 1000 } });
    api.fault(() => true, fault);
    expect(await get('/api/v1/pods')).toMatchObject({ kind: 'unreachable' });
    expect(messageOf(await get())).toBe('ok');
  });

  it('that is refused with half a Status ends in time, too', async () => {
    const { api, get } = await rigOf({ limits: { kubeRequestTimeoutMs: 1000 } });
    api.fault(() => true, { kind: 'stall', afterBytes: 5 });
    expect(await get('/nowhere')).toMatchObject({ kind: 'refused', status: 404 });
  });

  it('beside too many others fails at once, and not once they have ended', async () => {
    const { api, client, get } = await rigOf({ limits: { kubeConnectionCountMax: 32 } });
    const watches = Array.from({ length: 32 }, () =>
      client.stream({ method: 'GET', path: '/api/v1/pods', query: WATCH }),
    );
    const bodies = await Promise.all(watches);
    expect(api.watches).toHaveLength(32);
    const tooMany =
      'more is asked of the API server at once than kubeConnectionCountMax allows (32)';
    expect(messageOf(await get())).toBe(tooMany);
    expect(await client.stream({ method: 'GET', path: '/api/v1/pods' })).toMatchObject({
      message: tooMany,
    });
    const [first] = bodies;
    if (first?.kind === 'stream') first.body.destroy();
    await settled();
    expect(messageOf(await get())).toBe('ok');
  });

  it('to nobody is told with the address', async () => {
    const { api, client, get } = await rigOf();
    await api.close();
    const { host } = new URL(client.server);
    expect(messageOf(await get())).toBe(
      `the API server at http://${host} cannot be reached: connection refused (${host})`,
    );
  });

  it('of a client that is closed is not sent', async () => {
    const { api, client, get } = await rigOf();
    await client.close();
    expect(messageOf(await get())).toContain('the client is closed');
    expect(api.requests).toEqual([]);
  });

  it('is given up by whoever asked', async () => {
    const { api, client } = await rigOf();
    api.hang();
    const abort = new AbortController();
    const reply = client.request({ method: 'GET', path: '/version', signal: abort.signal });
    await until(() => api.requests.length === 1);
    abort.abort();
    expect(messageOf(await reply)).toContain('the request was given up');
  });
});

describe('a token that is refused', () => {
  it('is read again, once', async () => {
    const path = join(FOLDER, 'token');
    writeFileSync(path, 'old');
    const { clock } = new ManualPlatform();
    const { api, get } = await rigOf({
      api: { tokens: new Set(['old']) },
      access: () => ({
        credentials: credentialsOf({ ...NOBODY, token: new FileText(path, clock) }),
      }),
    });
    expect(messageOf(await get())).toBe('ok');
    writeFileSync(path, 'new');
    expect(messageOf(await get())).toBe('ok');
    api.tokens = new Set(['new']);
    expect(messageOf(await get())).toBe('ok');
    api.requests.length = 0;
    api.tokens = new Set(['other']);
    expect(await get()).toMatchObject({ kind: 'refused', status: 401, reason: 'Unauthorized' });
    expect(api.requests).toHaveLength(2);
  });

  it('and is none of a field is not sent, and not shown', async () => {
    const { api, get } = await rigOf({
      access: () => ({ credentials: credentialsOf({ ...NOBODY, token: fixedText('sec\nret') }) }),
    });
    const message = messageOf(await get());
    expect(message).toContain('cannot be reached');
    expect(message).not.toContain('ret');
    expect(api.requests).toEqual([]);
  });

  it('and is a fixed one is not tried again', async () => {
    const { api, get } = await rigOf({
      api: { tokens: new Set() },
      access: () => ({ credentials: credentialsOf({ ...NOBODY, token: fixedText('t') }) }),
    });
    expect(await get()).toMatchObject({ kind: 'refused', status: 401 });
    expect(api.requests).toHaveLength(1);
  });
});

describe('a server that hangs', () => {
  it('is given up with all connections, and asked anew', async () => {
    const platform = fastPlatform(100);
    const { api, client, get } = await rigOf({ platform });
    const stream = await client.stream({ method: 'GET', path: '/api/v1/pods', query: WATCH });
    if (stream.kind !== 'stream') throw new Error(stream.message);
    const startMs = platform.clock.nowMs();
    api.hang();
    await expect(drained(stream.body)).rejects.toThrow('it does not answer');
    const tookMs = platform.clock.nowMs() - startMs;
    expect(tookMs).toBeGreaterThan(59_000);
    await until(() => api.connectionCount === 0);
    api.resume();
    expect(messageOf(await get())).toBe('ok');
  });

  it('is not one that is silent because nothing happens', async () => {
    const platform = fastPlatform(100);
    const { api, client } = await rigOf({ platform });
    const stream = await client.stream({ method: 'GET', path: '/api/v1/pods', query: WATCH });
    const startMs = platform.clock.nowMs();
    await until(() => platform.clock.nowMs() - startMs > 200_000);
    expect(api.watches).toHaveLength(1);
    expect(api.requests.filter(({ path }) => path === '/readyz').length).toBeGreaterThan(2);
    if (stream.kind === 'stream') stream.body.destroy();
    await until(() => api.watches.length === 0);
    // Nobody waits for anything: nobody asks.
    await settled();
    const { length } = api.requests;
    const laterMs = platform.clock.nowMs();
    await until(() => platform.clock.nowMs() - laterMs > 100_000);
    expect(api.requests).toHaveLength(length);
  });
});

const WATCH = new Map([
  ['watch', 'true'],
  ['resourceVersion', '100'],
]);

async function drained(body: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of body);
}

describe('TLS', () => {
  const one = new TestAuthority('one');
  const other = new TestAuthority('other');
  const ofServer = one.issue('server', ['IP:127.0.0.1']);
  const trustIn = (
    pem: string | null,
    more: Partial<KubeAccess['trust']> = {},
  ): Partial<KubeAccess> => ({
    trust: {
      isVerified: true,
      serverName: null,
      authorities: pem === null ? null : fixedText(pem),
      ...more,
    },
  });

  it.each<[string, Partial<KubeAccess>, string]>([
    ['its authority', trustIn(one.cert), 'ok'],
    ['two of them', trustIn(other.cert + one.cert), 'ok'],
    ['another one', trustIn(other.cert), 'unable to verify the first certificate'],
    ['those that everybody knows', trustIn(null), 'unable to verify the first certificate'],
    ['anybody', trustIn(null, { isVerified: false }), 'ok'],
    [
      'its authority, by another name',
      trustIn(one.cert, { serverName: 'api.example' }),
      'does not match',
    ],
    [
      'a text that is none',
      trustIn('nonsense'),
      'a test: certificate-authority: it has no certificate in PEM',
    ],
  ])('trusts %s', async (_, access, expected) => {
    const { get } = await rigOf({ api: { tls: ofServer }, access: () => access });
    expect(messageOf(await get())).toContain(expected);
  });

  it('asks for the name that is given', async () => {
    const named = one.issue('server', ['DNS:api.example']);
    const { get } = await rigOf({
      api: { tls: named },
      access: () => trustIn(one.cert, { serverName: 'api.example' }),
    });
    expect(messageOf(await get())).toBe('ok');
  });

  it('takes another authority once the file has it', async () => {
    const path = join(FOLDER, 'ca.crt');
    writeFileSync(path, other.cert);
    const authorities = new FileText(path, new ManualPlatform().clock);
    const { get } = await rigOf({
      api: { tls: ofServer },
      access: () => ({ trust: { isVerified: true, serverName: null, authorities } }),
    });
    expect(messageOf(await get())).toContain('unable to verify');
    writeFileSync(path, one.cert);
    expect(messageOf(await get())).toBe('ok');
  });

  it('shows a certificate of ours, and the next one once the files have it', async () => {
    const platform = new ManualPlatform();
    const certificate = join(FOLDER, 'me.crt');
    const key = join(FOLDER, 'me.key');
    const write = ({ cert, key: text }: { cert: string; key: string }): void => {
      writeFileSync(certificate, cert);
      writeFileSync(key, text);
    };
    write(one.issue('first'));
    const { api, get } = await rigOf({
      api: { tls: { ...ofServer, ca: one.cert, requestCert: true, rejectUnauthorized: true } },
      access: () => ({
        ...trustIn(one.cert),
        credentials: credentialsOf({
          ...NOBODY,
          certificate: {
            certificate: new FileText(certificate, platform.clock),
            key: new FileText(key, platform.clock),
          },
        }),
      }),
    });
    const names: unknown[] = [];
    api.server.on('request', ({ socket }) => {
      names.push((socket as TLSSocket).getPeerCertificate().subject.CN);
    });
    expect(messageOf(await get())).toBe('ok');
    const second = one.issue('second');
    // The files change one after the other.
    writeFileSync(certificate, second.cert);
    platform.advance(61_000);
    expect(messageOf(await get())).toBe('ok');
    write(second);
    platform.advance(61_000);
    expect(messageOf(await get())).toBe('ok');
    expect(names).toEqual(['first', 'first', 'second']);
  });

  describe('through a proxy', () => {
    it.each([
      ['http', 'http://', null],
      ['http with a password', 'http://joe:se%20cret@', 'joe:se cret'],
      ['https', 'https://', null],
    ])('of %s reaches the server', async (_, start, password) => {
      const asked: unknown[] = [];
      const proxy = start.startsWith('https')
        ? createTlsServer(one.issue('proxy', ['IP:127.0.0.1']))
        : createServer();
      proxy.on('connect', ({ url, headers }, socket: Socket) => {
        asked.push([url, headers['proxy-authorization'] ?? null]);
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        joined(socket, Number(url?.split(':')[1]));
      });
      const port = await portOf(proxy);
      const { api, get } = await rigOf({
        api: { tls: ofServer },
        access: () => ({
          ...trustIn(one.cert),
          proxy: new URL(`${start}127.0.0.1:${port}`),
        }),
      });
      expect(messageOf(await get())).toBe('ok');
      const field = password === null ? null : `Basic ${Buffer.from(password).toString('base64')}`;
      expect(asked).toEqual([[`127.0.0.1:${api.port}`, field]]);
    });

    it('of SOCKS 5 reaches the server', async () => {
      let asked = '';
      const proxy = createTcpServer((socket) => {
        socket.once('data', () => {
          socket.write(Buffer.from([5, 0]));
          socket.once('data', (request: Buffer) => {
            asked = request.toString('hex');
            socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
            joined(socket, request.readUInt16BE(request.length - 2));
          });
        });
      });
      const port = await portOf(proxy);
      const { get } = await rigOf({
        api: { tls: one.issue('server', ['DNS:api.example']) },
        access: () => ({
          ...trustIn(one.cert, { serverName: 'api.example' }),
          proxy: new URL(`socks5://127.0.0.1:${port}`),
        }),
      });
      expect(messageOf(await get())).toBe('ok');
      expect(asked).toMatch(/^050100/);
    });

    it('that refuses is told', async () => {
      const proxy = createServer();
      proxy.on('connect', (_, socket: Socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'));
      const port = await portOf(proxy);
      const { get } = await rigOf({
        api: { tls: ofServer },
        access: () => ({
          ...trustIn(one.cert),
          proxy: new URL(`http://127.0.0.1:${port}`),
        }),
      });
      expect(messageOf(await get())).toContain('Proxy response (403)');
    });
  });
});

/** It listens from now on. */
async function portOf(server: ReturnType<typeof createTcpServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => {
    server.close();
  });
  return (server.address() as { port: number }).port;
}

function joined(socket: Socket, port: number): void {
  const upstream = connect(port, '127.0.0.1');
  socket.pipe(upstream).pipe(socket);
  socket.on('error', () => upstream.destroy());
  upstream.on('error', () => socket.destroy());
  socket.on('close', () => upstream.destroy());
}
