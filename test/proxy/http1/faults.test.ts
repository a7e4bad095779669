/** What goes wrong at either side: who is told what, what closes, and that it is recorded once. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Limits } from '../../../src/model/limits.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import { answerHeads, OK, type OriginConnection } from '../../support/raw_origin.ts';
import { stalledAt } from '../../support/stalled_at.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const POST = 'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n';
const OPEN_POST = 'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc';

describe('a malformed request', () => {
  const cases: readonly [about: string, request: string, status: number][] = [
    ['bare LF', 'GET /a HTTP/1.1\nhost: x\n\n', 400],
    ['no host', 'GET /a HTTP/1.1\r\n\r\n', 400],
    ['two hosts', 'GET /a HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n', 400],
    [
      'CL and TE',
      'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'TE of two codings',
      'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n',
      501,
    ],
    ['a blank before the colon', 'GET /a HTTP/1.1\r\nhost : x\r\n\r\n', 400],
    ['a folded line', 'GET /a HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n', 400],
    ['too large a head', `GET /a HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`, 431],
    ['too long a target', `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 414],
    ['bytes that are no HTTP', '\x80\x81\x82\r\n\r\n', 400],
  ];

  it.each(cases)(
    '%s: an error and a close, and the origin sees nothing',
    async (_, request, status) => {
      const rig = await startRig();
      const { text, how } = await rig.exchange(request);
      expect(text).toMatch(
        new RegExp(`^HTTP/1\\.1 ${status} .*\\r\\nconnection: close\\r\\n`, 's'),
      );
      expect(how).toBe('fin');
      expect(rig.origin.connections).toHaveLength(0);
      expect(rig.recorder.records).toHaveLength(1);
      expect(rig.recorder.records[0]).toMatchObject({
        verdict: 'error',
        status,
        responseSource: 'local',
      });
    },
  );

  it.each(cases)(
    '%s: after a good request the good one alone is seen',
    async (_, request, status) => {
      const rig = await startRig({ script: answerHeads });
      const { text } = await rig.exchange(GET + request);
      expect(text.startsWith(OK)).toBe(true);
      expect(text.slice(OK.length)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(rig.origin.received).toBe(GET);
      expect(rig.recorder.records).toHaveLength(2);
    },
  );

  it.each(['3\nabc', 'x\r\nabc', '3\r\nabcX', '-1\r\n', '3 \r\nabc'])(
    'content that breaks the chunked grammar (%j): 400, and the origin’s connection is reset',
    async (chunk) => {
      const rig = await startRig();
      const client = await rig.client();
      client.send('POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
      const origin = await rig.origin.connection();
      await origin.until('\r\n\r\n');
      client.send(chunk);
      expect((await client.over()).text).toMatch(/^HTTP\/1\.1 400 /);
      expect(await origin.over()).toBe('reset');
      expect(rig.recorder.summaries).toEqual(['error malformed-chunk 400 /a']);
    },
  );

  it('content that breaks it after the response has begun: a reset, no second response', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send('POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab');
    await client.until('ab');
    client.send('x\r\n');
    const { text, how } = await client.over();
    expect(how).toBe('reset');
    expect(text).not.toContain('400');
    expect(rig.recorder.summaries).toEqual(['error malformed-chunk 200 /a']);
  });
});

describe('a malformed response', () => {
  it.each([
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['too large a head', `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`],
    [
      'an upgrade that nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    ],
    ['too many 1xx', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(20)],
  ])('%s: 502 and both sides are closed', async (_, response) => {
    const rig = await startRig({ limits: { informationalResponseCountMax: 16 } });
    const client = await rig.client();
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(response);
    const { text, how } = await client.over();
    expect(text).toMatch(/(^|\r\n)HTTP\/1\.1 502 .*connection: close\r\n/s);
    expect(how).toBe('fin');
    expect(await origin.over()).toBe('reset');
    expect(rig.recorder.records).toHaveLength(1);
    expect(rig.recorder.records[0]).toMatchObject({ verdict: 'error', status: 502 });
  });

  it('in its content: cut by a reset', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n');
    await client.until('abc');
    origin.send('zzz\r\n');
    expect((await client.over()).how).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['error malformed-response 200 /a']);
  });

  it('bytes after a response are never the response to a later request', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET + GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(`${OK}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong`);
    const { text } = await client.over();
    expect(text).toBe(OK);
    expect(await origin.over()).not.toBe('');
    expect(rig.origin.received).toBe(GET);
  });

  it.each([
    ['a FIN', (origin: OriginConnection) => origin.end()],
    ['a reset', (origin: OriginConnection) => origin.reset()],
  ])(
    'cut in its content by %s: the client gets a reset, never a short response that looks whole',
    async (_, cut) => {
      for (const head of ['content-length: 10', 'transfer-encoding: chunked']) {
        const rig = await startRig();
        const client = await rig.client();
        client.send(GET);
        const origin = await rig.origin.connection();
        await origin.until('\r\n\r\n');
        origin.send(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n3\r\nabc\r\n`);
        await client.until('abc');
        cut(origin);
        expect((await client.over()).how).toBe('reset');
        expect(rig.recorder.summaries).toEqual(['error upstream-truncated 200 /a']);
      }
    },
  );

  it('ended by a reset in place of a FIN: cut too', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send('HTTP/1.1 200 OK\r\n\r\nabc');
    await client.until('abc');
    origin.reset();
    expect((await client.over()).how).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['error upstream-truncated 200 /a']);
  });
});

describe('an upstream that is not there', () => {
  it('refused: 503', async () => {
    const rig = await startRig({ upstreamPort: 1 });
    const { text, how } = await rig.exchange(GET);
    expect(text).toMatch(/^HTTP\/1\.1 503 .*connection: close\r\n/s);
    expect(how).toBe('fin');
    expect(rig.recorder.summaries).toEqual(['error connect-failed 503 /a']);
    expect(rig.recorder.connects).toEqual(['failed']);
  });

  it.each([
    ['a FIN', (origin: OriginConnection) => origin.end(), 'upstream-closed'],
    ['a reset', (origin: OriginConnection) => origin.reset(), 'upstream-reset'],
    ['half a head', (origin: OriginConnection) => origin.end('HTTP/1.1 200 O'), 'upstream-closed'],
  ])(
    '%s before a response: 503, and no second try on a first connection',
    async (_, act, fault) => {
      const rig = await startRig();
      const client = await rig.client();
      client.send(GET);
      const origin = await rig.origin.connection();
      await origin.until('\r\n\r\n');
      act(origin);
      expect((await client.over()).text).toMatch(/^HTTP\/1\.1 503 /);
      expect(rig.recorder.summaries).toEqual([`error ${fault} 503 /a`]);
      expect(rig.origin.connections).toHaveLength(1);
    },
  );

  it.each([
    ['a FIN', (origin: OriginConnection) => origin.end()],
    ['a reset', (origin: OriginConnection) => origin.reset()],
  ])('%s while idle: the client’s connection is closed', async (_, act) => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(OK);
    await client.until('ok');
    act(origin);
    expect(await client.over()).toEqual({ text: OK, how: 'fin' });
    expect(rig.recorder.closed).toEqual(['upstream-closed']);
    expect(rig.recorder.records).toHaveLength(1);
  });

  it('gone while the next head is half here: that request is served by another connection', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(OK);
    await client.until('ok');
    client.send(POST.slice(0, 20));
    await settled(rig);
    origin.end();
    await settled(rig);
    client.send(POST.slice(20));
    const next = await rig.origin.connection(1);
    await next.until('POST /a');
    next.send(OK);
    await client.until('ok', 2);
    expect(next.received).toBe(POST);
    expect(rig.recorder.retriedCount).toBe(0);
  });
});

/** Bytes that were sent before have been seen by the plane: a round trip on another connection. */
async function settled(rig: Rig): Promise<void> {
  const probe = await rig.client();
  probe.send('GET / HTTP/1.0\r\n\r\n');
  await probe.over();
  rig.recorder.records.pop();
}

