/** Requests and responses through the whole data plane: what each side sees, byte for byte. */
import { afterEach, describe, expect, it } from 'vitest';
import { allowHttp, closeRigs, cnp, type RigOptions, startRig } from '../../support/plane_rig.ts';
import { answerHeads, OK } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const DENIED =
  'HTTP/1.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n\r\nAccess denied\r\n';
const GET_A = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const GET_B = 'GET /b HTTP/1.1\r\nhost: x\r\n\r\n';
const ALLOWED_A = 'forwarded allowed 200 /a';
const DENIED_B = 'denied no-http-rule-matched 403 /b';

describe('one request after the other', () => {
  it('goes through as it is when a rule allows it', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
    const client = await rig.client();
    const head = 'GET /a HTTP/1.1\r\nhost: x\r\nx-Mixed: Case\r\n\r\n';
    client.send(head);
    expect(await client.until('ok')).toBe(OK);
    expect(rig.origin.received).toBe(head);
    expect(rig.recorder.summaries).toEqual([ALLOWED_A]);
  });

  it('is answered here when no rule allows it, and the connection goes on', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
    const client = await rig.client();
    client.send(GET_B);
    expect(await client.until('denied\r\n')).toBe(DENIED);
    client.send(GET_A);
    expect(await client.until('ok')).toBe(DENIED + OK);
    expect(rig.origin.received).toBe(GET_A);
    expect(rig.recorder.summaries).toEqual([DENIED_B, ALLOWED_A]);
  });

  it('keeps one upstream connection for one downstream connection', async () => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    for (let i = 1; i <= 3; i++) {
      client.send(GET_A);
      await client.until(OK, i);
    }
    const other = await rig.client();
    other.send(GET_A);
    await other.until('ok');
    expect(rig.origin.connections.map(({ received }) => received)).toEqual([
      GET_A + GET_A + GET_A,
      GET_A,
    ]);
  });

  it('answers pipelined requests in order, each one judged', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
    const client = await rig.client();
    client.send(GET_A + GET_B + GET_A + GET_B + GET_B + GET_A);
    const expected = OK + DENIED + OK + DENIED + DENIED + OK;
    expect(await client.until('ok', 3)).toBe(expected);
    expect(rig.origin.received).toBe(GET_A + GET_A + GET_A);
    expect(rig.recorder.summaries).toEqual([
      ALLOWED_A,
      DENIED_B,
      ALLOWED_A,
      DENIED_B,
      DENIED_B,
      ALLOWED_A,
    ]);
  });

  it('sends a later request only after the response before it', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET_A + GET_B);
    const origin = await rig.origin.connection();
    await origin.until('/a HTTP');
    client.send(GET_B);
    origin.send('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab');
    await client.until('ab');
    expect(origin.received).toBe(GET_A);
    origin.send('cd');
    await origin.until('/b HTTP');
    origin.send(OK);
    await client.until('ok');
    await origin.until('/b HTTP', 2);
  });

  it('answers all that was pipelined before the client’s half-close, then closes', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a') });
    const client = await rig.client();
    client.send(GET_A + GET_B + GET_A);
    client.end();
    const origin = await rig.origin.connection();
    await origin.until('/a HTTP');
    origin.send(OK);
    await origin.until('/a HTTP', 2);
    origin.send(OK);
    const { text, how } = await client.over();
    expect(text.replaceAll('connection: close\r\n', '')).toBe(OK + DENIED + OK);
    expect(how).toBe('fin');
    expect(await origin.over()).toBe('fin');
    expect(rig.recorder.summaries).toEqual([ALLOWED_A, DENIED_B, ALLOWED_A]);
  });

  it('closes after as many requests as a connection may have', async () => {
    const rig = await startRig({ script: answerHeads, limits: { requestsPerConnectionMax: 2 } });
    const { text, how } = await rig.exchange(GET_A + GET_A + GET_A);
    const last = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok';
    expect(text).toBe(OK + last);
    expect(how).toBe('fin');
    expect(rig.recorder.summaries).toEqual([ALLOWED_A, ALLOWED_A]);
  });

  it.each(['connection: close', 'Connection: Close'])(
    'closes both sides when the client says %s',
    async (field) => {
      const rig = await startRig({ script: answerHeads });
      const { text, how } = await rig.exchange(`GET /a HTTP/1.1\r\nhost: x\r\n${field}\r\n\r\n`);
      expect(text).toMatch(/connection: close\r\n\r\nok$/);
      expect(how).toBe('fin');
      expect(await rig.origin.connections[0]?.over()).toBe('fin');
    },
  );
});

