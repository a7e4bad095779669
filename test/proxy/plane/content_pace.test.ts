/** How fast content has to come: by the whole of it, not by one pause, and never while the upstream moves. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, type Limits } from '../../../src/model/limits.ts';
import { ContentPace } from '../../../src/proxy/plane/content_pace.ts';
import { closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import { OK, type OriginConnection } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const LIMITS: Limits = { ...DEFAULT_LIMITS, bodyTimeoutMs: 2000, bodyBytesPerSecondMin: 100 };
const HEAD = 'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n';
const RESPONSE = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';

describe('the pace of content', () => {
  it('is never too slow at or above the rate, however it is spread; below it is, in the end', () => {
    const step = fc.record({
      afterMs: fc.integer({ min: 0, max: 5000 }),
      byteLength: fc.nat(2000),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const pace = new ContentPace(0);
        let nowMs = 0;
        let byteLength = 0;
        for (const { afterMs, byteLength: more } of steps) {
          nowMs += afterMs;
          const allowedMs = 2000 + byteLength * 10;
          expect(pace.isTooSlow(nowMs, LIMITS)).toBe(nowMs >= allowedMs);
          pace.received(more);
          byteLength += more;
        }
        expect(pace.isTooSlow(2000 + byteLength * 10, LIMITS)).toBe(true);
        expect(pace.isTooSlow(nowMs + 1e9, { ...LIMITS, bodyBytesPerSecondMin: 0 })).toBe(false);
        pace.restart(1e9);
        expect(pace.isTooSlow(1e9 + 1999, LIMITS)).toBe(false);
        pace.begin(2e9);
        expect(pace.isTooSlow(2e9 + 2000, LIMITS)).toBe(true);
      }),
    );
  });
});

describe('an upload that pauses', () => {
  it('while the response flows: goes on when it likes', async () => {
    const { rig, client, origin } = await begun();
    origin.send(`${RESPONSE}2\r\nr0\r\n`);
    await client.until('r0');
    for (let i = 1; i <= 4; i++) {
      rig.time.advance(4000);
      origin.send(`2\r\nr${i}\r\n`);
      await client.until(`r${i}`);
    }
    client.send('5\r\nagain\r\n0\r\n\r\n');
    await origin.until('again\r\n0\r\n\r\n');
    origin.send('0\r\n\r\n');
    await client.until('0\r\n\r\n');
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
  });

  it('while the upstream tells that it is at it (102): is not late', async () => {
    const { rig, client, origin } = await begun();
    for (let i = 1; i <= 4; i++) {
      rig.time.advance(1900);
      origin.send('HTTP/1.1 102 Processing\r\n\r\n');
      await client.until('102 Processing\r\n\r\n', i);
    }
    client.send('0\r\n\r\n');
    await origin.until('0\r\n\r\n');
    origin.send(OK);
    await client.until('ok');
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
  });

  it('after it has sent much: may pause for longer than bodyTimeoutMs', async () => {
    const { rig, client, origin } = await begun();
    const much = 'x'.repeat(800);
    client.send(`320\r\n${much}\r\n`);
    await origin.until(much);
    rig.time.advance(9900);
    expect(rig.recorder.summaries).toEqual([]);
    client.send('0\r\n\r\n');
    await origin.until('0\r\n\r\n');
    origin.send(OK);
    await client.until('ok');
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /a']);
  });

  it('when nothing moves at all, response begun or not: ends with the idle clock', async () => {
    const { rig, client, origin } = await begun({ streamIdleTimeoutMs: 30_000 });
    origin.send(RESPONSE);
    await client.until('\r\n\r\n');
    rig.time.advance(29_999);
    expect(rig.recorder.summaries).toEqual([]);
    rig.time.advance(101);
    await client.over();
    expect(rig.recorder.summaries).toEqual(['error stream-idle-timeout 200 /a']);
  });
});

it('an upload that drips a byte now and then: 408, though it never pauses for bodyTimeoutMs', async () => {
  const { rig, client, origin } = await begun();
  let sent = 1;
  while (rig.recorder.records.length === 0 && sent < 20) {
    client.send('1\r\nx\r\n');
    sent += 1;
    await origin.until('1\r\nx\r\n', sent);
    rig.time.advance(500);
  }
  expect((await client.over()).text).toMatch(/^HTTP\/1\.1 408 /);
  expect(rig.recorder.summaries).toEqual(['error body-timeout 408 /a']);
  expect(sent).toBeLessThan(8);
});

async function begun(
  limits: Partial<Limits> = {},
): Promise<{ rig: Rig; client: RawClient; origin: OriginConnection }> {
  const rig = await startRig({ limits: { ...LIMITS, ...limits } });
  const client = await rig.client();
  client.send(`${HEAD}1\r\nx\r\n`);
  const origin = await rig.origin.connection();
  await origin.until('1\r\nx\r\n');
  return { rig, client, origin };
}