describe('the one retry', () => {
  /** A connection on which one request was answered, and the next one is at the origin. */
  async function reused(
    next: string,
    policy?: string,
  ): Promise<{ rig: Rig; client: RawClient; origin: OriginConnection }> {
    const rig = await startRig(policy === undefined ? {} : { policy });
    const client = await rig.client();
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(OK);
    await client.until('ok');
    client.send(next);
    await origin.untilBytes(GET.length + next.length);
    return { rig, client, origin };
  }

  const ends = [
    ['FIN', (origin: OriginConnection) => origin.end()],
    ['reset', (origin: OriginConnection) => origin.reset()],
  ] as const;

  it.each(ends)(
    'after a %s without a byte: an idempotent request is sent once more',
    async (_, end) => {
      const { rig, client, origin } = await reused('PUT /b HTTP/1.1\r\nhost: x\r\n\r\n');
      end(origin);
      const second = await rig.origin.connection(1);
      await second.until('PUT /b');
      second.send(OK);
      await client.until('ok', 2);
      expect(second.received).toBe('PUT /b HTTP/1.1\r\nhost: x\r\n\r\n');
      expect(rig.recorder.retriedCount).toBe(1);
      expect(rig.recorder.records).toHaveLength(2);
    },
  );

  it('is the only one', async () => {
    const { rig, client, origin } = await reused(GET);
    origin.end();
    const second = await rig.origin.connection(1);
    await second.until('GET');
    second.end();
    expect((await client.over()).text).toMatch(/HTTP\/1\.1 503 /);
    expect(rig.origin.connections).toHaveLength(2);
    expect(rig.recorder.retriedCount).toBe(1);
    expect(rig.recorder.summaries).toEqual([
      'forwarded allowed 200 /a',
      'error upstream-closed 503 /a',
    ]);
  });

  it.each([
    ['POST', POST, ''],
    ['PATCH', 'PATCH /a HTTP/1.1\r\nhost: x\r\n\r\n', ''],
    ['PUT with content', 'PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx', ''],
    [
      'an upgrade',
      'GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      '',
    ],
    ['half a response', GET, 'HTTP/1.1 2'],
    ['one byte', GET, 'H'],
    ['a 1xx', GET, 'HTTP/1.1 102 Processing\r\n\r\n'],
  ])('is not for %s', async (_, request, answer) => {
    const { rig, client, origin } = await reused(request);
    if (answer !== '') origin.send(answer);
    if (answer.endsWith('\n')) await client.until('102');
    else await settled(rig);
    origin.end();
    expect((await client.over()).text).toMatch(/HTTP\/1\.1 503 /);
    expect(rig.origin.connections).toHaveLength(1);
    expect(rig.recorder.retriedCount).toBe(0);
    expect(rig.recorder.records).toHaveLength(2);
  });

  it('is judged by the policy of its moment', async () => {
    const { rig, client, origin } = await reused(GET, allowHttp('GET /a'));
    rig.update(allowHttp('GET /z'));
    origin.end();
    await client.until('Access denied\r\n');
    expect(rig.origin.connections).toHaveLength(1);
    expect(rig.recorder.summaries.at(-1)).toBe('denied no-http-rule-matched 403 /a');
  });
});

