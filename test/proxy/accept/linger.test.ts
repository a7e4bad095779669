/** The end of a connection: a reply is readable also by a client that sends all of its request first. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Limits } from '../../../src/model/limits.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';

afterEach(closeRigs);

const LIMITS = { delayedCloseTimeoutMs: 1000, lingerTimeoutMs: 5000 };

describe.each([
  ['400', 'POST /a b HTTP/1.1\r\nhost: x\r\ncontent-length: 999999\r\n\r\n'],
  ['431', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(70_000)}`],
  ['403', 'POST /no HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n'],
])('after a %s', (status, head) => {
  it('a client that goes on sending is read, until it has sent nothing for a while', async () => {
    const { rig, client } = await refused(status, head);
    for (let i = 0; i < 4; i++) {
      rig.time.advance(900);
      client.send('x'.repeat(1000));
      await settled();
      expect(rig.plane.connectionCount).toBe(1);
    }
    rig.time.advance(1101);
    await client.over();
    expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    await vi.waitFor(() => expect(rig.plane.connectionCount).toBe(0), { timeout: 20_000 });
  });

  it('a client that never ends is cut after lingerTimeoutMs', async () => {
    const { rig, client } = await refused(status, head);
    for (let ms = 0; ms < LIMITS.lingerTimeoutMs; ms += 500) {
      client.send('x');
      await settled();
      rig.time.advance(500);
    }
    rig.time.advance(101);
    await vi.waitFor(() => expect(rig.plane.connectionCount).toBe(0), { timeout: 20_000 });
  });
});

async function refused(status: string, head: string): Promise<{ rig: Rig; client: RawClient }> {
  const limits: Partial<Limits> = LIMITS;
  const rig = await startRig({ limits, policy: allowHttp('* /yes') });
  const client = await rig.client();
  client.send(head);
  await client.until('\r\n\r\n');
  expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  await settled();
  return { rig, client };
}

/** What was sent on loopback has been read: an echo of the same process takes as many turns. */
async function settled(): Promise<void> {
  const rig = await startRig();
  await rig.exchange('GET / HTTP/1.0\r\n\r\n');
  rig.stop();
}
