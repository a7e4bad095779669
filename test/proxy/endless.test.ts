/** Heads and framing that never end, fast or slow: they are given up, and others do not notice. */
import { afterEach, describe, expect, it } from 'vitest';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';
import type { RawClient } from '../support/raw_client.ts';
import { answerHeads, OK } from '../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';

describe('many connections', () => {
  it('a hundred slow heads are answered 408 together, and others are served meanwhile', async () => {
    const rig = await startRig({ limits: { headTimeoutMs: 5_000 }, script: answerHeads });
    const clients: RawClient[] = [];
    for (let i = 0; i < 100; i++) {
      const client = await rig.client();
      client.send('GET /a HTTP/1.1\r\nhost: ');
      clients.push(client);
    }
    await othersAreServed(rig);
    for (let i = 0; i < 60; i++) {
      rig.time.advance(100);
      for (const client of clients) if (!client.isClosed) client.send('x');
      await new Promise(setImmediate);
    }
    for (const client of clients) {
      const { text } = await client.over();
      expect(text === '' || text.startsWith('HTTP/1.1 408 ')).toBe(true);
    }
    const timedOut = rig.recorder.records.filter(({ fault }) => fault === 'head-timeout');
    expect(timedOut).toHaveLength(100);
  });
});

describe('bytes without end', () => {
  const endless: readonly [about: string, start: string, more: string, status: number][] = [
    ['a head', 'GET /a HTTP/1.1\r\nhost: x\r\n', 'x-more: yyyyyyyyyyyyyyyyyyyyyyyy\r\n', 431],
    ['a field', 'GET /a HTTP/1.1\r\nhost: x\r\nx: ', 'y'.repeat(1_000), 431],
    ['a target', 'GET /', 'a'.repeat(1_000), 414],
    [
      'a chunk extension',
      'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;a=',
      'b'.repeat(1_000),
      413,
    ],
    [
      'extensions of small chunks',
      'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n',
      `1;a=${'b'.repeat(500)}\r\nx\r\n`,
      413,
    ],
    [
      'trailers',
      'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n',
      'x: y\r\n',
      431,
    ],
  ];
  for (const [about, start, more, status] of endless) {
    it(`${about}: ${status} and a close`, async () => {
      const rig = await startRig();
      const client = await rig.client();
      client.send(start);
      for (
        let sent = 0;
        sent < 200_000 && !client.isEnded && !client.isClosed;
        sent += more.length
      ) {
        client.send(more);
        if (sent % 10_000 < more.length) await new Promise(setImmediate);
      }
      const { text } = await client.over();
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(rig.recorder.records).toHaveLength(1);
      await othersAreServed(rig);
    });
  }
});

async function othersAreServed(rig: Rig): Promise<void> {
  const other = await rig.client();
  const answer = rig.origin.connections.length;
  other.send(GET);
  const upstream = await rig.origin.connection(answer);
  await upstream.until(GET);
  if (other.received === '') upstream.send(OK);
  await other.until('ok');
  other.close();
}