describe('a client that leaves', () => {
  it.each([
    [
      'by a reset in its request',
      OPEN_POST,
      (client: RawClient) => client.reset(),
      /^error downstream-(closed|reset) 0 \/a$/,
    ],
    [
      'by a FIN in its request',
      OPEN_POST,
      (client: RawClient) => client.end(),
      /^error downstream-closed 0 \/a$/,
    ],
    [
      'by a reset before the response',
      GET,
      (client: RawClient) => client.reset(),
      /^error downstream-(closed|reset) 0 \/a$/,
    ],
  ])('%s: the upstream connection is reset', async (_, request, leave, summary) => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(request);
    const origin = await rig.origin.connection();
    await origin.untilBytes(request.length);
    leave(client);
    expect(await origin.over()).toBe('reset');
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.summaries).toEqual([expect.stringMatching(summary)]);
  });

  it('in a head: recorded, and nobody is told', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send('GET /a HT');
    client.end();
    expect((await client.over()).text).toBe('');
    expect(rig.recorder.summaries).toEqual(['error downstream-closed 0 -']);
    expect(rig.origin.connections).toHaveLength(0);
  });

  it('between requests: nothing to record', async () => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    client.end();
    expect((await client.over()).how).toBe('fin');
    expect(await rig.origin.connections[0]?.over()).toBe('fin');
    expect(rig.recorder.records).toHaveLength(1);
  });

  it('half, with its request complete: the response still comes', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET);
    client.end();
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate');
    expect(await client.over()).toMatchObject({ text: expect.stringMatching(/late$/), how: 'fin' });
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
  });
});