describe('the form of a response', () => {
  interface Case {
    readonly about: string;
    readonly method?: string;
    /** What the origin writes; then it goes on or ends. */
    readonly response: string;
    readonly isEnding?: boolean;
    readonly expected: string;
    readonly isKept: boolean;
  }

  const cases: readonly Case[] = [
    {
      about: 'HEAD has no content',
      method: 'HEAD',
      response: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n',
      expected: 'same',
      isKept: true,
    },
    {
      about: '204 has no content',
      response: 'HTTP/1.1 204 No Content\r\n\r\n',
      expected: 'same',
      isKept: true,
    },
    {
      about: '304 has no content',
      response: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n',
      expected: 'same',
      isKept: true,
    },
    {
      about: 'chunked',
      response: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      expected: 'same',
      isKept: true,
    },
    {
      about: 'chunk extensions and trailers are dropped',
      response:
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n003;x=y\r\nabc\r\n0;z\r\nx-t: 1\r\n\r\n',
      expected: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      isKept: true,
    },
    {
      about: 'ended by the close of the upstream',
      response: 'HTTP/1.1 200 OK\r\n\r\nall of it',
      isEnding: true,
      expected: 'same',
      isKept: false,
    },
    {
      about: 'the upstream says close',
      response: 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na',
      expected: 'same',
      isKept: false,
    },
    {
      about: 'HTTP/1.0 becomes 1.1 that closes',
      response: 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na',
      expected: 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na',
      isKept: false,
    },
    {
      about: '1xx come before',
      response:
        'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
      expected: 'same',
      isKept: true,
    },
    {
      about: 'hop-by-hop and nominated fields are dropped',
      response:
        'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-end: 2\r\n\r\n',
      expected: 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-end: 2\r\n\r\n',
      isKept: true,
    },
  ];

  it.each(cases)(
    '$about',
    async ({ method = 'GET', response, isEnding = false, expected, isKept }) => {
      const rig = await startRig();
      const client = await rig.client();
      client.send(`${method} /a HTTP/1.1\r\nhost: x\r\n\r\n`);
      const origin = await rig.origin.connection();
      await origin.until('\r\n\r\n');
      if (isEnding) origin.end(response);
      else origin.send(response);
      const text = expected === 'same' ? response : expected;
      if (isKept) {
        await client.until(text);
        client.send(GET_B);
        await origin.until('/b HTTP');
        expect(client.received).toBe(text);
      } else {
        expect(await client.over()).toEqual({ text, how: 'fin' });
        expect(await origin.over()).toBe('fin');
      }
      expect(rig.recorder.records).toHaveLength(1);
      expect(rig.recorder.records[0]).toMatchObject({
        fault: null,
        responseSource: 'upstream',
        bytesOut: text.length,
      });
    },
  );
});

describe('the form of a request', () => {
  const cases: readonly [about: string, sent: string, forwarded: string][] = [
    ['content of a length', 'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc', 'same'],
    [
      'chunked',
      'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      'same',
    ],
    [
      'chunk extensions and trailers dropped',
      'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nx-t: v\r\n\r\n',
      'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    ],
    [
      'nominated fields dropped',
      'GET /a HTTP/1.1\r\nhost: x\r\nconnection: x-a\r\nx-a: 1\r\n\r\n',
      GET_A,
    ],
    ['absolute form', 'GET http://x/a HTTP/1.1\r\nhost: x\r\n\r\n', GET_A],
    [
      'a path that is not normal',
      'GET /b/..//%61?x=%2F HTTP/1.1\r\nhost: x\r\n\r\n',
      'GET /a?x=%2F HTTP/1.1\r\nhost: x\r\n\r\n',
    ],
    ['one CRLF before it', `\r\n${GET_A}`, GET_A],
  ];

  it.each(cases)('%s', async (_, sent, forwarded) => {
    const rig = await startRig({ policy: allowHttp('* /a', '* /a[?].*') });
    const client = await rig.client();
    client.send(sent);
    client.send(GET_A);
    const expected = forwarded === 'same' ? sent : forwarded;
    const origin = await rig.origin.connection();
    await origin.untilBytes(expected.length);
    origin.send(OK);
    await origin.untilBytes(expected.length + GET_A.length);
    expect(origin.received).toBe(expected + GET_A);
  });

  it.each(cases)('%s, byte by byte', async (_, sent, forwarded) => {
    const rig = await startRig({ policy: allowHttp('* /a', '* /a[?].*') });
    const client = await rig.client();
    for (const char of sent) client.send(char);
    const expected = forwarded === 'same' ? sent : forwarded;
    const origin = await rig.origin.connection();
    await origin.untilBytes(expected.length);
    expect(origin.received).toBe(expected);
  });
});

describe('100 (Continue)', () => {
  const HEAD = 'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n';

  it('is relayed, and the content follows it', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(HEAD);
    const origin = await rig.origin.connection();
    await origin.until('100-continue\r\n\r\n');
    origin.send('HTTP/1.1 100 Continue\r\n\r\n');
    await client.until('100 Continue\r\n\r\n');
    client.send('abc');
    await origin.until('abc');
    origin.send(OK);
    expect(await client.until('ok')).toBe(`HTTP/1.1 100 Continue\r\n\r\n${OK}`);
    expect(rig.recorder.summaries).toEqual([ALLOWED_A]);
  });

  it('is not waited for when the request is denied: the connection ends', async () => {
    const rig = await startRig({ policy: allowHttp('GET') });
    const { text, how } = await rig.exchange(HEAD);
    expect(text).toMatch(/^HTTP\/1\.1 403 .*\r\nconnection: close\r\n\r\nAccess denied\r\n$/s);
    expect(how).toBe('fin');
    expect(rig.origin.connections).toHaveLength(0);
  });

  it('other expectations are refused', async () => {
    const rig = await startRig();
    const { text } = await rig.exchange(HEAD.replace('100-continue', 'magic'));
    expect(text).toMatch(/^HTTP\/1\.1 417 /);
    expect(rig.origin.connections).toHaveLength(0);
  });
});

