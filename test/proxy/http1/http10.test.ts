/** HTTP/1.0 clients, where the configuration lets them in. */
import { afterEach, describe, expect, it } from 'vitest';
import { allowHttp, closeRigs, cnp, startRig } from '../../support/plane_rig.ts';

afterEach(closeRigs);

const behaviour = { isHttp10Enabled: true };

describe('a client of HTTP/1.0', () => {
  const answers: readonly [about: string, response: string, expected: RegExp, summary: string][] = [
    [
      'gets a response of a length',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      /^HTTP\/1\.1 200 OK\r\ncontent-length: 2\r\n(connection: close\r\n)?\r\nok$/,
      'forwarded allowed 200 /a',
    ],
    [
      'gets no informational response',
      'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
      /^HTTP\/1\.1 204 /,
      'forwarded allowed 204 /a',
    ],
    [
      'gets no chunked content, which it could not read',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      /^HTTP\/1\.1 502 /,
      'error malformed-response 502 /a',
    ],
  ];

  it.each(answers)('%s, and is closed after it', async (_, response, expected, summary) => {
    const rig = await startRig({ behaviour });
    const client = await rig.client();
    client.send('GET /a HTTP/1.0\r\nhost: x\r\n\r\n');
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(response);
    const { text, how } = await client.over();
    expect(text).toMatch(expected);
    expect(how).toBe('fin');
    expect(rig.recorder.summaries).toEqual([summary]);
  });

  it.each(['OPTIONS * HTTP/1.0\r\n\r\n', 'GET /health HTTP/1.0\r\n\r\n'])(
    'that names no host, as health checks do: judged without one and sent as it is (%j)',
    async (bytes) => {
      const rig = await startRig({ behaviour, policy: allowHttp('OPTIONS', 'GET /health') });
      const client = await rig.client();
      client.send(bytes);
      const origin = await rig.origin.connection();
      await origin.until('\r\n\r\n');
      expect(origin.received).toBe(bytes);
      origin.end('HTTP/1.0 200 OK\r\n\r\nfine');
      expect((await client.over()).text).toMatch(/fine$/);
    },
  );

  it.each([
    ['a rule on the host', 'GET / HTTP/1.0\r\n\r\n', 403],
    ['two hosts', 'GET / HTTP/1.0\r\nhost: a.test\r\nhost: a.test\r\n\r\n', 400],
    ['a target with a host', 'GET http://a.test/ HTTP/1.0\r\n\r\n', 400],
    ['HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n', 400],
  ])('that names no host is refused with %s', async (_, bytes, status) => {
    const policy = cnp(', rules: { http: [{ host: "[a-z.]+" }] }');
    const rig = await startRig({ behaviour, policy });
    expect((await rig.exchange(bytes)).text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(rig.origin.connections).toHaveLength(0);
  });

  it('is judged like any other', async () => {
    const rig = await startRig({ behaviour, policy: allowHttp('GET /b') });
    const { text } = await rig.exchange('GET /a HTTP/1.0\r\nhost: x\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 403 .*connection: close\r\n/s);
    expect(rig.origin.connections).toHaveLength(0);
  });
});

describe('gRPC', () => {
  it.each([
    ['a path that would be redirected', '/s%2Fm', {}, 'grpc-status: 13\r\n'],
    ['an upstream that refuses', '/s/m', { upstreamPort: 1 }, 'grpc-status: 14\r\n'],
  ])('%s is told in the head, as 200', async (_, path, options, status) => {
    const rig = await startRig(options);
    const client = await rig.client();
    client.send(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc\r\n\r\n`);
    const text = await client.until('\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\ncontent-type: application\/grpc\r\n/);
    expect(text).toContain(status);
    expect(text).not.toContain('location');
    expect(rig.recorder.records).toHaveLength(1);
    expect(rig.recorder.records[0]?.status).toBe(200);
  });
});