describe('time-outs', () => {
  const limits: Partial<Limits> = {
    headTimeoutMs: 1000,
    bodyTimeoutMs: 2000,
    idleTimeoutMs: 9000,
    streamIdleTimeoutMs: 5000,
    requestTimeoutMs: 7000,
    detectTimeoutMs: 3000,
  };
  interface Case {
    readonly about: string;
    readonly sent: string;
    readonly answered?: string;
    readonly waitMs: number;
    readonly text: RegExp;
    readonly summary: string | null;
    readonly limits?: Partial<Limits>;
  }
  const cases: readonly Case[] = [
    {
      about: 'a head',
      sent: 'GET /a HTTP/1.1\r\n',
      waitMs: 1000,
      text: /^HTTP\/1\.1 408 /,
      summary: 'error head-timeout 408 -',
    },
    {
      about: 'content',
      sent: OPEN_POST,
      waitMs: 2000,
      text: /^HTTP\/1\.1 408 /,
      summary: 'error body-timeout 408 /a',
    },
    {
      about: 'a stream on which nothing moves',
      sent: GET,
      waitMs: 5000,
      text: /^HTTP\/1\.1 504 /,
      summary: 'error stream-idle-timeout 504 /a',
    },
    {
      about: 'a request',
      sent: GET,
      waitMs: 7000,
      limits: { streamIdleTimeoutMs: 0 },
      text: /^HTTP\/1\.1 504 /,
      summary: 'error request-timeout 504 /a',
    },
    {
      about: 'a response that stops',
      sent: GET,
      answered: 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc',
      waitMs: 5000,
      text: /abc$/,
      summary: 'error stream-idle-timeout 200 /a',
    },
    {
      about: 'an idle connection',
      sent: GET,
      answered: OK,
      waitMs: 9000,
      text: /ok$/,
      summary: null,
    },
  ];

  it.each(cases)(
    '$about: not before its time, and then once',
    async ({ sent, answered, waitMs, text, summary, ...options }) => {
      const rig = await startRig({ limits: { ...limits, ...options.limits } });
      const client = await rig.client();
      client.send(sent);
      if (sent.includes('\r\n\r\n')) await (await rig.origin.connection()).untilBytes(sent.length);
      else await settled(rig);
      if (answered !== undefined) {
        rig.origin.connections[0]?.send(answered);
        await client.until(answered.slice(-2));
      }
      const before = rig.recorder.records.length;
      rig.time.advance(waitMs - 1);
      expect(rig.recorder.records).toHaveLength(before);
      rig.time.advance(101);
      expect((await client.over()).text).toMatch(text);
      expect(rig.recorder.summaries.slice(before)).toEqual(summary === null ? [] : [summary]);
      rig.time.advance(60_000);
      expect(rig.recorder.records).toHaveLength(before + (summary === null ? 0 : 1));
    },
  );

  it('a connection to the upstream: 504, and the attempt is given up', async () => {
    let isArmed = false;
    const rig = await startRig({
      limits: { connectTimeoutMs: 500 },
      currentSnapshot: (real) => {
        // The time passes between the attempt, which follows this judgement, and its success.
        if (isArmed) queueMicrotask(() => rig.time.advance(600));
        isArmed = false;
        return real();
      },
    });
    const client = await rig.client();
    await settled(rig);
    isArmed = true;
    client.send(GET);
    expect((await client.over()).text).toMatch(/^HTTP\/1\.1 504 /);
    expect(rig.recorder.summaries).toEqual(['error connect-timeout 504 /a']);
    expect(rig.recorder.connects).toEqual(['timeout']);
    expect(rig.origin.received).toBe('');
  });

  it('content is not late while the client waits for 100 (Continue)', async () => {
    const rig = await startRig({ limits });
    const client = await rig.client();
    client.send('POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n');
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    rig.time.advance(2500);
    origin.send('HTTP/1.1 100 Continue\r\n\r\n');
    await client.until('100 Continue\r\n\r\n');
    rig.time.advance(1900);
    expect(rig.recorder.records).toHaveLength(0);
    rig.time.advance(201);
    expect((await client.over()).text).toMatch(/Continue\r\n\r\nHTTP\/1\.1 408 /);
    expect(rig.recorder.summaries).toEqual(['error body-timeout 408 /a']);
  });

  it('content is not late while it is the upstream that does not read', async () => {
    const rig = await startRig({
      limits: { ...limits, streamIdleTimeoutMs: 0, requestTimeoutMs: 0 },
    });
    const client = await rig.client();
    const length = 24 * 1024 * 1024;
    client.send(`POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.socket.pause();
    const sent = await stalledAt(client, length);
    expect(sent).toBeLessThan(length);
    rig.time.advance(60_000);
    expect(rig.recorder.records).toHaveLength(0);
    origin.socket.resume();
    client.send(Buffer.alloc(length - sent, 'x'));
    await origin.untilBytes(length);
    origin.send(OK);
    await client.until('ok');
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
  });

  it('trickling a head does not move its deadline', async () => {
    const rig = await startRig({ limits });
    const client = await rig.client();
    for (const part of ['GET ', '/a ', 'HTTP/1.1\r\n', 'x:', ' y']) {
      client.send(part);
      await settled(rig);
      rig.time.advance(250);
    }
    expect((await client.over()).text).toMatch(/^HTTP\/1\.1 408 /);
  });
});
