/** Content that an origin ignores becomes its next request: what then comes back is no answer to anybody. */
import { afterEach, describe, expect, it } from 'vitest';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';
import type { RawClient } from '../support/raw_client.ts';
import { OK, type OriginConnection } from '../support/raw_origin.ts';

afterEach(closeRigs);

const SMUGGLED = 'GET /secret HTTP/1.1\r\nhost: x\r\n\r\n';
const LENGTH = `content-length: ${SMUGGLED.length}\r\n`;

describe('content on a method that has none by default', () => {
  it.each(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])(
    '%s: the origin is told that no request follows, and none does',
    async (method) => {
      const { rig, client, origin } = await asked(
        `${method} /a HTTP/1.1\r\nhost: x\r\n${LENGTH}\r\n${SMUGGLED}`,
      );
      expect(origin.received).toBe(
        `${method} /a HTTP/1.1\r\nhost: x\r\n${LENGTH}connection: close\r\n\r\n${SMUGGLED}`,
      );
      client.send('GET /b HTTP/1.1\r\nhost: x\r\n\r\n');
      origin.send(
        'HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret',
      );
      const { text } = await client.over();
      expect(text).toBe('HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n');
      expect(origin.received).not.toContain('/b');
      expect(rig.recorder.summaries).toEqual(['forwarded allowed 204 /a']);
    },
  );

  it.each([
    `POST /a HTTP/1.1\r\nhost: x\r\n${LENGTH}\r\n${SMUGGLED}`,
    'GET /a HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n',
  ])('others keep the connection: %j', async (bytes) => {
    const { client, origin } = await asked(bytes);
    expect(origin.received).toBe(bytes);
    origin.send(OK);
    expect(await client.until('ok')).toBe(OK);
  });
});

describe('a second answer', () => {
  it.each([
    ['in the same read', true],
    ['later', false],
  ])('%s: not sent on, recorded, and the connection ends', async (_, isAtOnce) => {
    const { rig, client, origin } = await asked(
      `POST /a HTTP/1.1\r\nhost: x\r\n${LENGTH}\r\n${SMUGGLED}`,
    );
    const secret = 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret';
    origin.send(isAtOnce ? OK + secret : OK);
    await client.until('ok');
    if (!isAtOnce) origin.send(secret);
    expect((await client.over()).text).toBe(OK);
    expect(rig.recorder.summaries).toEqual([
      'forwarded allowed 200 /a',
      'error unsolicited-response 0 -',
    ]);
    expect(await rig.recorder.untilClosed(1)).toEqual(['fault']);
  });
});

async function asked(
  bytes: string,
): Promise<{ rig: Rig; client: RawClient; origin: OriginConnection }> {
  const rig = await startRig();
  const client = await rig.client();
  client.send(bytes);
  const origin = await rig.origin.connection();
  await origin.untilBytes(bytes.length);
  return { rig, client, origin };
}