describe('a denied request with content', () => {
  const head = (length: number): string =>
    `POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`;
  const policy = allowHttp('GET /a');

  it.each([
    ['of a length', `${head(5)}GET /`],
    [
      'chunked',
      'POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n',
    ],
  ])('%s that is short is dropped and the connection kept', async (_, request) => {
    const rig = await startRig({ policy, script: answerHeads });
    const client = await rig.client();
    client.send(request + GET_A);
    expect(await client.until('ok')).toBe(DENIED + OK);
    expect(rig.origin.received).toBe(GET_A);
    expect(rig.recorder.summaries).toEqual([DENIED_B, ALLOWED_A]);
  });

  it('that says it is long is closed at once', async () => {
    const rig = await startRig({ policy, limits: { discardedContentBytesMax: 10 } });
    const { text, how } = await rig.exchange(head(11));
    expect(text).toContain('connection: close\r\n\r\nAccess denied');
    expect(how).toBe('fin');
  });

  it('that turns out to be long is closed', async () => {
    const rig = await startRig({ policy, limits: { discardedContentBytesMax: 10 } });
    const client = await rig.client();
    client.send('POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    expect(await client.until('denied\r\n')).toBe(DENIED);
    client.send('20\r\nsome bytes that are too many\r\n');
    expect(await client.over()).toEqual({ text: DENIED, how: 'fin' });
    expect(rig.recorder.summaries).toEqual([DENIED_B]);
    expect(rig.recorder.closed).toEqual(['denied']);
  });
});

describe('an early response', () => {
  it('is relayed, then both sides are closed, the upstream by a reset', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send('POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc');
    const origin = await rig.origin.connection();
    await origin.until('abc');
    origin.send('HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno');
    expect(await client.over()).toEqual({
      text: 'HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno',
      how: 'fin',
    });
    expect(await origin.over()).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 413 /a']);
  });

  it('of which the client still sends content: no byte of it becomes a request', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send('POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc');
    const origin = await rig.origin.connection();
    await origin.until('abc');
    origin.send('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno');
    await client.until('no');
    client.send(GET_B);
    await client.over();
    expect(rig.origin.received).not.toContain('/b');
    expect(rig.recorder.records).toHaveLength(1);
  });
});

