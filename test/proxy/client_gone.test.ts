/** A client that ends its side after a request: the upstream is told, and what comes all the same is delivered. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';
import type { RawClient } from '../support/raw_client.ts';
import { OK, type OriginConnection } from '../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const POST = 'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody';
const CLOSED_OK = OK.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n');

describe('a FIN after a complete request', () => {
  it.each([GET, POST])(
    'is one at the upstream, after what was sent before it: %s',
    async (bytes) => {
      const { rig, client, origin } = await asked(bytes);
      client.end();
      await origin.untilEnded();
      expect(origin.received).toBe(bytes);
      origin.send(OK);
      expect(await client.over()).toEqual({ text: CLOSED_OK, how: 'fin' });
      expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
      expect(rig.recorder.records).toMatchObject([{ isHalfClosed: true }]);
      expect(await rig.recorder.untilClosed(1)).toEqual(['half-closed']);
    },
  );

  it('that comes with the request, before there is a connection to the upstream: the same', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(POST);
    client.end();
    const origin = await rig.origin.connection();
    await origin.untilEnded();
    expect(origin.received).toBe(POST);
    origin.end(OK);
    expect(await client.over()).toEqual({ text: CLOSED_OK, how: 'fin' });
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
    expect(rig.recorder.records).toMatchObject([{ isHalfClosed: true }]);
    expect(await rig.recorder.untilClosed(1)).toEqual(['half-closed']);
  });

  it('behind pipelined requests: comes with the last of them only', async () => {
    const { client, origin } = await asked(GET + GET);
    client.end();
    origin.send(OK);
    await origin.until(GET, 2);
    await origin.untilEnded();
    origin.send(OK);
    expect((await client.over()).text).toBe(OK + CLOSED_OK);
    expect(origin.received).toBe(GET + GET);
  });

  it.each(['end', 'reset'] as const)(
    'that the upstream answers with its own %s: both are closed, in a word of its own, no reply',
    async (how) => {
      const { rig, client, origin } = await asked(GET);
      client.end();
      await origin.untilEnded();
      origin[how]();
      expect(await client.over()).toEqual({ text: '', how: 'fin' });
      expect(rig.recorder.summaries).toEqual(['error downstream-gave-up 0 /a']);
      expect(await rig.recorder.untilClosed(1)).toEqual(['downstream-closed']);
      expect(rig.recorder.retriedCount).toBe(0);
    },
  );

  it('then a reset, noticed when a response is written: the upstream is cut, in the same word', async () => {
    const { rig, client, origin } = await asked(GET);
    client.end();
    await origin.untilEnded();
    client.reset();
    origin.send('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc');
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.summaries).toEqual(['error downstream-gave-up 200 /a']);
    origin.send('def');
    await origin.closed();
  });

  it('and an upstream that does not care: not for longer than halfClosedTimeoutMs', async () => {
    const { rig, client, origin } = await asked(GET, { halfClosedTimeoutMs: 3000 });
    client.end();
    await origin.untilEnded();
    rig.time.advance(2999);
    expect(rig.recorder.summaries).toEqual([]);
    rig.time.advance(101);
    expect((await client.over()).text).toBe('');
    // Who does not read any more learns of a close by writing.
    origin.send(OK);
    await origin.closed();
    expect(rig.recorder.summaries).toEqual(['error downstream-gave-up 0 /a']);
  });

  it('200 clients that give up leave no connection open', async () => {
    const rig = await startRig();
    const clients = await Promise.all(Array.from({ length: 200 }, () => rig.client()));
    for (const client of clients) client.send(GET);
    await rig.origin.untilConnections(200);
    await Promise.all(rig.origin.connections.map((origin) => origin.until('\r\n\r\n')));
    for (const client of clients) client.close();
    for (const origin of rig.origin.connections) {
      await origin.untilEnded();
      origin.end();
    }
    await rig.recorder.untilClosed(200);
    expect(new Set(rig.recorder.summaries)).toEqual(new Set(['error downstream-gave-up 0 /a']));
    await vi.waitFor(() => expect(rig.plane.connectionCount).toBe(0), { timeout: 20_000 });
  });
});

it('a FIN in the middle of a request: the upstream is reset, as its request will never be whole', async () => {
  const { rig, client, origin } = await asked(POST.slice(0, -1));
  client.end();
  expect(await origin.over()).toBe('reset');
  expect(rig.recorder.summaries).toEqual(['error downstream-closed 0 /a']);
});

async function asked(
  bytes: string,
  limits: { readonly halfClosedTimeoutMs?: number } = {},
): Promise<{ rig: Rig; client: RawClient; origin: OriginConnection }> {
  const rig = await startRig({ limits });
  const client = await rig.client();
  client.send(bytes);
  const origin = await rig.origin.connection();
  await origin.until('\r\n\r\n');
  return { rig, client, origin };
}
