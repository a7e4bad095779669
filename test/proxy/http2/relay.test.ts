/** HTTP/2 through the data plane, with node:http2 on both sides. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { constants } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Http2Client, Http2Origin, type StreamHandler } from '../../support/http2_peers.ts';
import {
  allowHttp,
  closeRigs,
  cnp,
  type Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import { settled } from '../../support/settled.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  closeRigs();
});

interface Setup {
  readonly rig: Rig;
  readonly origin: Http2Origin;
  readonly client: Http2Client;
}

async function setUp(
  options: RigOptions & { handler?: StreamHandler; settings?: object } = {},
): Promise<Setup> {
  const { handler, settings } = options;
  const origin = await Http2Origin.start({
    ...(handler === undefined ? {} : { handler }),
    ...(settings === undefined ? {} : { settings }),
  });
  const rig = await startRig({
    policy: allowHttp('GET /a.*', 'POST /a.*', 'HEAD /a.*'),
    ...options,
    upstreamPort: origin.port,
  });
  const client = new Http2Client(rig.port);
  cleanups.push(
    () => client.close(),
    () => origin.stop(),
  );
  return { rig, origin, client };
}

describe('every stream is judged', () => {
  it('allowed requests reach the origin as they are, denied ones leave no trace', async () => {
    const { rig, origin, client } = await setUp();
    const allowed = await client.ask({ ':path': '/a?x=1', 'x-own': 'yes' });
    expect(allowed).toMatchObject({ status: 200, text: 'GET /a?x=1 0' });
    const denied = await client.ask({ ':path': '/b' });
    expect(denied).toMatchObject({ status: 403, text: 'Access denied\r\n', resetCode: 0 });
    const after = await client.ask({ ':path': '/a/2' });
    expect(after.status).toBe(200);
    expect(origin.seen.map(({ headers }) => headers[':path'])).toEqual(['/a?x=1', '/a/2']);
    expect(origin.seen[0]?.headers['x-own']).toBe('yes');
    const records = await rig.recorder.untilRecords(3);
    expect(records.map(({ verdict, status }) => [verdict, status])).toEqual([
      ['forwarded', 200],
      ['denied', 403],
      ['forwarded', 200],
    ]);
  });

  it('a denied request with content is answered, and the connection goes on', async () => {
    const { origin, client } = await setUp();
    const denied = await client.ask({ ':path': '/b', ':method': 'POST' }, Buffer.alloc(500_000));
    expect(denied.status).toBe(403);
    expect((await client.ask({ ':path': '/a' })).status).toBe(200);
    expect(origin.seen).toHaveLength(1);
  });

  it('HEAD has no content, allowed or denied', async () => {
    const { client } = await setUp();
    expect(await client.ask({ ':path': '/a', ':method': 'HEAD' })).toMatchObject({
      status: 200,
      byteLength: 0,
    });
    expect(await client.ask({ ':path': '/b', ':method': 'HEAD' })).toMatchObject({
      status: 403,
      byteLength: 0,
    });
  });

  it('the path that is judged is the path that is sent', async () => {
    const { origin, client } = await setUp();
    expect((await client.ask({ ':path': '/b/../a//x' })).status).toBe(200);
    expect((await client.ask({ ':path': '/a/../b' })).status).toBe(403);
    const redirected = await client.ask({ ':path': '/a%2Fb' });
    expect(redirected).toMatchObject({ status: 307 });
    expect(redirected.headers['location']).toBe('/a/b');
    expect(origin.seen.map(({ headers }) => headers[':path'])).toEqual(['/a/x']);
  });

  it('gRPC is told in its own way', async () => {
    const { rig, client } = await setUp();
    const grpc = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
    const denied = await client.ask({ ...grpc, ':path': '/svc.S/M' }, Buffer.alloc(5));
    expect(denied).toMatchObject({ status: 200, byteLength: 0 });
    expect(denied.headers).toMatchObject({
      'grpc-status': '7',
      'grpc-message': 'Access denied%0D%0A',
    });
    const redirected = await client.ask({ ...grpc, ':path': '/a%2fb' }, Buffer.alloc(5));
    expect(redirected.headers['grpc-status']).toBe('13');
    const records = await rig.recorder.untilRecords(2);
    expect(records.map(({ grpcStatus }) => grpcStatus)).toEqual([7, 13]);
  });

  it('header actions change what the origin sees', async () => {
    const policy = cnp(
      ', rules: { http: [{ headerMatches: [{ name: x-tenant, value: a, mismatch: REPLACE }, { name: x-drop, value: b, mismatch: DELETE }] }] }',
    );
    const { origin, client } = await setUp({ policy });
    await client.ask({ ':path': '/', 'x-tenant': 'evil', 'x-drop': 'c' });
    expect(origin.seen[0]?.headers).toMatchObject({ 'x-tenant': 'a' });
    expect(origin.seen[0]?.headers['x-drop']).toBeUndefined();
  });

  it('the next stream meets a new policy; without L3/L4 the connection ends', async () => {
    const { rig, client } = await setUp();
    expect((await client.ask({ ':path': '/a' })).status).toBe(200);
    rig.update(allowHttp('GET /b'));
    expect((await client.ask({ ':path': '/a' })).status).toBe(403);
    expect((await client.ask({ ':path': '/b' })).status).toBe(200);
    rig.update(cnp('', { from: 'fromEndpoints: [{ matchLabels: { app: other } }]' }));
    expect(await rig.recorder.untilClosed(1)).toEqual(['policy-changed']);
  });
});

describe('content', () => {
  it('of many megabytes passes both ways at once', async () => {
    const size = 4_000_000;
    const handler: StreamHandler = (stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    };
    const { client } = await setUp({ handler });
    const answers = await Promise.all(
      [1, 2, 3].map((n) =>
        client.ask({ ':path': `/a${n}`, ':method': 'POST' }, Buffer.alloc(size, n)),
      ),
    );
    expect(answers.map(({ status, byteLength }) => [status, byteLength])).toEqual(
      Array(3).fill([200, size]),
    );
  });

  it('has its trailers', async () => {
    const handler: StreamHandler = (stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }));
      stream.end('body');
    };
    const { client } = await setUp({ handler });
    expect(await client.ask({ ':path': '/a' })).toMatchObject({
      text: 'body',
      trailers: { 'x-sum': '42' },
    });
  });
});

describe('the limits of the upstream', () => {
  it.each([1, 7])(
    '%d streams at once: the others wait in order, none is lost',
    async (maxConcurrentStreams) => {
      let open = 0;
      let most = 0;
      const handler: StreamHandler = (stream, headers) => {
        most = Math.max(most, ++open);
        setImmediate(() => {
          open--;
          stream.respond({ ':status': 200 });
          stream.end(String(headers[':path']));
        });
      };
      const { client } = await setUp({ handler, settings: { maxConcurrentStreams } });
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, i) => client.ask({ ':path': `/a${i}` })),
      );
      expect(answers.map(({ text }) => text)).toEqual(
        Array.from({ length: 60 }, (_, i) => `/a${i}`),
      );
      expect(most).toBeLessThanOrEqual(maxConcurrentStreams);
    },
  );

  it('after a GOAWAY new streams go to a fresh connection', async () => {
    const { origin, client } = await setUp();
    await client.ask({ ':path': '/a1' });
    origin.sessions[0]?.goaway();
    // What is asked before the GOAWAY is there would be refused, for the client to ask again.
    await settled();
    for (let i = 0; i < 5; i++) expect((await client.ask({ ':path': `/a2${i}` })).status).toBe(200);
  });

  it('a lost upstream gives each stream a clear end, and later ones a fresh connection', async () => {
    let isFirst = true;
    const handler: StreamHandler = (stream, headers) => {
      if (isFirst && headers[':path'] === '/a/lost') {
        isFirst = false;
        stream.session?.destroy();
        return;
      }
      stream.respond({ ':status': 200 });
      stream.end('ok');
    };
    const { rig, client } = await setUp({ handler });
    expect((await client.ask({ ':path': '/a/lost' })).status).toBe(503);
    expect((await client.ask({ ':path': '/a/again' })).status).toBe(200);
    expect((await rig.recorder.untilRecords(2)).map(({ verdict }) => verdict)).toEqual([
      'error',
      'forwarded',
    ]);
  });

  it('a lost upstream in the middle of a response resets the stream', async () => {
    const handler: StreamHandler = (stream) => {
      stream.respond({ ':status': 200 });
      stream.write('half');
      setImmediate(() => stream.session?.destroy());
    };
    const { client } = await setUp({ handler });
    const answer = await client.ask({ ':path': '/a' });
    expect(answer).toMatchObject({ status: 200, resetCode: constants.NGHTTP2_INTERNAL_ERROR });
  });

  it('resets pass in both directions', async () => {
    const codes: number[] = [];
    const handler: StreamHandler = (stream, headers) => {
      if (headers[':path'] === '/a/refused') stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else stream.on('close', () => codes.push(stream.rstCode ?? 0));
    };
    const { client } = await setUp({ handler });
    expect(await client.ask({ ':path': '/a/refused' })).toMatchObject({
      status: 0,
      resetCode: constants.NGHTTP2_REFUSED_STREAM,
    });
    const stream = client.session.request({ ':path': '/a/cancelled' });
    stream.on('error', () => {});
    await settled();
    stream.close(constants.NGHTTP2_CANCEL);
    await once(stream, 'close');
    await expect.poll(() => codes).toEqual([constants.NGHTTP2_CANCEL]);
  });
});

describe('an upstream that cannot be used', () => {
  it('that refuses: 503', async () => {
    const probe = createTcpServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const rig = await startRig({ policy: allowHttp('*'), upstreamPort: port });
    const client = new Http2Client(rig.port);
    cleanups.push(() => client.close());
    expect((await client.ask({ ':path': '/' })).status).toBe(503);
    const grpc = { ':method': 'POST', 'content-type': 'application/grpc', ':path': '/s/m' };
    expect((await client.ask(grpc, Buffer.alloc(5))).headers['grpc-status']).toBe('14');
  });

  it('that speaks HTTP/1.1 only: 502', async () => {
    const server = createServer((_, reply) => reply.end('no')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const rig = await startRig({ policy: allowHttp('*'), upstreamPort: port });
    const client = new Http2Client(rig.port);
    cleanups.push(
      () => client.close(),
      () => server.close(),
    );
    expect((await client.ask({ ':path': '/' })).status).toBe(502);
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({ verdict: 'error', fault: 'upstream-http2-error' });
  });
});

describe('the end', () => {
  it('a drain lets what is open finish and takes nothing new', async () => {
    let finish: (() => void) | null = null;
    const handler: StreamHandler = (stream) => {
      finish = () => {
        stream.respond({ ':status': 200 });
        stream.end('late');
      };
    };
    const { rig, client } = await setUp({ handler });
    const asked = client.ask({ ':path': '/a' });
    await expect.poll(() => finish).not.toBeNull();
    const drained = rig.plane.drain();
    await once(client.session, 'goaway');
    (finish as unknown as () => void)();
    expect(await asked).toMatchObject({ status: 200, text: 'late' });
    await drained;
    expect(rig.plane.connectionCount).toBe(0);
  });

  it('in dry-run denied streams pass and are recorded as what they are', async () => {
    const { rig, client } = await setUp({ behaviour: { isDryRun: true } });
    expect((await client.ask({ ':path': '/b' })).status).toBe(200);
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({
      verdict: 'forwarded',
      isDryRun: true,
      decision: { verdict: 'deny' },
    });
  });

  it('one record for each stream, whatever becomes of it', async () => {
    const { rig, client } = await setUp();
    const paths = Array.from({ length: 200 }, (_, i) => (i % 3 === 0 ? '/b' : `/a${i}`));
    await Promise.all(paths.map((path) => client.ask({ ':path': path })));
    const records = await rig.recorder.untilRecords(200);
    expect(records).toHaveLength(200);
    expect(records.filter(({ verdict }) => verdict === 'denied')).toHaveLength(
      paths.filter((path) => path === '/b').length,
    );
  });

  it('a stream on which nothing moves is ended', async () => {
    const { rig, client } = await setUp({
      handler: () => {},
      limits: { streamIdleTimeoutMs: 1000 },
    });
    const asked = client.ask({ ':path': '/a' });
    await expect.poll(() => rig.recorder.connects).toEqual(['connected']);
    await settled();
    rig.time.advance(1500);
    expect((await asked).status).toBe(504);
  });
});