describe('local replies', () => {
  const cases: readonly [about: string, options: RigOptions, request: string, reply: RegExp][] = [
    [
      '307 for an escaped slash',
      {},
      'GET /a%2Fb?q HTTP/1.1\r\nhost: x\r\n\r\n',
      /^HTTP\/1\.1 307 .*location: \/a\/b\?q\r\n/s,
    ],
    [
      'gRPC: a denial is 200 with status 7',
      { policy: allowHttp('GET') },
      'POST /s/m HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\r\n',
      /^HTTP\/1\.1 200 OK\r\ncontent-type: application\/grpc\r\ngrpc-status: 7\r\ngrpc-message: Access denied%0D%0A\r\n/,
    ],
    [
      'HEAD: the head alone',
      { policy: allowHttp('GET') },
      'HEAD /b HTTP/1.1\r\nhost: x\r\n\r\n',
      /^HTTP\/1\.1 403 .*\r\n\r\n$/s,
    ],
    [
      'CONNECT is refused',
      {},
      'CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n',
      /^HTTP\/1\.1 405 .*allow: GET/s,
    ],
    [
      'h2c is not upgraded to',
      { script: answerHeads },
      'GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n',
      /^HTTP\/1\.1 (200|400) /,
    ],
    [
      'HTTP/1.0 is refused',
      {},
      'GET /a HTTP/1.0\r\nhost: x\r\n\r\n',
      /^HTTP\/1\.1 426 .*upgrade: HTTP\/1\.1/s,
    ],
    [
      'the denial that is configured',
      {
        policy: allowHttp('GET'),
        behaviour: {
          denial: { status: 404, body: 'gone\r\n', contentType: 'text/x', isReasonShown: true },
        },
      },
      'PUT /b HTTP/1.1\r\nhost: x\r\n\r\n',
      /^HTTP\/1\.1 404 Not Found\r\ncontent-length: 6\r\ncontent-type: text\/x\r\nproxy-status: sallyport; error=http_request_denied; details="no-http-rule-matched"\r\n.*gone\r\n$/s,
    ],
  ];

  it.each(cases)('%s', async (_, options, request, reply) => {
    const rig = await startRig(options);
    const client = await rig.client();
    client.send(request);
    client.end();
    const { text } = await client.over();
    expect(text).toMatch(reply);
    expect(rig.recorder.records).toHaveLength(1);
    expect(rig.origin.received).not.toMatch(/h2c|http2-settings/i);
  });
});

describe('header actions', () => {
  const match = (action: string): string =>
    cnp(
      `, rules: { http: [{ headerMatches: [{ mismatch: ${action}, name: x-tok, value: good }] }] }`,
    );
  const cases: readonly [action: string, sent: string, forwarded: string][] = [
    ['ADD', 'x-tok: bad\r\n', 'x-tok: bad\r\nx-tok: good\r\n'],
    ['DELETE', 'x-tok: bad\r\nx-tok: worse\r\n', ''],
    ['REPLACE', 'x-tok: bad\r\nx-tok: worse\r\n', 'x-tok: good\r\n'],
    ['REPLACE', '', 'x-tok: good\r\n'],
    ['LOG', 'x-tok: bad\r\n', 'x-tok: bad\r\n'],
  ];

  it.each(cases)('%s reaches the origin', async (action, sent, forwarded) => {
    const rig = await startRig({ policy: match(action), script: answerHeads });
    const client = await rig.client();
    client.send(`GET /a HTTP/1.1\r\nhost: x\r\n${sent}\r\n`);
    await client.until('ok');
    expect(rig.origin.received).toBe(`GET /a HTTP/1.1\r\nhost: x\r\n${forwarded}\r\n`);
  });
});

describe('judged and not enforced', () => {
  it('--dry-run lets a denied request through and says so', async () => {
    const rig = await startRig({
      policy: allowHttp('POST'),
      behaviour: { isDryRun: true },
      script: answerHeads,
    });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    expect(rig.origin.received).toBe(GET_A);
    expect(rig.recorder.records[0]).toMatchObject({
      verdict: 'forwarded',
      isDryRun: true,
      decision: { verdict: 'deny' },
    });
  });

  it('--dry-run lets a connection through that L3 denies', async () => {
    const rig = await startRig({
      policy: cnp('', { from: 'fromEndpoints: [{ matchLabels: { app: nobody } }]' }),
      behaviour: { isDryRun: true },
      script: answerHeads,
    });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    expect(rig.recorder.records[0]).toMatchObject({
      isDryRun: true,
      decision: { reason: 'remote-not-allowed' },
    });
  });

  it('a policy in dry-run is judged beside the one in force', async () => {
    const dry = cnp(', rules: { http: [{ method: PUT }] }', {
      name: 'dry',
      annotations: 'sallyport.dev/dry-run: "true"',
    });
    const rig = await startRig({ policy: dry, script: answerHeads });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    expect(rig.recorder.records[0]).toMatchObject({
      verdict: 'forwarded',
      decision: { verdict: 'allow' },
      shadowDecision: { verdict: 'deny', reason: 'no-http-rule-matched' },
    });
  });
});
